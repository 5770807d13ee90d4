"""Histories that other programs wrote, as the records of ours: CSV, TensorBoard event files, history.jsonl.

What a column or a tag means is told from its name, as Keras, Lightning, fastai, timm, Ultralytics and loops
written by hand name them: a word for the quantity (loss, accuracy, rate, gradient), perhaps one for the part
(val, train).
"""

import csv
import io
import json
import math
import re
from collections import defaultdict
from collections.abc import Mapping
from itertools import pairwise
from pathlib import PurePath
from typing import Any

from core.errors import ConvoscopeError
from core.history import PlainRecord as Record
from core.history import parse_records
from core.runs.tensorboard_events import BadEvents, looks_like_events, read_scalars

MAXIMUM_BYTES = 200 * 2**20

_HELD_OUT = {"val", "valid", "validation", "eval", "dev", "test", "heldout"}
_TRAIN = {"train", "training"}
_EPOCH = {"epoch", "epochs"}
_STEP = {"step", "steps", "iteration", "iter", "batch", "globalstep"}
_RATE = {"lr", "rate", "learningrate"}


class BadHistory(ConvoscopeError):
    """A file that is no history, or one in which nothing can be recognized."""


def read_foreign(name: str, data: bytes) -> dict[str, list[Record]]:
    """The histories of a file by name: several where a table has a column "run", otherwise one.

    Raises:
        BadHistory: It is too large, damaged, or holds no loss and no accuracy under a name that is known.
    """
    if not looks_like_events(data) and b"run" in data.partition(b"\n")[0]:
        rows = _rows(data.decode("utf-8-sig", "replace"))
        runs = {row["run"]: [r for r in rows if r.get("run") == row["run"]] for row in rows if "run" in row}
        if len(runs) > 1:
            return {run or name: from_table(name, lines) for run, lines in runs.items()}
    return {name: read_one(name, data)}


def read_one(name: str, data: bytes) -> list[Record]:
    """The records of a file, by what is in it and not by how it is called.

    Raises:
        BadHistory: It is too large, damaged, or holds no loss and no accuracy under a name that is known.
    """
    if len(data) > MAXIMUM_BYTES:
        raise BadHistory(
            f"{name} has {len(data) / 2**20:.0f} MB; at most {MAXIMUM_BYTES // 2**20} MB are read. "
            "Export the scalars alone, as CSV."
        )
    if not data.strip():
        raise BadHistory(f"{name} is empty. Choose a CSV, a TensorBoard event file or a history.jsonl.")
    if looks_like_events(data):
        try:
            records = from_scalars(read_scalars(data))
        except BadEvents as error:
            raise BadHistory(f"{name} is a damaged event file: {error} Copy it again.") from None
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise BadHistory(
                f"{name} is neither text nor a TensorBoard event file. Choose a CSV, an event file "
                "(events.out.tfevents…) or a history.jsonl."
            ) from None
        records = _from_json_lines(text) if text.lstrip().startswith("{") else from_table(name, _rows(text))
    if not any(_is_useful(record) for record in records):
        raise BadHistory(
            f"{name} holds no loss and no accuracy under a name that is known here. Call the columns epoch, "
            "train_loss, validation_loss, train_accuracy, validation_accuracy."
        )
    return records


