"""Histories that this project wrote: its history.jsonl, and the CSV of Train monitor."""

import math
from collections.abc import Iterable
from typing import Any

from core.history import PlainRecord
from core.paths import from_json
from core.runs.foreign.table import BadHistory, Row, Table, numbers_of

_KINDS = ("start", "features", "step", "epoch", "end")
_WORDS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_FIGURES = (
    "loss", "accuracy", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy",
    "learning_rate", "gradient_norm", "largest_gradient_norm", "images_per_second", "seconds",
)  # fmt: skip
_WHOLE = ("epoch", "step", "skipped_steps")


def looks_like_own_lines(text: str) -> bool:
    """Whether the first line is a record of a kind of ours."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    try:
        record = from_json(first)
    except ValueError:
        return False
    return isinstance(record, dict) and record.get("kind") in _KINDS


def looks_like_own_table(table: Table) -> bool:
    kinds = {row.cells.get("kind") for row in table.rows}
    return "kind" in table.columns and kinds <= {"epoch", "step"}


def own_lines(name: str, text: str) -> tuple[tuple[PlainRecord, ...], tuple[str, ...]]:
    """The records of our own file, and what was left out.

    Raises:
        BadHistory: A record has a value that its kind cannot have.
    """
    records, damaged = [], []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            record = from_json(line)
        except ValueError:
            damaged.append(number)
            continue
        if isinstance(record, dict) and record.get("kind") in _KINDS:
            records.append(_checked(f"{name}, line {number}", record))
    notes = (
        (f"Left out: line {', '.join(map(str, damaged[:5]))}, which is cut off or damaged.",)
        if damaged
        else ()
    )
    return tuple(records), notes


def own_runs(name: str, table: Table) -> dict[str, tuple[PlainRecord, ...]]:
    """The records of each run in the CSV of Train monitor."""
    numbers = numbers_of(table)
    runs: dict[str, list[PlainRecord]] = {}
    for place, row in enumerate(table.rows):
        record: PlainRecord = {"kind": row.cells["kind"]}
        for column in table.columns:
            word = numbers[column].word
            if column in ("kind", "run"):
                continue
            if word is not None:
                raise BadHistory(
                    f"{name}, line {word[0]}: {column} is {word[1][:40]!r}, which is not a number."
                )
            if place in numbers[column].values:
                record[column] = numbers[column].values[place]
        runs.setdefault(_run_of(row), []).append(_checked(f"{name}, line {row.line}", record))
    return {run: tuple(records) for run, records in runs.items()}


def _run_of(row: Row) -> str:
    return str(row.cells.get("run") or "")


def _checked(where: str, record: PlainRecord) -> PlainRecord:
    """A record of the figures that we know; the settings of a start and the words of an end stay."""
    kind = record["kind"]
    if kind in ("start", "features", "end"):
        for key, value in list(record.items()):
            if key in ("settings", "metrics") and not isinstance(value, dict):
                raise BadHistory(f"{where}: {key} is {_short(value)}, where names with values are expected.")
            if key in ("epochs", "steps_an_epoch", "train_images", "validation_images", "done", "of"):
                record[key] = _whole(where, key, value)
        return record
    checked: PlainRecord = {"kind": kind}
    for key, value in record.items():
        if key in _WHOLE:
            checked[key] = _whole(where, key, value)
        elif key in _FIGURES and value is not None:
            checked[key] = _float(where, key, value)
    for key in ("epoch", "step") if kind == "step" else ("epoch",):
        if key not in checked:
            raise BadHistory(f"{where}: the record has no whole number called {key!r}.")
    return checked


def _whole(where: str, key: str, value: Any) -> int:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not abs(value) < 2**53
        or value != int(value)
    ):
        raise BadHistory(f"{where}: {key} is {_short(value)}, where a whole number is expected.")
    return int(value)


def _float(where: str, key: str, value: Any) -> float:
    value = _WORDS.get(value, value) if isinstance(value, str) else value
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:  # a whole number of more than 308 digits
            pass
    raise BadHistory(f"{where}: {key} is {_short(value)}, which is not a number.")


def _short(value: Any) -> str:
    return repr(value)[:40]


def has_figures(records: Iterable[PlainRecord]) -> bool:
    names = ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy", "loss", "accuracy")
    return any(name in r for r in records if r["kind"] in ("epoch", "step") for name in names)
