"""Measurements brought to epochs and steps, whatever they were counted by."""

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from core.runs.foreign.column_choice import Column
from core.runs.foreign.column_names import words_of
from core.runs.foreign.rows import Measurement

_MOST_EPOCHS = 1000  # more points than that, one a step, are batches
_MOST_EPOCHS_BETWEEN = 10  # validations; more places than that between two of them are batches
_FRACTION_LEFT = 0.02  # of an epoch: a trainer that drops its last batch ends epoch 1 at 0.998 or 1.003
_BATCHES = {"iter", "iteration", "iterations", "batch", "batches", "minibatch"}
STEPS_ARE = ("epochs", "batches")


@dataclass(frozen=True)
class Figures:
    """The figures of one epoch or of one step, by the name of the curve.

    Attributes:
        epoch: Counted from 1; 0 for a step whose epoch is not known.
        step: The last step of the epoch; None where steps are not counted.
    """

    epoch: int
    step: int | None
    values: Mapping[str, float]


@dataclass(frozen=True)
class Placed:
    """One run by epochs.

    Attributes:
        others: The extra columns: points (epoch or step, value) by the column's name.
        others_by: "epoch" or "step": what the extra columns are drawn over.
        guess: What was taken for granted about steps, as a sentence; "" where nothing was.
    """

    epochs: tuple[Figures, ...]
    steps: tuple[Figures, ...]
    others: Mapping[str, tuple[tuple[float, float], ...]]
    others_by: str
    notes: tuple[str, ...] = ()
    guess: str = ""


@dataclass(frozen=True)
class _Point:
    metric: str
    value: float
    epoch: int | None
    step: int | None


def placed(
    found: list[Measurement], curves: Mapping[str, Column], steps_are: str = "", axis: str = ""
) -> Placed:
    """Bring the measurements of one run to epochs.

    Args:
        curves: The columns that are drawn, by metric.
        steps_are: What steps count where no column has the epoch: "epochs", "batches" or "" to be guessed.
        axis: The name of the column of steps: one called "iteration" counts batches.
    """
    guess = ""
    by = "epoch"
    notes: list[str] = []
    if any(m.epoch is not None for m in found):
        points, notes = _by_epoch_column(found, curves)
    elif any(m.step is not None for m in found):
        points, guess, by = _by_steps(found, curves, steps_are, axis)
    else:
        rows = [m for m in found if m.values]
        points = [_Point(k, v, i, None) for i, m in enumerate(rows, 1) for k, v in m.values.items()]
    epochs, repeated = _epochs(points, curves)
    notes += [f"{n} was measured more than once in some epochs: the last value counts." for n in repeated]
    others: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for p in points:
        x = p.step if by == "step" else p.epoch
        if p.metric not in curves and x is not None:
            others[p.metric].append((x, p.value))
    return Placed(
        epochs, _steps(points, curves), {k: tuple(sorted(v, key=lambda p: p[0])) for k, v in others.items()},
        by, tuple(notes), guess,
    )  # fmt: skip


def _by_epoch_column(
    found: list[Measurement], curves: Mapping[str, Column]
) -> tuple[list[_Point], list[str]]:
    """Epochs as a column counts them, whole from 0 or 1, or in fractions as the training goes on."""
    known = [m.epoch for m in found if m.epoch is not None]
    notes = []
    if any(e != int(e) for e in known):
        later = [m for m in found if m.epoch != 0 or not any(_is_held_out(curves, k) for k in m.values)]
        if len(later) < len(found):
            notes.append("Measurements at epoch 0, before the training, are left out.")
            found = later

        def number(epoch: float) -> int:
            return max(1, math.ceil(epoch - _FRACTION_LEFT))

        notes.append("The epochs are fractions: 0.5 is the middle of epoch 1, and 1.0 is its end.")
    else:
        drawn = [m.epoch for m in found if m.epoch is not None and m.values.keys() & curves.keys()]
        base = 1 if min(drawn or known) == 0 else 0

        def number(epoch: float) -> int:
            return int(epoch) + base

    epochs = _epochs_of_rows(found, curves)
    before = _steps_before(found, epochs)
    if any(before.values()):
        notes.append("The steps start over in every epoch, so they are added up.")
    points = []
    for m, epoch in zip(found, epochs, strict=True):
        step = int(m.step) + before[epoch] if m.step is not None else None
        points += [_Point(k, v, number(epoch), step) for k, v in m.values.items()]
    return points, notes


