"""An ablation: a base run, one change at a time, several seeds each; and a table of what each brought."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import SettingError
from core.evaluation.paired_differences import PairedDifference, paired_difference
from core.history import EndRecord, EpochRecord, Record, of_kind
from core.runs.verdict import best_record
from core.settings import Settings, SettingValue, assignments_in

BASE_RUN = "base"


@dataclass(frozen=True)
class Change:
    """One thing done differently.

    Attributes:
        name: Short, also part of the runs' names.
        title: For people.
        options: Settings of the training that differ from the base run's.
        network: Settings of the architecture that differ.
    """

    name: str
    title: str
    options: Settings
    network: Settings

    @property
    def needs(self) -> tuple[str, ...]:
        return tuple(self.network)


@dataclass(frozen=True)
class PlannedRun:
    """One training of an ablation: `options` are the settings that are given."""

    name: str
    change: str
    seed: int
    options: Settings


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        values: The metric of each finished run, by seed, at its best epoch.
        best_epochs: By seed.
        difference: To the base over the seeds both have; None for the base, and before a pair is done.
        sentence: The difference in words.
    """

    change: str
    title: str
    values: Mapping[int, float]
    best_epochs: Mapping[int, int]
    difference: PairedDifference | None
    sentence: str


def changes_for(base: Settings, network_settings: Settings) -> list[Change]:
    """What can be changed about a base run: everything here that is different in it.

    Args:
        base: All settings of the base run.
        network_settings: All settings of the architecture, defaults included.
    """
    toggled = not network_settings.get("batch_norm", False)
    dropout = 0.0 if network_settings.get("dropout") else 0.5
    # Without batch norm nothing is left that could be folded.
    unfolded = {"fold_batch_norm": False} if base.get("fold_batch_norm") else {}
    offered = [
        Change("with_batch_norm", "with batch norm", {}, {"batch_norm": True})
        if toggled
        else Change("without_batch_norm", "without batch norm", unfolded, {"batch_norm": False}),
        Change("with_dropout" if dropout else "without_dropout",
               f"dropout {dropout:g}" if dropout else "without dropout", {}, {"dropout": dropout}),
        *(Change(kind, f"{kind.replace('_', ' ')} for every activation", {}, {"activation": kind})
          for kind in ("relu", "leaky_relu", "sigmoid", "tanh")),
        Change("frozen", "all but the head frozen", {"trainable": "head"}, {}),
        Change("last_block", "all but the last block frozen", {"trainable": "last block"}, {}),
        *(Change(f"rate_{rate:g}", f"learning rate {rate:g}", {"learning_rate": rate}, {})
          for rate in (0.01, 0.005, 0.001, 0.0001)),
        Change("augmented", "with flips and shifts", {"flip": "random", "crop": 2}, {}),
        Change("not_augmented", "without augmentation",
               {"flip": "none", "crop": 0, "color": 0.0, "cutout": 0, "rand_augment": 0}, {}),
        Change("label_smoothing", "label smoothing 0.1", {"label_smoothing": 0.1}, {}),
        Change("weight_decay", "weight decay 0.0005", {"weight_decay": 0.0005}, {}),
        Change("cosine", "rate falls as a cosine", {"schedule": "cosine"}, {}),
        Change("one_cycle", "one-cycle rate", {"schedule": "one_cycle"}, {}),
        *(Change(kind, f"optimizer {kind}", {"optimizer": kind}, {}) for kind in ("sgd", "adam", "adamw")),
    ]  # fmt: skip
    return [
        change
        for change in offered
        if all(name in network_settings for name in change.needs)
        and (
            any(base.get(name) != value for name, value in change.options.items())
            or any(network_settings[name] != value for name, value in change.network.items())
        )
    ]


