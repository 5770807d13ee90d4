"""The text of a confusion matrix as a table of cells, whatever program wrote it: nothing is decided here.

Read are CSV with any separator, Markdown, what NumPy, PyTorch, pandas, caret (R) and Weka print, and JSON.
"""

import csv
import re
from dataclasses import dataclass
from typing import Any

from core.errors import ConvoscopeError
from core.paths import from_json

MAXIMUM_BYTES = 20 * 2**20
_SEPARATORS = "\t;|,"


class BadMatrix(ConvoscopeError):
    """A file that holds no confusion matrix."""


@dataclass(frozen=True)
class Table:
    """Cells as they are written.

    Attributes:
        rows: The lines; not all need be of one length.
        layout: What kind of text it is, in words.
        separator: What stood between the cells; empty where it was not a separated list.
        row_axis: What the text says of its rows, such as "Actual"; empty where it says nothing.
        column_axis: The same of its columns.
        named: Whether rows and columns certainly have names in the first column and row.
    """

    rows: list[list[str]]
    layout: str
    separator: str = ""
    row_axis: str = ""
    column_axis: str = ""
    named: bool = False


def table_of(data: bytes, name: str) -> Table:
    """The cells of a file.

    Raises:
        BadMatrix: It is not text, too large, or empty.
    """
    if len(data) > MAXIMUM_BYTES:
        raise BadMatrix(
            f"{name} has {len(data) / 2**20:.0f} MB; a matrix of up to {MAXIMUM_BYTES // 2**20} MB is read. "
            "Choose the file of the matrix alone."
        )
    text = _decoded(data, name)
    found = _json(text) or _brackets(text) or _weka(text) or _printed(text) or _separated(text, name)
    rows = [[cell.strip() for cell in row] for row in found.rows]
    rows = [row for row in rows if any(row)]
    if not rows:
        raise BadMatrix(f"{name} has no numbers: it needs one line of them for each class.")
    return Table(rows, found.layout, found.separator, found.row_axis, found.column_axis, found.named)


def _decoded(data: bytes, name: str) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        marked = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        text = data.decode("utf-16" if marked else "cp1252", errors="replace")
    if "\0" in text:
        raise BadMatrix(f"{name} is not text: save the matrix as CSV (in a spreadsheet: File, Save as, CSV).")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise BadMatrix(f"{name} is empty: it needs one line of numbers for each class.")
    return text


def _json(text: str) -> Table | None:
    """A list of lists, an object with such a list and names, or pandas' object of columns."""
    try:
        held: Any = from_json(text)
    except ValueError:
        return None
    names: list[str] = []
    if isinstance(held, dict):
        listed = [value for value in held.values() if _is_rows(value)]
        if len(listed) == 1:
            words = [
                v for v in held.values() if isinstance(v, list) and v and all(isinstance(x, str) for x in v)
            ]
            names = words[0] if len(words) == 1 and len(words[0]) == len(listed[0]) else []
            held = listed[0]
        elif held and all(isinstance(value, dict) for value in held.values()):
            columns, rows = list(held), list(next(iter(held.values())))
            cells = [[r, *(_word(held[c].get(r, "")) for c in columns)] for r in rows]
            return Table([["", *columns], *cells], "JSON of columns, as pandas writes it", named=True)
    if not _is_rows(held):
        return None
    cells = [[_word(cell) for cell in row] for row in held]
    if names:
        return Table(
            [["", *names], *([n, *row] for n, row in zip(names, cells, strict=True))], "JSON", named=True
        )
    return Table(cells, "JSON")


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(
        isinstance(row, list) and all(isinstance(c, int | float | str) for c in row) for row in value
    )  # fmt: skip


def _word(cell: Any) -> str:
    return f"{cell:.15g}" if isinstance(cell, float) else str(cell)


def _brackets(text: str) -> Table | None:
    """[[48, 2], [5, 45]] as NumPy and PyTorch print it, with or without array( or tensor( around."""
    found = re.fullmatch(
        r"\s*(?:array|tensor|np\.array|torch\.tensor)?\s*\(?\s*(\[\s*\[.*\]\s*\])[^\[\]]*", text, re.S
    )
    if not found:
        return None
    rows = [re.split(r"[,\s]+", row.strip(" \n\t,")) for row in re.findall(r"\[([^\[\]]*)\]", found.group(1))]
    rows = [[cell.removesuffix(".") for cell in row] for row in rows]
    return Table(rows, "an array, as NumPy or PyTorch prints it")


