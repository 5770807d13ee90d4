"""A run that was stopped, killed and resumed leaves the history of one that was not, line for line."""

import itertools

import pytest
import torch

from core.history import FILE, EndRecord, EpochRecord, StartRecord, StepRecord, of_kind, read_history
from core.training.folder import STATE, write_record
from core.training.train import train
from core.training.training_settings import TrainingSettings
from tests.training.test_step import half_precision
from tests.training.test_train import SMALL, without_times

LITTLE = {**SMALL, "train_images": 320, "seed": 1, "learning_rate": 0.01, "epochs": 3}
EVERY_PATH = {
    "sgd": {"optimizer": "sgd", "schedule": "linear"},
    "adam": {"optimizer": "adam", "schedule": "cosine", "weight_decay": 0.01},
    "adamw, lookahead, clipped": {
        "optimizer": "adamw", "schedule": "one_cycle", "lookahead": True, "clip_gradient": 0.5,
        "label_smoothing": 0.1,
    },
    "muon": {"optimizer": "muon", "architecture": "speed_cnn", "architecture_settings": "widths=8,16"},
    "augmented": {"flip": "alternating", "crop": 1, "color": 0.3, "rand_augment": 5, "cutout": 3},
    "frozen features": {"trainable": "head", "learning_rate": 0.05},
    "head, augmented": {"trainable": "head", "crop": 1},
    "last block": {"trainable": "last block"},
    "unfrozen later": {"trainable": "head", "unfreeze_at": 2, "lookahead": True},
    "nothing held out": {"validation": 0.0},
    "folded": {"fold_batch_norm": True, "half": True},
    "float16": {"schedule": "one_cycle"},
}  # fmt: skip


def interrupted(folder, settings, *, stops=(), kills=()):
    """The records in the folder's history after a run that was interrupted so often.

    Args:
        stops: How many steps are done before each stop.
        kills: How many records are written before each kill, after the stops.
    """
    for steps in stops:
        left = itertools.count()
        for record in train(folder, settings, stop=lambda left=left, steps=steps: next(left) >= steps):
            write_record(folder, record)
    for count in kills:
        run = train(folder, settings)
        for record in itertools.islice(run, count):
            write_record(folder, record)
        run.close()
    for record in train(folder, settings):
        write_record(folder, record)
    return read_history(folder / FILE)


def lines(records, *, about: bool = False):
    """All records but for times, and but for the notes that a run was taken up.

    Args:
        about: The figures of the end may differ by rounding: they are of one more evaluation, whose way of
            multiplying is measured anew, and a busy machine measures otherwise. All else is equal to the bit.
    """
    found = [without_times(r) for r in records if not (isinstance(r, StartRecord) and r.step)]
    for record in found:
        if about and record["kind"] == "end":
            numbers = {name: value for name, value in record.items() if isinstance(value, float)}
            record |= {name: pytest.approx(value, rel=1e-4) for name, value in numbers.items()}
    return found


@pytest.fixture(params=EVERY_PATH)
def settings(request, monkeypatch, tmp_path):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path / "home"))
    if request.param == "float16":
        half_precision(monkeypatch, 2.0**24)  # so that the first steps are skipped
    return TrainingSettings.of(LITTLE | EVERY_PATH[request.param])


def test_the_history_is_that_of_an_uninterrupted_run_line_for_line(tmp_path, settings):
    whole = interrupted(tmp_path / "run", settings)
    (tmp_path / "run").rename(tmp_path / "whole")
    parts = interrupted(tmp_path / "run", settings, stops=(0, 2, 1, 6), kills=(2, 5))
    assert lines(parts) == lines(whole, about=True)
    assert len(list(of_kind(whole, StepRecord))) == 15
    halves = any(r.precision == "float16" for r in of_kind(whole, StartRecord))
    assert any(r.skipped_steps for r in of_kind(whole, EpochRecord)) is halves
    assert len(list(of_kind(parts, StartRecord))) > 1
    assert len(list(of_kind(parts, EndRecord))) == 1
    for file in ("weights.safetensors", "last.safetensors"):
        assert (tmp_path / "run" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_a_start_says_where_the_run_was_taken_up_and_steps_before_the_stop_stay(tmp_path):
    records = interrupted(tmp_path / "run", TrainingSettings.of(LITTLE), stops=(7,))
    starts = list(of_kind(records, StartRecord))
    assert [(r.epoch, r.step) for r in starts] == [(1, 0), (2, 7)]
    assert [r.step for r in of_kind(records, StepRecord)] == list(range(1, 16))
    assert [r.epoch for r in of_kind(records, EpochRecord)] == [1, 2, 3]


def test_a_kill_just_before_or_after_the_end_record_leaves_one_end(tmp_path):
    whole = interrupted(tmp_path / "run", TrainingSettings.of(LITTLE))
    (tmp_path / "run").rename(tmp_path / "whole")
    count = len(whole)
    parts = interrupted(tmp_path / "run", TrainingSettings.of(LITTLE), kills=(count - 1, 2))
    assert lines(parts) == lines(whole, about=True)
    # Written, and killed before the state says so: it is measured and written once more.
    (tmp_path / "run").rename(tmp_path / "before")
    parts = interrupted(tmp_path / "run", TrainingSettings.of(LITTLE), kills=(count,))
    assert lines(parts) == lines(whole, about=True)


def test_a_run_whose_settings_do_not_fit_loses_none_of_its_history(tmp_path):
    from core.errors import SettingError

    folder, settings = tmp_path / "run", TrainingSettings.of(LITTLE)
    run = train(folder, settings)
    for record in itertools.islice(run, 4):
        write_record(folder, record)
    run.close()
    before = (folder / FILE).read_bytes()
    with pytest.raises(SettingError, match="holds a run with epochs = 3"):
        interrupted(folder, TrainingSettings.of(LITTLE | {"epochs": 9}))
    assert (folder / FILE).read_bytes() == before


def test_a_run_begun_without_a_scale_goes_on_with_one_and_back(tmp_path, monkeypatch):
    folder, settings = tmp_path / "run", TrainingSettings.of(LITTLE)
    for short in (None, torch.bfloat16, torch.float16, torch.float16, None):
        monkeypatch.setattr("core.training.run_parts.short_floats", lambda where, short=short: short)
        left = itertools.count()
        for record in train(folder, settings, stop=lambda left=left: next(left) >= 3):
            write_record(folder, record)
    held = torch.load(folder / STATE, weights_only=True)
    assert held.get("finished") or held["scaler"] == {}
    records = read_history(folder / FILE)
    floats = [r.precision for r in of_kind(records, StartRecord)]
    assert floats == ["float32", "bfloat16", "float16", "float16", "float32"]
    assert [r.step for r in of_kind(records, StepRecord)] == list(range(1, len(floats) * 3 + 1))
