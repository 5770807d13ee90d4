"""Tables in text: CSV with any separator, line end and decimal sign, and columns set with blanks."""

import csv
import re
from pathlib import PurePath

from core.runs.foreign.table import BadHistory, Row, Table, cell_number, is_number, unique

_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_DOWNLOAD = {"Wall time", "Step", "Value"}  # TensorBoard's own download of one scalar
_MOST_COLUMNS = 2000


def text_table(name: str, text: str) -> Table:
    """Read a table with a heading.

    Raises:
        BadHistory: It has no heading or no lines, a quotation mark is not closed, or a line is too long.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    start = next((i for i, line in enumerate(lines) if line.strip()), 0)
    separator = None
    if (given := re.fullmatch(r'"?sep=(.)"?', lines[start].strip())) is not None:
        separator = given[1]
        start = next((i for i in range(start + 1, len(lines)) if lines[i].strip()), start)
    lines[start] = re.sub(r"^\s*#+\s*", "", lines[start])  # NumPy puts this mark before a heading
    if separator is None and not (separator := _separator_of(lines[start])):
        cells = [(start + i + 1, _between_blanks(line)) for i, line in enumerate(lines[start:])]
    else:
        cells = _separated(name, lines, start, separator)
    cells = [(number, row) for number, row in cells if any(cell.strip() for cell in row)]
    return _from_cells(name, cells, separator or "", ends_whole=not lines[-1].strip())


def _from_cells(name: str, cells: list[tuple[int, list[str]]], separator: str, *, ends_whole: bool) -> Table:
    if not cells:
        raise BadHistory(f"{name} holds only blanks. Choose a CSV with a heading and lines.")
    first, heading = cells[0]
    heading = [cell.strip() for cell in heading]
    while len(heading) > 1 and not heading[-1]:
        heading.pop()
    if any(is_number(cell) for cell in heading):
        raise BadHistory(
            f"{name}, line {first}: there are numbers where the names of the columns should stand. Put a "
            "heading such as epoch,train_loss,val_loss above them."
        )
    if len(heading) > _MOST_COLUMNS:
        raise BadHistory(
            f"{name} has {len(heading):,} columns; up to {_MOST_COLUMNS:,} are read. Keep the curves."
        )
    if len(cells) == 1:
        raise BadHistory(f"{name} has a heading and no lines: there is nothing to draw.")
    columns = unique(heading)
    rows, notes, repeated = [], [], []
    for number, row in cells[1:]:
        row = [cell.strip() for cell in row]
        if row[: len(heading)] == heading:
            repeated.append(number)
            continue
        if any(row[len(heading) :]):
            raise BadHistory(
                f"{name}, line {number} has {len(row)} cells and the heading has {len(heading)}. "
                "Correct the line, or leave it out."
            )
        if len(row) < len(heading) and number == cells[-1][0] and not ends_whole:
            notes.append(f"Line {number} is cut off, so it was left out.")
            continue
        rows.append(Row(number, dict(zip(columns, row, strict=False))))
    if repeated:
        notes.append(f"The heading is repeated in {_lines(repeated)}, which is passed over.")
    columns, rows, run = _named_download(name, columns, rows)
    words = f"separated by {_SEPARATORS.get(separator, repr(separator))}" if separator else "set with blanks"
    return Table(
        name, f"a table of {len(columns)} columns {words}", tuple(columns), tuple(rows), tuple(notes), run,
        joined=any(" - " in column for column in columns),
    )  # fmt: skip


def _named_download(name: str, columns: list[str], rows: list[Row]) -> tuple[list[str], list[Row], str]:
    """TensorBoard's download: the tag stands in the name of the file, behind that of the run."""
    if set(columns) != _DOWNLOAD:
        return columns, rows, ""
    for row in rows:
        if isinstance(word := cell_number(row.cells.get("Value")), str):
            raise BadHistory(
                f"{name}, line {row.line}: Value is {word[:40]!r}, which is not a number. Correct the line."
            )
    stem = re.sub(r"\s*\(\d+\)$", "", PurePath(name).stem)
    before, found, tag = stem.rpartition("-tag-")
    run = before.removeprefix("run-") if found else ""
    tag = tag or "Value"
    tag = tag if tag not in ("Step", "Wall time") else f"{tag} (2)"
    renamed = [Row(r.line, {tag if c == "Value" else c: v for c, v in r.cells.items()}) for r in rows]
    return [tag if c == "Value" else c for c in columns], renamed, run


def _separator_of(heading: str) -> str:
    """The separator that a heading has most of, outside quotation marks; nothing where it has none."""
    outside = re.sub(r'"[^"]*"', "", heading)
    best = max(_SEPARATORS, key=outside.count)
    return best if best in outside else ""


def _between_blanks(line: str) -> list[str]:
    wide = re.split(r"\s{2,}", line.strip())
    return wide if len(wide) > 1 else line.split()


def _separated(name: str, lines: list[str], start: int, separator: str) -> list[tuple[int, list[str]]]:
    cells = []
    reader = csv.reader((line + "\n" for line in lines[start:]), delimiter=separator, skipinitialspace=True)
    before = start
    try:
        for row in reader:
            if any("\n" in cell for cell in row):
                raise BadHistory(
                    f"{name}, line {before + 1}: a quotation mark is opened and not closed. "
                    "Close it, or remove it."
                )
            before = start + reader.line_num
            if separator == "|":  # a table of Markdown has bars at both ends and a line below its heading
                row = row[1:] if not row[:1] or not row[0].strip() else row
                if all(set(cell.strip()) <= set("-:") for cell in row):
                    continue
            cells.append((before, row))
    except csv.Error as error:
        raise BadHistory(
            f"{name}, line {before + 1} cannot be read as a line of a table ({error}). Correct the line."
        ) from None
    return cells


def _lines(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:5]))
    more = f" and {len(numbers) - 5} more" if len(numbers) > 5 else ""
    return f"line{'' if len(numbers) == 1 else 's'} {shown}{more}"