def _weka(text: str) -> Table | None:
    """Weka's matrix: letters for columns, and what they stand for at the end of each line."""
    lines = text.split("\n")
    head = next((i for i, line in enumerate(lines) if "<-- classified as" in line), None)
    if head is None:
        return None
    rows, names = [], []
    for line in lines[head + 1 :]:
        found = re.fullmatch(r"\s*([\d.\s]+?)\s*\|\s*\w+\s*=\s*(.+?)\s*", line)
        if not found:
            break
        rows.append(found.group(1).split())
        names.append(found.group(2))
    cells = [["", *names], *([n, *row] for n, row in zip(names, rows, strict=True))]
    return Table(cells, "Weka's matrix", row_axis="actual", column_axis="classified as", named=True)


def _printed(text: str) -> Table | None:
    """A table that pandas or R prints: columns under each other, the axes' names above."""
    lines = [line for line in text.split("\n") if not line.lstrip().startswith("#")]
    if any(separator in text for separator in "\t;|,"):
        return None
    blocks: list[list[str]] = [[]]
    for line in lines:
        if line.strip():
            blocks[-1].append(line)
        else:
            blocks.append([])
    for block in blocks:
        found = _printed_block(block)
        if found is not None:
            return found
    return None


def _printed_block(lines: list[str]) -> Table | None:
    if len(lines) < 3:
        return None
    first, second = lines[0].split(), lines[1].split()
    if (
        len(first) == 1 and len(second) > 1 and not _looks_numeric(first[0])
    ):  # caret: columns' name, then rows'
        body, row_axis, column_axis, names = lines[2:], second[0], first[0], _cells(lines[1])[1:]
    elif len(second) == 1 and len(first) > 1 and not _looks_numeric(second[0]):  # pandas' crosstab
        body, row_axis, column_axis, names = lines[2:], second[0], first[0], _cells(lines[0])[1:]
    else:
        return None
    rows = []
    for line in body:
        cells = line.split()
        numbers = cells[-len(names) :]
        if len(cells) <= len(names) or not all(map(_looks_numeric, numbers)):
            return None
        rows.append([" ".join(cells[: -len(names)]), *numbers])
    if not rows:
        return None
    return Table(
        [["", *names], *rows], "a printed table", row_axis=row_axis, column_axis=column_axis, named=True
    )


def _cells(line: str) -> list[str]:
    """The words of a heading: names with blanks in them are told by two blanks or more between names."""
    wide = re.split(r"\s{2,}", line.strip())
    return wide if len(wide) > 2 else line.split()


def _looks_numeric(cell: str) -> bool:
    return re.fullmatch(r"-?\d[\d.,]*(e[+-]?\d+)?%?", cell, re.I) is not None


def _separated(text: str, name: str) -> Table:
    """Lines of cells. The separator is the one that leaves the most cells filled and all lines alike."""
    lines = [line for line in text.split("\n") if line.strip() and not line.lstrip().startswith("#")]
    said = re.fullmatch(r'"?sep=(.)"?', lines[0].strip(), re.I) if lines else None
    lines = lines[1:] if said else lines
    if not lines:
        raise BadMatrix(f"{name} is empty: it needs one line of numbers for each class.")
    if all("|" in line for line in lines) and any(re.fullmatch(r"[\s|:+-]+", line) for line in lines):
        rows = [line.strip().removeprefix("|").removesuffix("|").split("|") for line in lines
                if not re.fullmatch(r"[\s|:+-]+", line)]  # fmt: skip
        return Table(rows, "a Markdown table", "|")
    if said:
        return Table(
            _csv(lines, said.group(1), name), f"a table separated by {said.group(1)!r}", said.group(1)
        )
    readings = {s: _csv(lines, s, name) for s in _SEPARATORS if any(s in line for line in lines)}
    readings[" "] = [re.sub(r"[\[\]]", " ", line).split() for line in lines]
    best = max(readings, key=lambda s: _sense(readings[s]))
    rows = [[cell.strip() for cell in row] for row in readings[best]]
    while rows and all(row and row[-1] == "" for row in rows):
        rows = [row[:-1] for row in rows]  # a separator at the end of every line
    return Table(rows, "a table", best)


def _csv(lines: list[str], separator: str, name: str) -> list[list[str]]:
    try:
        return list(csv.reader(lines, delimiter=separator))
    except csv.Error as error:
        raise BadMatrix(f"{name} cannot be read as a table: {error}. Save it as CSV again.") from None


def _sense(rows: list[list[str]]) -> tuple[int, int]:
    """How many cells are numbers, then how many lines have the commonest length."""
    numbers = sum(_looks_numeric(cell.strip()) for row in rows for cell in row)
    lengths = [len(row) for row in rows if len(row) > 1]
    return numbers, max((lengths.count(length) for length in set(lengths)), default=0)
