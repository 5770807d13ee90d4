"""The rows of a table as measurements of runs: what was measured, in which line, at which epoch and step."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from core.runs.foreign.column_choice import CURVES, Column
from core.runs.foreign.table import STEP, BadHistory, Numbers, Table

_MOST_RUNS = 200
_MOST_RESTARTS = 100


@dataclass(frozen=True)
class Measurement:
    """What one row holds of one run: values by metric, and where in the training they were measured."""

    line: int
    epoch: float | None
    step: float | None
    values: dict[str, float]


def measurements(
    table: Table, numbers: Mapping[str, Numbers], columns: tuple[Column, ...]
) -> tuple[dict[str, list[Measurement]], list[str]]:
    """The measurements of each run in the order of the file, and what was left out, in sentences.

    Raises:
        BadHistory: A cell of a curve holds words, or there are too many runs.
    """
    _refuse_words(table, numbers, columns)
    scales = _scales(numbers, columns)
    axes = {axis: {c.run: c.name for c in columns if c.taken_for == axis} for axis in ("epoch", "step")}
    splits = [c.name for c in columns if c.taken_for == "run"]
    kept = [c for c in columns if c.taken_for not in ("epoch", "step", "run") and c.is_number]
    by_name = {c.name: c for c in kept}
    of_axes = {name for by_run in axes.values() for name in by_run.values()}
    found: dict[str, list[Measurement]] = defaultdict(list)
    left_out: dict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(table.rows):
        values: dict[str, dict[str, float]] = defaultdict(dict)
        for name in row.cells:
            column = by_name.get(name)
            if column is not None and place in numbers[name].values:
                values[column.run][column.metric] = numbers[name].values[place] * scales[column.metric]
        if not values and of_axes & row.cells.keys():
            values[table.run] = {}
        for run, own in values.items():
            at = {axis: _place(numbers, by_run, run, place) for axis, by_run in axes.items()}
            known = [v for v in at.values() if v is not None]
            if at["step"] is None and _is_nan(numbers, axes["epoch"], run, place):
                left_out["its epoch is not a number"].append(row.line)
            elif any(math.isinf(v) for v in known):
                left_out["its epoch or step is not finite"].append(row.line)
            elif any(v < 0 for v in known):
                why = "it was measured before the training began (its epoch or step is negative)"
                left_out[why].append(row.line)
            elif own or known:
                label = " ".join(str(row.cells.get(s) or "").strip() for s in splits).strip()
                label = " ".join(part for part in (run, label) if part)
                found[label].append(Measurement(row.line, at["epoch"], at["step"], own))
        if len(found) > _MOST_RUNS:
            raise BadHistory(f"{table.file} has more than {_MOST_RUNS} runs. Leave some of them out.")
    return found, [_left_out(table.line_word, lines, why) for why, lines in left_out.items()]


def _place(numbers: Mapping[str, Numbers], by_run: Mapping[str, str], run: str, place: int) -> float | None:
    """What an axis says of a row: that of the run itself, else the one that all runs share; None for NaN."""
    name = by_run.get(run, by_run.get(""))
    value = numbers[name].values.get(place) if name else None
    return None if value is None or math.isnan(value) else value


def _is_nan(numbers: Mapping[str, Numbers], by_run: Mapping[str, str], run: str, place: int) -> bool:
    name = by_run.get(run, by_run.get(""))
    return name is not None and math.isnan(numbers[name].values.get(place, 0.0))


def without_unmeasured(
    found: list[Measurement], columns: Mapping[str, Column], table: Table
) -> list[Measurement]:
    """Measurements without the NaN that stands for "not measured"; a NaN that was measured stays.

    Where a file leaves cells empty, its NaN were measured. Where it fills every cell, a NaN in a row with
    numbers stands for "not measured" if the same epoch has a number of that column in another row, or if the
    column has numbers again later while the training's loss was finite.
    """
    if STEP in table.columns or not any(math.isnan(v) for m in found for v in m.values.values()):
        return found
    measured = set().union(*(m.values for m in found))
    if any(len(m.values) < len(measured) for m in found if m.values):
        return found
    finite: set[tuple[str, float | None]] = set()
    last: dict[str, int] = {}
    for m in found:
        for metric, value in m.values.items():
            if not math.isnan(value):
                finite.add((metric, m.epoch))
                last[metric] = m.line
    sparse = any(
        (metric, m.epoch) in finite for m in found for metric, v in m.values.items() if math.isnan(v)
    )
    sparse = sparse and any(m.epoch is not None for m in found)
    trained = [metric for metric, column in columns.items() if column.taken_for == "train_loss"]
    kept = []
    for m in found:
        some = any(not math.isnan(v) for v in m.values.values())
        kept.append(replace(m, values={
            metric: v for metric, v in m.values.items()
            if not math.isnan(v) or not _is_unmeasured(metric, m, columns, trained, last, sparse and some)
        }))  # fmt: skip
    if not sparse:
        return kept
    return [
        replace(
            m, values={k: v for k, v in m.values.items() if not math.isnan(v) or (k, m.epoch) not in finite}
        )
        for m in kept
    ]


def _is_unmeasured(
    metric: str, m: Measurement, columns: Mapping[str, Column], trained: list[str], last: Mapping[str, int],
    is_filler: bool,
) -> bool:  # fmt: skip
    if is_filler:
        return True
    if metric in columns and columns[metric].taken_for.startswith("train"):
        return False
    return last.get(metric, -1) > m.line and not any(math.isnan(m.values.get(k, 0.0)) for k in trained)


def separate_runs(
    found: list[Measurement], curves: Iterable[str], line_word: str
) -> tuple[list[list[Measurement]], list[str]]:
    """Runs that were appended to each other, told by epochs (or steps) that begin again.

    A run that begins again at its first epoch is another run. One that goes back to a later epoch was resumed
    from there: what had come after that epoch is replaced.
    """
    curves = set(curves)
    runs: list[list[Measurement]] = [[]]
    notes: list[str] = []
    seen: set[tuple[str, float]] = set()
    latest: dict[str, float] = {}
    first = math.inf
    for m in found:
        key = m.epoch if m.epoch is not None else m.step
        own = curves & m.values.keys()
        if key is None or not own:
            runs[-1].append(m)
            continue
        if any(key < latest.get(c, -math.inf) and (c, key) in seen for c in own):
            unit = "epoch" if m.epoch is not None else "step"
            if len(notes) == _MOST_RESTARTS:
                raise BadHistory(
                    f"The {unit}s start over more than {_MOST_RESTARTS} times, at {line_word} {m.line} once "
                    "more. Give the file a column called run, or sort its lines."
                )
            if key <= first:
                runs.append([])
                seen, latest, first = set(), {}, math.inf
                notes.append(
                    f"From {line_word} {m.line} on the {unit}s start over at {key:g}: that is another run."
                )
            else:
                runs[-1] = [o for o in runs[-1] if _key(o) is None or _key(o) < key]  # type: ignore[operator]
                seen = {(c, k) for c, k in seen if k < key}
                notes.append(
                    f"From {line_word} {m.line} on the run was resumed at {unit} {key:g}: what it had "
                    f"recorded after that point before is left out."
                )
                latest = {}
        runs[-1].append(m)
        first = min(first, key)
        for c in own:
            seen.add((c, key))
            latest[c] = max(latest.get(c, -math.inf), key)
    return _without_later_checks(runs, curves, notes), notes


def _without_later_checks(
    runs: list[list[Measurement]], curves: set[str], notes: list[str]
) -> list[list[Measurement]]:
    """The runs without a last one of a single row: a network that was measured again, and not trained."""
    if len(runs) > 1 and sum(bool(curves & m.values.keys()) for m in runs[-1]) == 1:
        *before, last = runs
        if len(before[-1]) > 2 and len({_key(m) for m in before[-1]}) > 1:
            notes[-1] = f"Row {last[0].line} comes after the end of the training, so it is left out."
            return before
    return runs


def _key(m: Measurement) -> float | None:
    return m.epoch if m.epoch is not None else m.step


def _refuse_words(table: Table, numbers: Mapping[str, Numbers], columns: tuple[Column, ...]) -> None:
    for column in columns:
        word = numbers[column.name].word
        if word is None or column.taken_for in ("other", "run"):
            continue
        raise BadHistory(
            f"{table.file}, {table.line_word} {word[0]}: {column.name} is {word[1][:40]!r}, which is not a "
            f"number. Correct the {table.line_word}, or say that the column is something else."
        )


def _scales(numbers: Mapping[str, Numbers], columns: tuple[Column, ...]) -> dict[str, float]:
    """1, or 1/100 for an accuracy in percent, by metric."""
    scales: dict[str, float] = {}
    for column in columns:
        own = numbers[column.name]
        highest = max((v for v in own.values.values() if math.isfinite(v)), default=0.0)
        percent = own.percent or highest > 1.001
        is_share = column.taken_for.endswith("accuracy")
        scales[column.metric] = min(scales.get(column.metric, 1.0), 0.01 if is_share and percent else 1.0)
    return scales


def percent_columns(numbers: Mapping[str, Numbers], columns: tuple[Column, ...]) -> list[str]:
    """The accuracies that are given in percent."""
    return [metric for metric, scale in _scales(numbers, columns).items() if scale < 1]


def mixed_units(numbers: Mapping[str, Numbers], columns: tuple[Column, ...]) -> list[str]:
    """The accuracies that stay at or below 1 in a file whose other accuracies are in percent."""
    scales = {m: s for m, s in _scales(numbers, columns).items() if m in curve_metrics(columns)}
    accuracies = [
        c.metric for c in columns if c.taken_for.endswith("accuracy") and scales.get(c.metric) == 1.0
    ]
    return list(dict.fromkeys(accuracies)) if any(scale < 1 for scale in scales.values()) else []


def curve_metrics(columns: tuple[Column, ...]) -> dict[str, Column]:
    """The columns that are drawn as curves, by metric."""
    return {c.metric: c for c in columns if c.taken_for in CURVES and c.is_number}


def _left_out(word: str, lines: list[int], why: str) -> str:
    shown = ", ".join(map(str, lines[:5])) + (f" and {len(lines) - 5} more" if len(lines) > 5 else "")
    return f"Left out: {word} {shown}, because {why}."
