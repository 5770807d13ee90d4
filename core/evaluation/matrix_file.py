"""Confusion matrices in text files: any separator, with or without names, or one pair of classes a line."""

import csv
import io
import math
import re

import numpy as np

from core.errors import ConvoscopeError

MAXIMUM_CLASSES = 1000
MAXIMUM_BYTES = 20 * 2**20
_SEPARATORS = "\t;|,"
_TOTALS = {"total", "totals", "sum", "all", "support", "gesamt", "summe", "σ", "∑"}
_TRUE = {"true", "label", "actual", "truth", "true class", "true_class", "target", "y_true"}
_PREDICTED = {"predicted", "prediction", "pred", "predicted class", "predicted_class", "y_pred"}
_COUNT = {"count", "counts", "n", "number", "images"}


class BadMatrix(ConvoscopeError):
    """A file that holds no confusion matrix."""


def read_matrix(data: bytes, name: str = "the file") -> tuple[np.ndarray, tuple[str, ...]]:
    """The counts and the class names of a confusion matrix; rows are true classes.

    Understood are commas, semicolons, tabs, bars and blanks between numbers; a first row, a first column,
    both or neither with names; rows and columns of totals at the end, which are left out; lines that begin
    with #; and lists with a column of true and one of predicted classes, with or without a count.

    Shape:
        returns: (K, K) int64 and K names ("0", "1", … where the file has none)
    Raises:
        BadMatrix: The message says what is wrong in which line.
    """
    if len(data) > MAXIMUM_BYTES:
        raise BadMatrix(
            f"{name} has {len(data) / 2**20:.0f} MB; a matrix of up to {MAXIMUM_BYTES // 2**20} MB is read. "
            "Choose the file of the matrix alone."
        )
    rows = _rows(data, name)
    listed = _listed_pairs(rows, name)
    if listed is not None:
        return listed
    first_row, first_column, body = _without_names(rows, name)
    values = _numbers(body, name)
    values, row_names, column_names = _without_totals(values, first_column, first_row)
    height, width = values.shape
    if height != width:
        raise BadMatrix(
            f"{name} has {height} rows and {width} columns of numbers: a confusion matrix has as many "
            "columns as rows, one for each class."
        )
    if height > MAXIMUM_CLASSES:
        raise BadMatrix(
            f"{name} has {height} classes; up to {MAXIMUM_CLASSES} are read. Merge or leave out some of them."
        )
    if row_names and column_names and row_names != column_names:
        if sorted(row_names) != sorted(column_names):
            odd = next(n for n in row_names if n not in column_names)
            raise BadMatrix(
                f"{name} names a row {odd!r}, but no column: rows and columns must be the same classes."
            )
        values = values[:, [column_names.index(n) for n in row_names]]
    names = row_names or column_names or [str(i) for i in range(height)]
    repeated = next((n for n in names if names.count(n) > 1), None)
    if repeated is not None:
        raise BadMatrix(f"{name} names two classes {repeated!r}: give every class a name of its own.")
    return _counts(values, name), tuple(names)