def plan_ablation(
    name: str, base: Settings, changes: Sequence[Change], seeds: Sequence[int]
) -> list[PlannedRun]:
    """The runs of an ablation, seed by seed, so that whole pairs are done early.

    Args:
        name: Of the ablation; its runs are called name_change_seed.
        base: The settings of the base run.
    Raises:
        SettingError: There is nothing to change, no seed, or a seed twice.
    """
    if not changes:
        raise SettingError("No change is chosen: choose at least one thing to change about the base run.")
    if not seeds or len(set(seeds)) != len(seeds):
        raise SettingError(f"The seeds are {list(seeds)}: give at least one, and each once.")
    unchanged = Change(BASE_RUN, "base run", {}, {})
    return [
        PlannedRun(
            name=f"{name}_{change.name}_{seed}",
            change=change.name,
            seed=seed,
            options={
                **base,
                **change.options,
                "architecture_settings": with_settings(
                    str(base.get("architecture_settings") or ""), change.network
                ),
                "seed": seed,
            },
        )
        for seed in seeds
        for change in (unchanged, *changes)
    ]


def with_settings(text: str, changed: Settings) -> str:
    """name=value settings in one line, some of them changed or added."""
    values = {**assignments_in(text), **{k: _written(v) for k, v in changed.items()}}
    return "; ".join(f"{name}={value}" for name, value in values.items())


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value}"


def ablation_table(
    runs: Sequence[PlannedRun],
    histories: Mapping[str, Sequence[Record]],
    titles: Mapping[str, str],
    *,
    metric: str = "validation_accuracy",
) -> list[Row]:
    """One row for the base and each change: best epochs, and the difference to the base, paired over seeds.

    Args:
        histories: Of the runs that have ended, by name; the others count as missing.
        titles: Of the changes, by name.
        metric: A field of the epoch records, read at the best epoch, not the last.
    """
    values: dict[str, dict[int, float]] = {}
    epochs: dict[str, dict[int, int]] = {}
    for run in runs:
        values.setdefault(run.change, {})
        epochs.setdefault(run.change, {})
        records = list(of_kind(histories.get(run.name, ()), EpochRecord))
        ended = any(True for _ in of_kind(histories.get(run.name, ()), EndRecord))
        best = best_record(records) if records and ended else None
        if best is not None and (value := getattr(best, metric)) is not None:
            values[run.change][run.seed] = value
            epochs[run.change][run.seed] = best.epoch
    rows = []
    for change in values:
        difference = None
        words = "The base run." if change == BASE_RUN else "Not enough runs have ended yet."
        shared = sorted(values[change].keys() & values.get(BASE_RUN, {}).keys())
        if change != BASE_RUN and shared:
            difference = paired_difference(
                [values[BASE_RUN][seed] for seed in shared], [values[change][seed] for seed in shared]
            )
            words = difference_sentence(difference, metric)
        rows.append(
            Row(change, titles.get(change, change), values[change], epochs[change], difference, words)
        )
    return rows


def difference_sentence(difference: PairedDifference, metric: str = "validation_accuracy") -> str:
    """The difference in words, in points where the metric is a share."""
    scale, unit = (100, " points") if metric.endswith("accuracy") else (1, "")
    seeds = len(difference.differences)
    words = f"{scale * difference.mean:+.2f}{unit} over {seeds} seed{'s' if seeds > 1 else ''}"
    if difference.interval is None:
        return f"{words}; with a single seed this could be noise."
    low, high = (scale * value for value in difference.interval)
    noise = "this could be noise" if difference.could_be_noise else "more than noise"
    return f"{words} (95% interval {low:+.2f} to {high:+.2f}): {noise}."


def differing_settings(runs: Mapping[str, Settings]) -> dict[str, dict[str, SettingValue]]:
    """The settings in which some runs differ: {setting: {run: value}}; one-line settings are opened.

    Args:
        runs: All settings of each run, by its name.
    """
    opened = {name: _opened(settings) for name, settings in runs.items()}
    names = dict.fromkeys(key for settings in opened.values() for key in settings)
    found = {}
    for key in names:
        row = {run: settings.get(key) for run, settings in opened.items()}
        if len({repr(value) for value in row.values()}) > 1:
            found[key] = row
    return found


def _opened(settings: Settings) -> dict[str, SettingValue]:
    flat: dict[str, SettingValue] = {}
    for key, value in settings.items():
        if key in ("architecture_settings", "dataset_settings"):
            prefix = key.removesuffix("_settings")
            flat |= {f"{prefix} {k}": v for k, v in assignments_in(str(value or "")).items()}
        else:
            flat[key] = value
    return flat