def from_table(name: str, rows: list[dict[str, str]]) -> list[Record]:
    """Records of a table with one line an epoch or a step; lines that share an epoch become one record.

    Raises:
        BadHistory: A value is no number.
    """
    if not rows:
        raise BadHistory(f"{name} has a heading and no lines, or no heading: there is nothing to draw.")
    if {"Wall time", "Step", "Value"} <= set(rows[0]):  # TensorBoard's own download of one scalar
        tag = PurePath(name).stem
        return from_scalars({tag: [(int(float(r["Step"])), float(r["Value"])) for r in rows]})
    columns = {column: meaning(column) for column in rows[0] if column}
    places = {c: m for c, m in columns.items() if m in ("epoch", "step")}
    has_epoch = "epoch" in places.values()
    known = {c: m for c, m in columns.items() if m and c not in places}
    if any(m == "validation_loss" for m in known.values()):  # without a word for its part it is training's
        known = {c: ("train_accuracy" if m == "accuracy" and "validation_accuracy" in known.values() else
                     "validation_accuracy" if m == "accuracy" else m) for c, m in known.items()}  # fmt: skip
    known = {c: _TRAIN_NAMES.get(m, m) for c, m in known.items()}
    explicit = "kind" in rows[0]
    epochs: dict[int, Record] = {}
    steps: list[Record] = []
    for number, row in enumerate(rows):
        values = {}
        for column, m in known.items():
            if (value := _number(name, column, row.get(column), number)) is not None and (
                m not in values or "step" not in column.lower()
            ):
                values[m] = value
        at = {m: v for c, m in places.items() if (v := _number(name, c, row.get(c), number)) is not None}
        if explicit and row.get("kind") == "step":
            place = {"epoch": int(at.get("epoch", 0)), "step": int(at.get("step", number))}
            named = {_STEP_NAMES.get(m, m): v for m, v in values.items()}
            steps.append({"kind": "step", **place, **named})
            continue
        if not values:
            continue
        epoch = int(at["epoch"]) if has_epoch and "epoch" in at else number + 1
        record = epochs.setdefault(epoch, {"kind": "epoch", "epoch": epoch})
        record.update(values)
        if "step" in at:
            record["step"] = int(at["step"])
    records = [epochs[epoch] for epoch in sorted(epochs)]
    if records and records[0]["epoch"] == 0:  # counted from 0 there, from 1 here
        for record in records:
            record["epoch"] += 1
    return _shares([*steps, *records])


def from_scalars(scalars: Mapping[str, list[tuple[int, float]]]) -> list[Record]:
    """Records of TensorBoard's scalars: tags written once an epoch become epochs, denser ones steps."""
    known = {tag: m for tag in scalars if (m := meaning(tag)) and m not in ("epoch", "step")}
    epochs: dict[int, Record] = {}
    records: list[Record] = []
    dense = {tag for tag in known if _is_dense(tag, scalars[tag], scalars, known)}
    # Epochs are counted where the steps are those of batches: the places of the tags written once an epoch.
    places = sorted({step for tag in known if tag not in dense for step, _ in scalars[tag]})
    consecutive = places == list(range(places[0], places[0] + len(places))) if places else True
    number = {step: i + 1 for i, step in enumerate(places)}
    for tag, m in known.items():
        if tag in dense:
            name = _STEP_NAMES.get(_TRAIN_NAMES.get(m, m), m)
            records += [{"kind": "step", "epoch": 0, "step": step, name: v} for step, v in scalars[tag]]
            continue
        for step, value in scalars[tag]:
            record = epochs.setdefault(number[step], {"kind": "epoch", "epoch": number[step]})
            record[_TRAIN_NAMES.get(m, m)] = value
            if not consecutive:
                record["step"] = step
    merged: dict[int, Record] = defaultdict(dict)
    for record in records:
        merged[record["step"]] |= record
    steps = [merged[step] for step in sorted(merged)]
    whole = [epochs[epoch] for epoch in sorted(epochs)]
    _add_means(whole, steps)
    return _shares([*steps, *whole])


def _add_means(epochs: list[Record], steps: list[Record]) -> None:
    """Training's loss and accuracy of an epoch, where only those of its steps were written: their means."""
    for name, ours in _STEP_NAMES.items():
        before = -1
        for record in epochs:
            if name not in record and "step" in record:
                values = [s[ours] for s in steps if before < s["step"] <= record["step"] and ours in s]
                if values:
                    record[name] = sum(values) / len(values)
            before = record.get("step", before)


# Without a word for the part, a quantity is that of training.
_TRAIN_NAMES = {"loss": "train_loss", "accuracy": "train_accuracy"}
_STEP_NAMES = {"train_loss": "loss", "train_accuracy": "accuracy"}


