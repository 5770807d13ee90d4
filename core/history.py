"""The history of a run: one JSON object a line, appended as it happens, readable at any moment.

Every line has a `kind`: "start" (what is trained, how long), "step" (every few steps), "epoch" (one each),
"end" (why it ended, in words). Numbers that are not finite are written as the words "nan", "inf" and "-inf",
so that every line is JSON for every reader.
"""

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

Record = dict[str, Any]

FILE = "history.jsonl"
_WORDS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def history_file(variant: str = "") -> str:
    """The name of a history: of the run, or of one beside it in its folder, such as "scikit-learn"."""
    return FILE.replace(".", f"_{variant}.") if variant else FILE


def variants(folder: Path) -> list[str]:
    """The histories in a folder besides the run's own, by name."""
    stem, suffix = FILE.split(".")
    return sorted(p.stem.removeprefix(f"{stem}_") for p in folder.glob(f"{stem}_*.{suffix}"))


def append_record(path: Path, record: Record) -> None:
    """Add one line, in one write, so that a reader never sees two halves of different records."""
    line = json.dumps(_to_words(record), ensure_ascii=False, allow_nan=False) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab") as file:
        file.write(line.encode())


def read_history(path: Path) -> list[Record]:
    """All complete records of a file; none if it is missing. A line still being written is left out."""
    return list(read_new_records(path, 0)[0])


def read_new_records(path: Path, offset: int) -> tuple[list[Record], int]:
    """The records after `offset` bytes, and the offset to go on from: a page reads only what is new."""
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return [], 0
    complete = data[: data.rfind(b"\n") + 1]
    return parse_records(complete), offset + len(complete)


def parse_records(data: bytes) -> list[Record]:
    """The records in a file's bytes; lines that are no JSON object are passed over."""
    records = []
    for line in data.splitlines():
        try:
            record = json.loads(line)
        except ValueError:  # a line cut off by a power failure, with others written after it
            continue
        if isinstance(record, dict):
            records.append(_from_words(record))
    return records


def rewrite_history(path: Path, keep: Callable[[Record], bool]) -> None:
    """Drop what `keep` refuses, at once or not at all: what a run that was killed did after its last save."""
    records = [record for record in read_history(path) if keep(record)]
    partial = path.with_suffix(".partial")
    partial.write_text(
        "".join(json.dumps(_to_words(r), ensure_ascii=False, allow_nan=False) + "\n" for r in records)
    )
    os.replace(partial, path)


def of_kind(history: Iterable[Record], kind: str) -> Iterator[Record]:
    """The records of one kind, in order."""
    return (record for record in history if record.get("kind") == kind)


def _to_words(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _to_words(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_words(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return value


def _from_words(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _from_words(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_from_words(item) for item in value]
    return _WORDS.get(value, value) if isinstance(value, str) else value