def _steps_before(found: list[Measurement], epochs: list[float]) -> dict[float, int]:
    """How many steps lie before each epoch where every epoch counts its steps anew; 0 where none does."""
    first: dict[float, float] = {}
    last: dict[float, float] = {}
    for m, epoch in zip(found, epochs, strict=True):
        if m.step is not None:
            first[epoch] = min(first.get(epoch, m.step), m.step)
            last[epoch] = max(last.get(epoch, m.step), m.step)
    ordered = sorted(first)
    before = dict.fromkeys(epochs, 0)
    anew = [first[b] < last[a] for a, b in pairwise(ordered)]
    if anew and all(anew) and all(epoch == int(epoch) for epoch in ordered):
        total = 0
        for epoch in ordered:
            before[epoch] = total
            total += int(last[epoch]) + (1 if first[epoch] == 0 else 0)
    return before


def _epochs_of_rows(found: list[Measurement], curves: Mapping[str, Column]) -> list[float]:
    """The epoch of each row; one without belongs to the epoch that is running at its step or place.

    Without a step, figures belong to the epoch before them, which they measure, and rates to the next one.
    """
    marks = sorted((m.step, m.epoch) for m in found if m.step is not None and m.epoch is not None)
    steps = [step for step, _ in marks]
    result = []
    following: list[float | None] = []
    last: float | None = None
    for m in reversed(found):
        last = m.epoch if m.epoch is not None else last
        following.append(last)
    before = next(m.epoch for m in found if m.epoch is not None)
    for m, after in zip(found, reversed(following), strict=True):
        if m.epoch is not None:
            before = m.epoch
        elif m.step is not None and marks:
            result.append(marks[min(bisect_left(steps, m.step), len(marks) - 1)][1])
            continue
        figures = any(_is_figure(curves, metric) for metric in m.values)
        result.append(before if m.epoch is not None or figures or after is None else after)
    return result


def _by_steps(
    found: list[Measurement], curves: Mapping[str, Column], steps_are: str, axis: str
) -> tuple[list[_Point], str, str]:
    """Epochs where only steps are counted: those of tags written once an epoch, or the steps themselves."""
    places: dict[str, list[float]] = defaultdict(list)
    for m in found:
        if m.step is not None:
            for metric in m.values:
                places[metric].append(m.step)
    drawn = {k: sorted(set(v)) for k, v in places.items() if k in curves}
    levels = {k: curves[k].level for k in drawn}
    named = [k for k in drawn if levels[k] == "epoch"]
    open_ = [k for k in drawn if levels[k] == "" and _is_figure(curves, k)]
    held = [k for k in open_ if _is_held_out(curves, k)]
    batches = [k for k in drawn if levels[k] == "step"]
    own_count = [k for k in named if _counts_by_one(drawn[k])]
    guess = ""
    if own_count and not steps_are:  # tags such as epoch_loss, counted apart from batch_loss
        last = max(drawn[k][-1] for k in own_count)
        same = [k for k in open_ if drawn[k][-1] <= last]
        return _counted_apart(found, places, {*own_count, *same}, batches), "", "epoch"
    units = steps_are
    if not units:
        counts_batches = named or (batches and not open_) or _BATCHES & set(words_of(axis))
        units = "batches" if counts_batches else _units(drawn, open_, held)
        if open_ and not named:
            guess = (
                f"No column counts epochs; the steps were taken for {units}"
                + (", and an epoch lies between two validations." if units == "batches" and held else ".")
            )  # fmt: skip
    if units == "epochs":
        base = 1 if min((v[0] for k, v in drawn.items() if _is_figure(curves, k)), default=0) == 0 else 0
        counted = [(m, int(m.step) + base) for m in found if m.step is not None]
        return (
            [_Point(k, v, epoch, None) for m, epoch in counted for k, v in m.values.items()],
            guess,
            "epoch",
        )
    ends = sorted({s for k in (named or held) for s in drawn[k]})
    points = []
    paired = {k for k in open_ if ends and len(drawn[k]) == len(ends) and k not in held}
    ranks = {k: {s: i + 1 for i, s in enumerate(drawn[k])} for k in paired}
    for m in found:
        if m.step is None:
            continue
        epoch = bisect_left(ends, m.step) + 1
        for metric, value in m.values.items():
            own = ranks[metric][m.step] if metric in paired else epoch
            points.append(_Point(metric, value, own if own <= len(ends) else None, int(m.step)))
    return points, guess, "step"


