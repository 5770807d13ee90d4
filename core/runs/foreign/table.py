"""A file as a table: every column and every cell that it has, before anything is understood."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from core.errors import ConvoscopeError

Cell = str | float | None
STEP = "(step)"  # the steps of TensorBoard's scalars, which no tag is called

_MISSING = {"", "none", "null", "na", "n/a", "-", "--", "no log", "<na>", "undefined"}
_SPECIAL = {
    "nan": math.nan, "-nan": math.nan, "-nan(ind)": math.nan, "1.#qnan": math.nan, "1.#ind": math.nan,
    "-1.#ind": math.nan, "inf": math.inf, "+inf": math.inf, "infinity": math.inf, "-inf": -math.inf,
    "-infinity": -math.inf, "1.#inf": math.inf, "∞": math.inf,
}  # fmt: skip
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?%?", re.ASCII)
_TENSOR = re.compile(r"tensor\(\s*([^,()\s]+)\s*(,.*)?\)")
_WITH_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?%?", re.ASCII)
_WITH_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?%?", re.ASCII)


_LONGEST_NUMBER = 100  # letters


class BadHistory(ConvoscopeError):
    """A file that is not a history, or one in which nothing can be recognized."""


@dataclass(frozen=True)
class Row:
    """One line of a table, or one event: its number in the file, counted from 1, and its cells."""

    line: int
    cells: dict[str, Cell]


@dataclass(frozen=True)
class Table:
    """A file, read without loss.

    Attributes:
        file: Its name.
        form: What kind of file it is, in words: "a table of 5 columns separated by commas".
        columns: The names of the columns in their order.
        notes: What was noticed while reading, in sentences.
        run: The name of the run that the file's own name tells, as TensorBoard's downloads do.
        line_word: What a row is called in messages: "line", "record" or "event".
        joined: Whether columns of several runs may stand side by side, each called "run - metric".
    """

    file: str
    form: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    run: str = ""
    line_word: str = "line"
    joined: bool = field(default=False)


@dataclass(frozen=True)
class Numbers:
    """The numbers of one column.

    Attributes:
        values: The number of each row that has one, by the row's place in the table.
        word: The first cell that is not a number, and its line; None where there is none.
    """

    values: dict[int, float]
    word: tuple[int, str] | None = None
    percent: bool = False


def numbers_of(table: Table) -> dict[str, Numbers]:
    """All columns as numbers; cells that say "not measured" are left out.

    Raises:
        BadHistory: Commas stand for both decimals and thousands.
    """
    commas_are_decimal = _commas_are_decimal(table)
    values: dict[str, dict[int, float]] = {name: {} for name in table.columns}
    words: dict[str, tuple[int, str]] = {}
    percent: set[str] = set()
    for place, row in enumerate(table.rows):
        for name, cell in row.cells.items():
            number = cell_number(cell, commas_are_decimal)
            if isinstance(number, str):
                words.setdefault(name, (row.line, number))
            elif number is not None:
                values[name][place] = number
                if isinstance(cell, str) and cell.endswith("%"):
                    percent.add(name)
    return {n: Numbers(values[n], words.get(n), n in percent) for n in table.columns}


def unique(names: Iterable[str]) -> list[str]:
    """Names of columns, each once: the second "loss" becomes "loss (2)"; one without a name "column 3"."""
    found: list[str] = []
    seen: set[str] = set()
    times: dict[str, int] = {}
    for place, name in enumerate(names):
        name = name.strip() or f"column {place + 1}"
        free = name
        while free in seen:
            times[name] = times.get(name, 1) + 1
            free = f"{name} ({times[name]})"
        seen.add(free)
        found.append(free)
    return found


def is_number(text: str) -> bool:
    """Whether a cell's text is a number that is written with a point, or with one decimal comma."""
    text = text.strip()
    return bool(_NUMBER.fullmatch(text) or _WITH_COMMA.fullmatch(text))


def cell_number(cell: Cell, commas_are_decimal: bool = False) -> float | str | None:
    """The number in a cell; None where it holds none, and the words where it holds words."""
    if cell is None or isinstance(cell, float):
        return cell
    text = cell.strip()
    if len(text) > _LONGEST_NUMBER:
        return text
    if "_" not in text:
        try:
            return float(text)
        except ValueError:
            pass
    low = text.lower()
    if low in _MISSING:
        return None
    if low in _SPECIAL:
        return _SPECIAL[low]
    if tensor := _TENSOR.fullmatch(text):
        text = tensor[1]
    if "," in text and (_WITH_COMMA.fullmatch(text) or _WITH_THOUSANDS.fullmatch(text)):
        text = text.replace(",", "." if commas_are_decimal else "")
    if not _NUMBER.fullmatch(text):
        return cell.strip()
    return float(text.rstrip("%"))


def _commas_are_decimal(table: Table) -> bool:
    """Whether the comma in a number divides decimals, decided by all cells; False where it does thousands."""
    thousands = decimals = points = None
    for row in table.rows:
        for cell in row.cells.values():
            if not isinstance(cell, str):
                continue
            text = cell.strip()
            if "," not in text:
                points = points or ((row.line, text) if "." in text and _NUMBER.fullmatch(text) else None)
            elif _WITH_THOUSANDS.fullmatch(text):
                thousands = thousands or (row.line, text)
            elif _WITH_COMMA.fullmatch(text):
                decimals = decimals or (row.line, text)
    if decimals and points:
        raise BadHistory(
            f"{table.file}, line {decimals[0]}, has the number {decimals[1]!r} with a decimal "
            f"comma and line {points[0]} has {points[1]!r} with a decimal point. "
            "Write all numbers of the file in one way."
        )
    return not (thousands and points)
