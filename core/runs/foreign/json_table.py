"""Tables in JSON: lists of records, one record a line, lists or numbered objects under each name.

Keras' History, trainer_state.json and its log_history, log.txt of DeiT and DETR, pandas' `to_json` in each of
its orientations.
"""

import json
import math
from itertools import chain
from typing import Any

from core.runs.foreign.table import BadHistory, Cell, Row, Table, unique
from core.settings import JsonObject

_HOLDERS = (
    "log_history",
    "history",
    "records",
    "data",
    "logs",
    "log",
    "metrics",
    "results",
    "epochs",
    "rows",
)
_DEEPEST = 6  # objects within objects
_MOST_COLUMNS = 2000


def looks_like_json(text: str) -> bool:
    return text.lstrip()[:1] in ("{", "[")


def json_table(name: str, text: str) -> Table:
    """Read a table that is written as JSON.

    Raises:
        BadHistory: It is not JSON, or holds nothing that is a table.
    """
    notes: tuple[str, ...] = ()
    form = "JSON"
    try:
        whole = json.loads(text)
    except RecursionError:
        raise BadHistory(f"{name} has objects within objects too deep to be a history.") from None
    except ValueError as error:
        whole, notes = _lines(name, text, error)
        form = "JSON, one record a line"
    else:
        if isinstance(whole, dict) and text.count("\n") == 0 and _is_record(whole):
            whole = [whole]
    records = _records(whole, 0)
    if records is None:
        raise BadHistory(
            f"{name} is JSON without a table. A list of records such as "
            '[{"epoch": 1, "loss": 0.5}] or a list of numbers under each name is read.'
        )
    if not records:
        raise BadHistory(f"{name} is JSON with a table that has no records: there is nothing to draw.")
    rows = []
    names: dict[str, None] = {}
    for number, record in records:
        cells: dict[str, Cell] = {}
        _flatten(record, "", 0, cells)
        names |= dict.fromkeys(cells)
        rows.append(Row(number, cells))
        if len(names) > _MOST_COLUMNS:
            raise BadHistory(
                f"{name} has more than {_MOST_COLUMNS:,} names in its records. Keep those of the curves."
            )
    if not names:
        raise BadHistory(
            f"{name} is JSON whose records hold neither numbers nor words: there is nothing to draw."
        )
    return Table(
        name, f"{form}, {len(rows)} records", tuple(names), tuple(rows), notes, line_word="record",
        joined=any(" - " in column for column in names),
    )  # fmt: skip


def _lines(name: str, text: str, whole: ValueError) -> tuple[list[Any], tuple[str, ...]]:
    """The records of a file with one a line; a last line that is cut off is left out."""
    lines = [(i + 1, line) for i, line in enumerate(text.splitlines()) if line.strip()]
    found: list[Any] = []
    for number, line in lines:
        try:
            record = json.loads(line)
        except RecursionError:
            raise BadHistory(f"{name}, line {number} has objects within objects too deep.") from None
        except ValueError as error:
            if not found:  # not one record a line: what is wrong with the whole says more
                raise BadHistory(f"{name} is not valid JSON: {_where(whole)}. Export it again.") from None
            if number == lines[-1][0]:
                return found, (f"Line {number} is cut off, so it was left out.",)
            raise BadHistory(f"{name}, line {number} is not valid JSON: {_where(error)}.") from None
        if not isinstance(record, dict):
            raise BadHistory(f"{name}, line {number} is JSON, but not a record of names and values.")
        found.append(record)
    return found, ()


def _where(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} (line {error.lineno}, column {error.colno})"
    return "a number in it has too many digits"


def _is_record(value: JsonObject) -> bool:
    return bool(value) and not any(isinstance(v, list | dict) for v in value.values())


def _records(value: Any, depth: int) -> list[tuple[int, JsonObject]] | None:
    """The records of a table in any of its shapes, numbered from 1; None where there is no table."""
    if depth > _DEEPEST:
        return None
    if isinstance(value, list):
        if value and all(isinstance(item, dict) for item in value):
            return list(enumerate(value, 1))
        return [] if not value and depth else None
    if not isinstance(value, dict) or not value:
        return None
    if isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):  # pandas: "split"
        heading = unique(map(str, value["columns"]))
        lines = [row for row in value["data"] if isinstance(row, list)]
        return [(i, dict(zip(heading, row, strict=False))) for i, row in enumerate(lines, 1)]
    inner = [value[key] for key in _HOLDERS if isinstance(value.get(key), list | dict)]
    for held in inner:
        if (found := _records(held, depth + 1)) is not None:
            return found
    if _counted(value) and all(isinstance(v, dict) for v in value.values()):  # pandas: "index"
        return list(enumerate((value[key] for key in sorted(value, key=int)), 1))
    columns: dict[str, dict[int, Any]] = {}
    _columns(value, "", 0, columns)
    if not columns:
        return None
    places = sorted(set(chain.from_iterable(columns.values())))
    return [(i, {c: v[p] for c, v in columns.items() if p in v}) for i, p in enumerate(places, 1)]


def _columns(value: JsonObject, prefix: str, depth: int, found: dict[str, dict[int, Any]]) -> None:
    """Lists, and objects whose keys count, under their names; names within names are joined by "/"."""
    for key, held in value.items():
        name = f"{prefix}{key}"
        if isinstance(held, list) and held and not any(isinstance(v, list | dict) for v in held):
            found[name] = dict(enumerate(held))
        elif isinstance(held, dict) and depth < _DEEPEST:
            if _counted(held) and not any(isinstance(v, list | dict) for v in held.values()):
                found[name] = {int(k): v for k, v in held.items()}
            else:
                _columns(held, f"{name}/", depth + 1, found)


def _counted(value: JsonObject) -> bool:
    return bool(value) and all(key.isascii() and key.isdigit() and len(key) < 10 for key in value)


def _flatten(record: JsonObject, prefix: str, depth: int, cells: dict[str, Cell]) -> None:
    """The cells of a record; those of records within it are called "outer/inner". Lists are left out."""
    for key, value in record.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            if depth < _DEEPEST:
                _flatten(value, f"{name}/", depth + 1, cells)
        elif isinstance(value, bool):
            cells[name] = str(value)
        elif isinstance(value, int | float):
            try:
                cells[name] = float(value)
            except OverflowError:
                cells[name] = math.inf if value > 0 else -math.inf
        elif value is None or isinstance(value, str):
            cells[name] = value