def _counted_apart(
    found: list[Measurement], places: Mapping[str, list[float]], counted: set[str], batches: list[str]
) -> list[_Point]:
    first = min(places[k][0] for k in counted)
    base = 1 if first == 0 else 0
    number = int(max(max(places[k]) for k in counted)) + base
    steps = max((len(places[k]) for k in batches), default=0)
    most = max((max(places[k]) for k in batches), default=0) + 1
    points = []
    for m in found:
        if m.step is None:
            continue
        for metric, value in m.values.items():
            if metric in counted:
                points.append(_Point(metric, value, int(m.step) + base, None))
            else:
                epoch = min(number, 1 + int(m.step * number / most)) if steps else None
                points.append(_Point(metric, value, epoch, int(m.step)))
    return points


def _units(drawn: Mapping[str, list[float]], figures: list[str], held: list[str]) -> str:
    """Whether steps that no name explains count epochs or batches."""
    trained = [k for k in figures if k not in held]
    densest = max((drawn[k] for k in trained or held), key=len, default=[])
    if not _counts_by_one(densest, anywhere=True) or len(densest) > _MOST_EPOCHS:
        return "batches"
    rarest = max((drawn[k] for k in held), key=len, default=[])
    if not rarest or not trained:
        return "epochs"
    gaps = [b - a for a, b in pairwise(rarest)] or [rarest[0] + 1]
    return "epochs" if median(gaps) <= _MOST_EPOCHS_BETWEEN else "batches"


def _counts_by_one(places: list[float], *, anywhere: bool = False) -> bool:
    return bool(places) and (anywhere or places[0] in (0, 1)) and all(b - a == 1 for a, b in pairwise(places))


def _epochs(points: list[_Point], curves: Mapping[str, Column]) -> tuple[tuple[Figures, ...], list[str]]:
    """The figures of every epoch with a loss or an accuracy, and what was measured twice in one."""
    values: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    steps: dict[int, int] = {}
    for p in points:
        if p.epoch is not None and p.metric in curves:
            values[p.epoch][p.metric].append(p.value)
            if p.step is not None and _is_figure(curves, p.metric):
                steps[p.epoch] = max(steps.get(p.epoch, 0), p.step)
    found = []
    repeated: dict[str, None] = {}
    for epoch in sorted(values):
        own: dict[str, float] = {}
        for metric, several in sorted(
            values[epoch].items(), key=lambda item: curves[item[0]].level == "step"
        ):
            curve = curves[metric].taken_for
            if curve in own:
                continue
            if curve.startswith("train") or curve == "gradient_norm":
                own[curve] = sum(several) / len(several)
            else:
                own[curve] = several[-1]
                if len(several) > 1 and curve.startswith("validation"):
                    repeated.setdefault(metric)
        if own.keys() - {"learning_rate", "gradient_norm"}:
            found.append(Figures(epoch, steps.get(epoch), own))
    return tuple(found), list(repeated)


def _steps(points: list[_Point], curves: Mapping[str, Column]) -> tuple[Figures, ...]:
    """The figures of single steps: of columns with more than one value an epoch, or that say so."""
    counts: dict[tuple[str, int | None], int] = defaultdict(int)
    for p in points:
        counts[p.metric, p.epoch] += 1
    dense = {k for (k, epoch), n in counts.items() if n > 1}
    dense |= {k for k, c in curves.items() if c.level == "step"}
    if not any(p.epoch is not None for p in points):
        dense |= set(curves)
    merged: dict[int, tuple[int, dict[str, float]]] = {}
    places: dict[str, int] = defaultdict(int)
    for p in points:
        if p.metric not in dense or p.metric not in curves or curves[p.metric].level == "epoch":
            continue
        curve = curves[p.metric].taken_for
        if curve.startswith("validation"):
            continue
        places[p.metric] += 1
        step = p.step if p.step is not None else places[p.metric]
        merged.setdefault(step, (p.epoch or 0, {}))[1][curve] = p.value
    return tuple(Figures(merged[s][0], s, merged[s][1]) for s in sorted(merged))


def _is_held_out(curves: Mapping[str, Column], metric: str) -> bool:
    return metric in curves and curves[metric].taken_for.startswith("validation")


def _is_figure(curves: Mapping[str, Column], metric: str) -> bool:
    return metric in curves and curves[metric].taken_for.endswith(("loss", "accuracy"))
