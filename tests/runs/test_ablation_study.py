"""Ablations: the plan's pairs, and the table against SciPy."""

import numpy as np
import pytest
import scipy.stats

from core.errors import SettingError
from core.evaluation.paired_differences import paired_difference
from core.history import EndRecord, EpochRecord
from core.runs.ablation_study import (
    BASE_RUN,
    ablation_table,
    changes_for,
    differing_settings,
    plan_ablation,
    with_settings,
)
from core.settings import assignments_in

ALL = {
    "learning_rate": 0.001, "flip": "none", "crop": 0, "color": 0.0, "cutout": 0, "rand_augment": 0,
    "trainable": "everything", "label_smoothing": 0.0, "weight_decay": 0.0, "schedule": "constant",
    "optimizer": "adam", "architecture_settings": "batch_norm=true",
}  # fmt: skip
NETWORK = {"batch_norm": True, "dropout": 0.5, "activation": "relu"}


def test_a_paired_difference_agrees_with_scipy():
    rng = np.random.default_rng(0)
    base, changed = rng.normal(0.8, 0.02, 6), rng.normal(0.82, 0.02, 6)
    found = paired_difference(base, changed)
    expected = scipy.stats.ttest_rel(changed, base)
    assert found.mean == pytest.approx((changed - base).mean())
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert found.could_be_noise == (expected.pvalue >= 0.05)


def test_pairing_finds_what_a_spread_over_seeds_would_hide():
    base = np.array([0.70, 0.80, 0.90])
    found = paired_difference(base, base + np.array([0.010, 0.011, 0.012]))
    assert not found.could_be_noise
    assert scipy.stats.ttest_ind(base, base + 0.011).pvalue > 0.8


def test_one_seed_could_always_be_noise_and_equal_runs_are():
    assert paired_difference([0.5], [0.9]).could_be_noise
    assert paired_difference([0.5], [0.9]).interval is None
    assert paired_difference([0.5, 0.6], [0.5, 0.6]).could_be_noise
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_difference([1.0], [])


def test_only_what_the_base_has_not_is_offered():
    names = {change.name for change in changes_for(ALL, NETWORK)}
    assert {"without_batch_norm", "without_dropout", "leaky_relu", "sigmoid", "tanh", "rate_0.01"} <= names
    assert not {"relu", "rate_0.001", "adam", "not_augmented", "with_batch_norm"} & names
    assert not {c.name for c in changes_for(ALL, {"width": 1.0})} & {"without_batch_norm", "sigmoid"}


def test_without_batch_norm_nothing_is_folded():
    base = ALL | {"fold_batch_norm": True}
    changes = [c for c in changes_for(base, NETWORK) if c.name in ("without_batch_norm", "tanh")]
    folds = {run.change: run.options["fold_batch_norm"] for run in plan_ablation("a", base, changes, [0])}
    assert folds == {BASE_RUN: True, "tanh": True, "without_batch_norm": False}


def test_the_plan_changes_one_thing_and_keeps_seeds_together():
    changes = [c for c in changes_for(ALL, NETWORK) if c.name in ("without_batch_norm", "rate_0.01")]
    runs = plan_ablation("trial", ALL, changes, [0, 1])
    assert [(r.seed, r.change) for r in runs] == [
        (0, "base"), (0, "without_batch_norm"), (0, "rate_0.01"),
        (1, "base"), (1, "without_batch_norm"), (1, "rate_0.01"),
    ]  # fmt: skip
    assert len({run.name for run in runs}) == 6
    for run, base in ((runs[1], runs[0]), (runs[2], runs[0])):
        assert len(differing_settings({"a": dict(run.options), "b": dict(base.options)})) == 1
    assert assignments_in(runs[1].options["architecture_settings"]) == {"batch_norm": "false"}
    with pytest.raises(SettingError, match="No change is chosen"):
        plan_ablation("trial", ALL, [], [0])
    with pytest.raises(SettingError, match="each once"):
        plan_ablation("trial", ALL, changes, [0, 0])


def run_history(accuracies, ended=True):
    records = [
        EpochRecord(i + 1, train_loss=1.0, validation_loss=1.0, validation_accuracy=a)
        for i, a in enumerate(accuracies)
    ]
    return [*records, EndRecord()] if ended else records


def test_the_table_takes_best_epochs_and_pairs_seeds():
    changes = [c for c in changes_for(ALL, NETWORK) if c.name in ("sigmoid", "tanh")]
    runs = plan_ablation("t", ALL, changes, [0, 1, 2])
    base, worse = [0.80, 0.82, 0.81], [0.70, 0.73, 0.715]
    histories = {f"t_base_{s}": run_history([0.5, base[s], 0.6]) for s in range(3)}
    histories |= {f"t_sigmoid_{s}": run_history([worse[s], 0.1]) for s in range(3)}
    histories["t_tanh_0"] = run_history([0.81])
    histories["t_tanh_1"] = run_history([0.9], ended=False)
    rows = {row.change: row for row in ablation_table(runs, histories, {"sigmoid": "Sigmoid"})}
    assert rows[BASE_RUN].values == {0: 0.80, 1: 0.82, 2: 0.81}
    assert rows[BASE_RUN].best_epochs == {0: 2, 1: 2, 2: 2}
    expected = scipy.stats.ttest_rel(worse, base)
    assert rows["sigmoid"].title == "Sigmoid"
    assert rows["sigmoid"].difference.p_value == pytest.approx(expected.pvalue)
    low, high = (100 * v for v in expected.confidence_interval(0.95))
    assert rows["sigmoid"].sentence == (
        f"-9.50 points over 3 seeds (95% interval {low:+.2f} to {high:+.2f}): more than noise."
    )
    assert rows["tanh"].values == {0: 0.81}
    assert "this could be noise" in rows["tanh"].sentence


def test_settings_in_one_line_are_opened_and_written():
    assert with_settings("a=1; b=2", {"b": True}) == "a=1; b=true"
    found = differing_settings(
        {
            "x": {"seed": 0, "architecture_settings": "a=1; b=2"},
            "y": {"seed": 0, "architecture_settings": "a=1"},
        }
    )
    assert found == {"architecture b": {"x": "2", "y": None}}