def write_matrix(matrix: np.ndarray, class_names: tuple[str, ...]) -> str:
    """A matrix as CSV that `read_matrix` reads: names in the first row and column."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["true \\ predicted", *class_names])
    for name, row in zip(class_names, matrix.tolist(), strict=True):
        writer.writerow([name, *row])
    return out.getvalue()


def _rows(data: bytes, name: str) -> list[list[str]]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode(
            "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin-1", errors="replace"
        )
    if "\0" in text:
        raise BadMatrix(f"{name} is not text: save the matrix as CSV (in a spreadsheet: File, Save as, CSV).")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        raise BadMatrix(f"{name} is empty: it needs one line of numbers for each class.")
    # The separator is the one that leaves the most numbers; blanks, as NumPy prints a matrix, come last.
    readings = [list(csv.reader(lines, delimiter=s)) for s in _SEPARATORS if any(s in line for line in lines)]
    readings.append([re.sub(r"[\[\]]", " ", line).split() for line in lines])
    rows = max(
        readings, key=lambda rows: sum(bool(c.strip()) and _is_number(c.strip()) for r in rows for c in r)
    )
    rows = [[cell.strip() for cell in row] for row in rows]
    while all(row and row[-1] == "" for row in rows):
        rows = [row[:-1] for row in rows]  # a separator at the end of every line
    rows = [row for row in rows if any(row)]
    if not rows:
        raise BadMatrix(f"{name} has no numbers: it needs one line of them for each class.")
    return rows


def _listed_pairs(rows: list[list[str]], name: str) -> tuple[np.ndarray, tuple[str, ...]] | None:
    """A list of true and predicted classes, as a matrix; None where it is no such list."""
    header = [cell.casefold() for cell in rows[0]]
    true = next((i for i, cell in enumerate(header) if cell in _TRUE), None)
    predicted = next((i for i, cell in enumerate(header) if cell in _PREDICTED), None)
    if true is None or predicted is None:
        return None
    count = next((i for i, cell in enumerate(header) if cell in _COUNT), None)
    pairs: dict[tuple[str, str], int] = {}
    for number, row in enumerate(rows[1:], 2):
        if len(row) <= max(true, predicted, count or 0):
            raise BadMatrix(
                f"{name}, line {number} has {len(row)} fields; the first line names {len(header)}."
            )
        how_many = _number(row[count], name, number) if count is not None else 1
        key = (row[true], row[predicted])
        pairs[key] = pairs.get(key, 0) + int(_counts(np.array([[how_many]]), name)[0, 0])
    names = sorted({n for pair in pairs for n in pair}, key=_by_number)
    if not names or len(names) > MAXIMUM_CLASSES:
        raise BadMatrix(f"{name} lists {len(names)} classes: give 1 to {MAXIMUM_CLASSES}.")
    place = {n: i for i, n in enumerate(names)}
    matrix = np.zeros((len(names), len(names)), np.int64)
    for (row_name, column_name), n in pairs.items():
        matrix[place[row_name], place[column_name]] = n
    return matrix, tuple(names)


def _without_names(rows: list[list[str]], name: str) -> tuple[list[str], list[str], list[list[str]]]:
    """(names of columns, names of rows, the rest), the names empty where there are none.

    What is no number is a name. Names may be numbers too: then the shape tells, or an empty corner.
    """
    first, below = rows[0], rows[1:] or rows
    height, width = len(rows), max(len(row) for row in rows)
    names_in_column = any(not _is_number(row[0]) for row in below)
    names_in_row = height > 1 and any(not _is_number(cell) for cell in first[1:])
    cornerless = len(first) == width - 1 and all(len(row) == width for row in rows[1:])
    empty_corner = height > 1 and not first[0]
    if not names_in_column and not names_in_row:
        both = cornerless or empty_corner or (height == width and not _is_number(first[0]))
        names_in_row = both or (height == width + 1 and (_counts_up(first) or not _is_number(first[0])))
        names_in_column = both or (width == height + 1 and _counts_up([row[0] for row in rows]))
    elif not names_in_row:
        names_in_row = empty_corner or cornerless or height == width
    elif not names_in_column:
        names_in_column = empty_corner or cornerless or height == width
    if names_in_row and names_in_column and cornerless and first[0]:
        rows = [["", *rows[0]], *rows[1:]]
    column_names = (rows[0][1:] if names_in_column else rows[0]) if names_in_row else []
    body = rows[1:] if names_in_row else rows
    row_names = [row[0] for row in body] if names_in_column else []
    body = [row[1:] for row in body] if names_in_column else body
    wide = len(body[0]) if body else 0
    for number, row in enumerate(body, 1 + names_in_row):
        if len(row) != wide:
            raise BadMatrix(
                f"{name}, line {number} has {len(row)} numbers and the first one has {wide}: every line "
                "needs one for each class."
            )
    if not wide:
        raise BadMatrix(f"{name} has names but no numbers: it needs one number for each pair of classes.")
    return column_names, row_names, body


def _counts_up(cells: list[str]) -> bool:
    """Whether they are 0, 1, 2, … or 1, 2, 3, …: names of classes rather than counts."""
    return any(cells == [str(i) for i in range(start, start + len(cells))] for start in (0, 1))


def _without_totals(
    values: np.ndarray, row_names: list[str], column_names: list[str]
) -> tuple[np.ndarray, list[str], list[str]]:
    if row_names and row_names[-1].casefold() in _TOTALS:
        values, row_names = values[:-1], row_names[:-1]
    if column_names and column_names[-1].casefold() in _TOTALS:
        values, column_names = values[:, :-1], column_names[:-1]
    return values, row_names, column_names


def _numbers(body: list[list[str]], name: str) -> np.ndarray:
    return np.array([[_number(cell, name, i) for cell in row] for i, row in enumerate(body, 1)])


def _number(text: str, name: str, line: int) -> float:
    if not _is_number(text):
        raise BadMatrix(f"{name}, row {line} has {text!r} where a number of images should stand.")
    return float(_plain_number(text)) if text else 0.0


def _is_number(text: str) -> bool:
    try:
        return not text or math.isfinite(float(_plain_number(text)))
    except ValueError:
        return False


def _plain_number(text: str) -> str:
    text = text.strip().removesuffix("%").strip()
    if re.fullmatch(r"-?\d{1,3}([ ',\u00a0\u202f]\d{3})+", text):
        return re.sub(r"[ ',\u00a0\u202f]", "", text)
    return text.replace(",", ".")


def _counts(values: np.ndarray, name: str) -> np.ndarray:
    if (values < 0).any():
        raise BadMatrix(f"{name} has a negative number, {values.min():g}: a matrix counts images.")
    if (values > 1e12).any():
        raise BadMatrix(f"{name} has the number {values.max():g}: a matrix counts images, up to 1e12.")
    if not np.array_equal(values, np.rint(values)):
        odd = values[values != np.rint(values)][0]
        raise BadMatrix(
            f"{name} has {odd:g}, which is no number of images: the matrix seems to be normalized. Give the "
            "counts, since how sure a share is depends on how many images it was counted on."
        )
    return np.rint(values).astype(np.int64)


def _by_number(name: str) -> tuple[bool, float, str]:
    return (not _is_number(name), float(_plain_number(name)) if _is_number(name) and name else 0.0, name)