def meaning(name: str) -> str | None:
    """What a column or tag is, in our words; None for what is not drawn here.

    "epoch", "step", "learning_rate", "gradient_norm", and "loss" or "accuracy", with "train_" or
    "validation_" before them where the name says so.
    """
    words = [w for w in re.split(r"[^a-z0-9]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()) if w]
    found = set(words) | {a + b for a, b in pairwise(words)}
    if words and len(words) == 1 and words[0] in _EPOCH:
        return "epoch"
    if found & _STEP and not found & {"loss", "accuracy", "acc"}:
        return "step"
    if found & _RATE or (words and words[0] == "lr"):
        return "learning_rate"
    if "norm" in found and found & {"grad", "gradient", "gradients"}:
        return "largest_gradient_norm" if found & {"largest", "max"} else "gradient_norm"
    part = "validation_" if found & _HELD_OUT else "train_" if found & _TRAIN else ""
    if "loss" in found or found & {"nll", "crossentropy"}:
        return f"{part}loss"
    if found & {"accuracy", "acc", "top1", "acc1", "prec1", "accuracytop1"}:
        return f"{part}accuracy" if not found & {"top5", "acc5"} else None
    if name in ("seconds", "images_per_second"):
        return name
    return None


def _is_dense(
    tag: str, points: list[tuple[int, float]], scalars: Mapping[str, Any], known: Mapping[str, str]
) -> bool:
    """Whether a tag was written at more places than the validation's, so that its places are batches."""
    if "epoch" in re.split(r"[^a-z]+", tag.lower()):
        return False
    held = [len(scalars[t]) for t, m in known.items() if m.startswith("validation_")]
    return len(points) > 1.5 * max(held) if held else len(points) > 1000


def _rows(text: str) -> list[dict[str, str]]:
    heading = text.partition("\n")[0]
    separator = max(",;\t", key=heading.count)
    reader = csv.DictReader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
    return [{(k or "").strip(): (v or "") for k, v in row.items() if isinstance(v, str)} for row in reader]


def _number(file: str, column: str, text: str | None, line: int) -> float | None:
    text = (text or "").strip()
    if not text or text.lower() in ("none", "null", "na", "n/a", "-"):
        return None
    try:
        return float(text.rstrip("%"))
    except ValueError:
        raise BadHistory(
            f"{file}, line {line + 2}: {column} is {text[:40]!r}, which is no number. Correct the line, or "
            "rename the column if it is something else."
        ) from None


def _shares(records: list[Record]) -> list[Record]:
    """Accuracies given in percent become shares of 1."""
    for name in ("train_accuracy", "validation_accuracy", "accuracy"):
        values = [r[name] for r in records if name in r and math.isfinite(r[name])]
        if values and max(values) > 1.5:
            for record in records:
                if name in record:
                    record[name] /= 100
    return records


def _is_useful(record: Record) -> bool:
    names = ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy", "loss", "accuracy")
    return record.get("kind") in ("epoch", "step") and any(isinstance(record.get(n), float) for n in names)


def _from_json_lines(text: str) -> list[Record]:
    """Our own file, line by line; and one JSON object of lists, as Keras' `History.history` is saved."""
    try:
        whole = json.loads(text)
    except ValueError:
        whole = None
    if isinstance(whole, dict) and whole and all(isinstance(v, list) for v in whole.values()):
        length = max(map(len, whole.values()))
        rows = [{k: str(v[i]) if i < len(v) else "" for k, v in whole.items()} for i in range(length)]
        return from_table("The file", rows)
    return [_checked(record) for record in parse_records(text.encode())]


def _checked(record: Record) -> Record:
    """A record of a stranger's file: numbers where we expect numbers, and no kinds but ours."""
    kind = record.get("kind")
    if kind in ("epoch", "step"):
        if not isinstance(record.get(kind), int):
            raise BadHistory(
                f"A record of kind {kind!r} has no whole number called {kind!r}: {str(record)[:80]}"
            )
        return {k: float(v) if isinstance(v, float | int) and k not in ("epoch", "step") else v
                for k, v in record.items() if isinstance(v, float | int | str)}  # fmt: skip
    return record if kind in ("start", "end") and isinstance(record.get("settings", {}), dict) else {}
