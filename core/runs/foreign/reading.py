"""The door of this package: a file, read and understood, and told in words."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePath

from core.history import PlainRecord
from core.runs.foreign.column_choice import CURVES, Column, choose_columns
from core.runs.foreign.epochs import STEPS_ARE, Placed, placed
from core.runs.foreign.event_table import event_table, looks_like_events
from core.runs.foreign.json_table import json_table, looks_like_json
from core.runs.foreign.own_history import (
    has_figures,
    looks_like_own_lines,
    looks_like_own_table,
    own_lines,
    own_runs,
)
from core.runs.foreign.rows import (
    curve_metrics,
    measurements,
    mixed_units,
    percent_columns,
    separate_runs,
    without_unmeasured,
)
from core.runs.foreign.table import STEP, BadHistory, Table, numbers_of
from core.runs.foreign.text_table import text_table

MAXIMUM_MEGABYTES = 8  # of text: some 300,000 lines, which take half a minute
MAXIMUM_MEGABYTES_OF_EVENTS = 32

_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_STRANGE = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xff]")
_NO_CURVE = (
    "holds no loss and no accuracy under a name that is known here. Say which column is which, or call the "
    "columns epoch, train_loss, validation_loss, train_accuracy, validation_accuracy."
)


@dataclass(frozen=True)
class ReadRun:
    """One run of a file.

    Attributes:
        name: As the file calls it, or the name of the file.
        placed: Its epochs, steps and extra curves; None for a history of our own.
        own: The records of a history of our own, as they are.
    """

    name: str
    placed: Placed | None = None
    own: tuple[PlainRecord, ...] = ()


@dataclass(frozen=True)
class HistoryReading:
    """What a file was taken for.

    Attributes:
        file: Its name.
        form: What kind of file it is, in words.
        columns: What each column was taken for, and why; none for a history of our own.
        notes: What was left out or repaired while reading, in sentences.
        steps_guess: What was taken for granted about its steps; "" where nothing was.
        problem: Why nothing can be drawn, in a sentence; "" where something can.
    """

    file: str
    form: str
    runs: tuple[ReadRun, ...]
    columns: tuple[Column, ...] = ()
    notes: tuple[str, ...] = ()
    steps_guess: str = ""
    problem: str = ""

    @property
    def is_open(self) -> bool:
        """Whether something was guessed that a person should look at."""
        return bool(self.problem or self.steps_guess or any(c.is_guess for c in self.columns))

    def sentences(self) -> list[str]:
        """What the file was taken for, in words."""
        names = [run.name for run in self.runs]
        runs = f"{len(names)} runs ({', '.join(names[:6])}{', …' if len(names) > 6 else ''})"
        found = [f"{self.file} is {self.form}; it holds {'one run' if len(names) == 1 else runs}."]
        found += list(self.notes)
        found += [self.steps_guess] if self.steps_guess else []
        kept: dict[str, list[str]] = {}
        for column in {c.metric: c for c in self.columns}.values():
            if column.taken_for in CURVES:
                steps = " of single steps" if column.level == "step" else ""
                guess = "a guess: " if column.is_guess else ""
                found.append(
                    f"{column.metric} is the {CURVES[column.taken_for]}{steps} ({guess}{column.reason})."
                )
            elif column.taken_for == "other":
                what = "kept as an extra curve" if column.is_number else "left out"
                kept.setdefault(f"{what}: {column.reason}", []).append(column.metric)
            elif column.name != STEP and column.metric.lower() != column.taken_for:
                found.append(f"{column.metric} is the {column.taken_for}.")
        for why, metrics in kept.items():
            more = f" and {len(metrics) - 8} more" if len(metrics) > 8 else ""
            found.append(f"{', '.join(metrics[:8])}{more}: {why}.")
        return found


def read_history(
    name: str, data: bytes, said: Mapping[str, str] | None = None, *, steps_are: str = ""
) -> HistoryReading:
    """Read a history, by what is in it and not by how it is called.

    Args:
        said: What a person says that columns are, by name, such as {"val_loss": "validation_loss"}; one of
            `column_choice.MEANINGS` each.
        steps_are: "epochs" or "batches", for files that count steps only; "" to be guessed.

    Raises:
        BadHistory: It is too large or damaged, or `said` names what is not there. A file in which nothing is
            recognized is a result with a `problem`, since its columns can still be named.
    """
    is_events = looks_like_events(data)
    most = MAXIMUM_MEGABYTES_OF_EVENTS if is_events else MAXIMUM_MEGABYTES
    if len(data) > most * 2**20:
        raise BadHistory(
            f"{name} has {len(data) / 2**20:.0f} MB; at most {most} MB are read. Export the scalars of the "
            "epochs alone, as CSV."
        )
    if steps_are and steps_are not in STEPS_ARE:
        raise BadHistory(f"Steps cannot count {steps_are!r}. Choose one of {', '.join(STEPS_ARE)}.")
    if not data.strip():
        raise BadHistory(
            f"{name} is empty. Choose a CSV, a JSON, a TensorBoard event file or a history.jsonl."
        )
    if is_events:
        return _understood(name, event_table(name, data), said or {}, steps_are)
    text = _decoded(name, data)
    if looks_like_json(text):
        if looks_like_own_lines(text):
            records, notes = own_lines(name, text)
            problem = "" if has_figures(records) else f"{name} {_NO_CURVE}"
            form = "a history of Convoscope"
            return HistoryReading(name, form, (ReadRun(name, own=records),), notes=notes, problem=problem)
        table = json_table(name, text)
    else:
        table = text_table(name, text)
    if looks_like_own_table(table):
        found = own_runs(name, table)
        runs = tuple(ReadRun((run if len(found) > 1 else "") or name, own=r) for run, r in found.items())
        return HistoryReading(name, "a CSV of Convoscope's curves", runs, notes=table.notes)
    return _understood(name, table, said or {}, steps_are)


def _understood(name: str, table: Table, said: Mapping[str, str], steps_are: str) -> HistoryReading:
    numbers = numbers_of(table)
    columns = choose_columns(table, numbers, said)
    curves = curve_metrics(columns)
    drawn = {metric for metric, column in curves.items() if column.taken_for.endswith(("loss", "accuracy"))}
    by_run, left_out = measurements(table, numbers, columns)
    notes = [*table.notes, *left_out]
    percent = percent_columns(numbers, columns)
    if percent:
        notes.append(f"{', '.join(percent)} {'is' if len(percent) == 1 else 'are'} given in percent.")
    if unsure := mixed_units(numbers, columns):
        notes.append(
            f"{', '.join(unsure)} stays at or below 1, so it was taken for shares of 1 although another "
            "accuracy is in percent. If it is in percent too, write % behind its values."
        )
        columns = tuple(replace(c, is_guess=True) if c.metric in unsure else c for c in columns)
    runs: list[ReadRun] = []
    guesses: dict[str, None] = {}
    several = len(by_run) > 1
    axis = next((c.metric for c in columns if c.taken_for == "step"), "")
    for label, found in by_run.items():
        found = without_unmeasured(found, curves, table)
        parts, restarts = separate_runs(found, drawn, table.line_word)
        notes += restarts
        for number, part in enumerate(parts, 1):
            own = placed(part, curves, steps_are, axis)
            if not own.epochs and not own.steps and several:
                continue
            title = label or name
            runs.append(ReadRun(f"{title} (run {number})" if len(parts) > 1 else title, own))
            notes += [n for n in own.notes if n not in notes]
            guesses |= dict.fromkeys([own.guess] if own.guess else [])
    has_curve = any(
        name.endswith(("loss", "accuracy")) for run in runs if run.placed is not None
        for figures in (*run.placed.epochs, *run.placed.steps) for name in figures.values
    )  # fmt: skip
    return HistoryReading(
        name, table.form, tuple(runs), columns, tuple(notes), " ".join(guesses),
        "" if has_curve else f"{name} {_NO_CURVE}",
    )  # fmt: skip


def _decoded(name: str, data: bytes) -> str:
    """The text of a file: UTF-8, UTF-16 with its mark, or what Windows wrote for western languages.

    Raises:
        BadHistory: It is not text.
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") and len(data) % 2 == 0:
        encodings = ["utf-16"]
    else:
        encodings = ["utf-8-sig", *(["cp1252"] if _could_be_text(data) else [])]
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    if "tfevents" in PurePath(name).name:
        raise BadHistory(
            f"{name} is a damaged event file: its first event does not match its checksum. Copy it again."
        )
    if (line := _line_of_strange_byte(data)) is not None:
        raise BadHistory(
            f"{name}, line {line} holds a byte that is not text. Correct the line, or copy the file again."
        )
    raise BadHistory(
        f"{name} is neither text nor a TensorBoard event file. Choose a CSV, a JSON, an event file "
        "(events.out.tfevents…) or a history.jsonl."
    )


def _could_be_text(data: bytes) -> bool:
    begin = data[:65536]
    return not _CONTROL.search(begin) and sum(byte > 127 for byte in begin) < 0.1 * len(begin)


def _line_of_strange_byte(data: bytes) -> int | None:
    """The line of the first byte that text has not, counted from 1; None where none of it is text."""
    strange = [match.start() for match in _STRANGE.finditer(data)]
    if not strange or len(strange) > 0.1 * len(data):
        return None
    return 1 + len(re.findall(rb"\r\n|\r|\n", data[: strange[0]]))
