"""What a table of a confusion matrix is taken for: which way round, which numbers, what is left out.

A reader knows, says what it took a thing for, or leaves the choice open: `MatrixFile.taken_for`, `notes` and
`open` say it, and a `Reading` overrules it.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from core.errors import SettingError, one_of
from core.evaluation.matrix_numbers import Notation, notation_of, number_of
from core.evaluation.matrix_text import BadMatrix, Table, table_of

__all__ = ["BadMatrix", "MatrixFile", "Reading", "read_matrix", "read_matrix_file", "write_matrix"]

MAXIMUM_CLASSES = 1000
_TOTALS = {
    "total", "totals", "sum", "all", "support", "gesamt", "summe", "σ", "∑", "insgesamt", "totale", "toplam",
    "всего", "合计", "合計", "suma", "somme", "grand",
}  # fmt: skip
_TRUE = {
    "true", "truth", "actual", "actuals", "label", "labels", "target", "targets", "reference", "gold",
    "observed", "expected", "ground", "gt", "real", "y",
}  # fmt: skip
_PREDICTED = {
    "pred", "preds", "predicted", "prediction", "predictions", "predict", "forecast", "yhat", "hat",
    "output", "classified", "guess",
}  # fmt: skip
_COUNT = {
    "count", "counts", "n", "num", "number", "freq", "frequency", "total", "images", "support", "cases",
    "weight", "instances", "samples", "anzahl", "size",
}  # fmt: skip
_NOT_A_CLASS = {"confidence", "probability", "prob", "score", "scores", "logit", "loss", "correct", "error"}


@dataclass(frozen=True)
class Reading:
    """How a file is to be read, where the reader's own guess is overruled; None leaves it to the reader.

    Attributes:
        rows: "true" or "predicted" classes.
        numbers: "decimal" or "thousands": what a point or comma before three digits means.
        labels: "merge" makes Cat and cat, 1 and 1.0 one class; "apart" keeps them two.
    """

    rows: str | None = None
    numbers: str | None = None
    labels: str | None = None

    def __post_init__(self) -> None:
        allowed = {
            "rows": ("true", "predicted"),
            "numbers": ("decimal", "thousands"),
            "labels": ("merge", "apart"),
        }
        for field, options in allowed.items():
            if getattr(self, field) not in (None, *options):
                raise SettingError(f"{field} is {getattr(self, field)!r}: {one_of(options)}")


@dataclass(frozen=True, eq=False)
class MatrixFile:
    """A confusion matrix, and what the file was taken for.

    Attributes:
        matrix: (K, K) int64; rows are true classes, columns predicted ones.
        class_names: K names; "0", "1", … where the file has none.
        taken_for: What the file was taken for, in a sentence.
        reading: How it was read, all choices made.
        open: The choices that the file does not decide, by the name of their field in `Reading`.
        notes: What was left out, filled in or turned, a sentence each.
    """

    matrix: np.ndarray
    class_names: tuple[str, ...]
    taken_for: str
    reading: Reading
    open: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_matrix(data: bytes, name: str = "the file") -> tuple[np.ndarray, tuple[str, ...]]:
    """The counts and the class names by the reader's own guess; see `read_matrix_file`."""
    found = read_matrix_file(data, name)
    return found.matrix, found.class_names


def read_matrix_file(data: bytes, name: str = "the file", reading: Reading | None = None) -> MatrixFile:
    """The confusion matrix in a file: a table with or without names, or a list of true and predicted classes.

    Args:
        name: Of the file, for messages.
        reading: Choices that overrule the reader's guess.
    Raises:
        BadMatrix: The message says what is wrong in which line.
    """
    reading = reading or Reading()
    table = table_of(data, name)
    notation = _notation(table, reading)
    listed = _list_of_pairs(table, notation, reading, name)
    found = listed or _square(table, notation, reading, name)
    if len(found.class_names) > MAXIMUM_CLASSES:
        raise BadMatrix(
            f"{name} has {len(found.class_names)} classes; up to {MAXIMUM_CLASSES} are read. Merge or leave "
            "out some of them."
        )
    if notation.open:
        words = (
            "separates thousands" if "thousands" in (notation.comma, notation.point) else "is a decimal sign"
        )
        found = replace(found, open=(*found.open, "numbers"),
                        notes=(*found.notes, f"The sign before three digits {words} here."))  # fmt: skip
    made = "thousands" if "thousands" in (notation.comma, notation.point) else "decimal"
    return replace(found, reading=replace(found.reading, numbers=made))


def write_matrix(matrix: np.ndarray, class_names: tuple[str, ...]) -> str:
    """A matrix as CSV that `read_matrix` reads: names in the first row and column."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["true \\ predicted", *class_names])
    for name, row in zip(class_names, matrix.tolist(), strict=True):
        writer.writerow([name, *row])
    return out.getvalue()


def _notation(table: Table, reading: Reading) -> Notation:
    found = notation_of([cell for row in table.rows for cell in row], table.separator)
    if reading.numbers is None:
        return found
    text = " ".join(cell for row in table.rows for cell in row)
    if re.search(r"\d\.\d{3}\b", text):
        return replace(found, point=reading.numbers)
    return replace(found, comma=reading.numbers)


# ---- a list of true and predicted classes


def _list_of_pairs(table: Table, notation: Notation, reading: Reading, name: str) -> MatrixFile | None:
    """A list with a column of true and one of predicted classes, as a matrix; None where it is another."""
    if table.named:
        return None
    header = [_words(cell) for cell in table.rows[0]]
    true, predicted = _column(header, _TRUE, _PREDICTED), _column(header, _PREDICTED, set())
    if true is None or predicted is None or true == predicted:
        return None
    notes, pairs, lines = [], [], []
    for number, row in enumerate(table.rows[1:], 2):
        if len(row) <= max(true, predicted):
            raise BadMatrix(
                f"{name}, line {number} has {len(row)} fields; the first line names {len(header)}."
            )
        if not row[true] or not row[predicted]:
            lines.append(number)
            continue
        pairs.append((row[true], row[predicted], row))
    if lines:
        notes.append(
            f"{_lines(lines)} without a true or a predicted class "
            f"{'is' if len(lines) == 1 else 'are'} left out."
        )
    if not pairs:
        raise BadMatrix(f"{name} lists no pair of a true and a predicted class below its first line.")
    counts = _count_column(header, pairs, {true, predicted}, notation)
    merged, merge_notes = _merged([n for t, p, _ in pairs for n in (t, p)], reading)
    notes += merge_notes
    names = sorted(set(merged.values()), key=_by_number)
    if len(names) > MAXIMUM_CLASSES:
        raise BadMatrix(f"{name} lists {len(names)} classes: give 1 to {MAXIMUM_CLASSES}.")
    place = {n: i for i, n in enumerate(names)}
    values = np.zeros((len(names), len(names)))
    for number, (t, p, row) in enumerate(pairs, 2):
        many = 1.0
        if counts is not None:
            read = number_of(row[counts], notation) if counts < len(row) else None
            if read is None:
                cell = row[counts] if counts < len(row) else ""
                raise BadMatrix(f"{name}, line {number} has {cell!r} where a number of images is expected.")
            many = read
        values[place[merged[t]], place[merged[p]]] += many
    taken = f"a list of {len(pairs):,} pairs: “{table.rows[0][true]}” has the true classes, " \
            f"“{table.rows[0][predicted]}” the predicted ones"  # fmt: skip
    if counts is not None:
        taken += f", “{table.rows[0][counts]}” how many images"
    done = Reading("true", None, "merge" if merge_notes else reading.labels or "apart")
    matrix = _counts(values, notation, name)
    return MatrixFile(
        matrix, tuple(names), taken + ".", done, ("labels",) if merge_notes else (), tuple(notes)
    )


def _words(text: str) -> set[str]:
    """The words of a heading, split at capitals, digits and marks: "nPredictions" has n and predictions."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    return {word.casefold() for word in re.split(r"[\W_\d]+", spaced) if word}


def _column(header: Sequence[set[str]], wanted: set[str], unwanted: set[str]) -> int | None:
    """The column that has a wanted word and no unwanted one; of several, the plainest name wins."""
    fits = [i for i, words in enumerate(header)
            if words & wanted
            and not words & (unwanted | _NOT_A_CLASS)
            and not (words & _COUNT and len(words) > 1)
            ]  # fmt: skip
    return min(fits, key=lambda i: (len(header[i]), i), default=None)


def _count_column(
    header: Sequence[set[str]],
    pairs: Sequence[tuple[str, str, list[str]]],
    taken: set[int],
    notation: Notation,
) -> int | None:
    """The column of counts: whole numbers, under a name that says so or beside every pair of classes once."""
    whole = []
    for i in range(len(header)):
        read = [number_of(row[i], notation) if i < len(row) and row[i] else None for _, _, row in pairs]
        if i not in taken and all(v is not None and v >= 0 and v == int(v) for v in read):
            whole.append(i)
    named = [i for i in whole if header[i] & _COUNT]
    if named:
        return named[0]
    different = {(t, p) for t, p, _ in pairs}
    classes = {t for t, _, _ in pairs} | {p for _, p, _ in pairs}
    complete = len(different) == len(pairs) == len(classes) ** 2 and len(classes) > 1
    unnamed = [
        i for i in whole if header[i] and not header[i] & {"id", "index", "row", "image", "file", "idx"}
    ]
    return unnamed[-1] if complete and unnamed else None


def _merged(labels: Sequence[str], reading: Reading) -> tuple[dict[str, str], list[str]]:
    """What each label counts as: 1.0 as 1, Cat as cat, unless they are to stay apart."""
    plain = {label: label for label in labels}
    if reading.labels == "apart":
        return plain, []
    many = Counter(labels)
    groups: dict[str, list[str]] = {}
    for label in many:
        key = re.sub(r"^([+-]?\d+)\.0*$", r"\1", label.strip()).casefold()
        groups.setdefault(key, []).append(label)
    notes = []
    for key, group in groups.items():
        if len(group) > 1:
            best = (
                key if key in group and key.lstrip("+-").isdigit() else max(group, key=lambda n: (many[n], n))
            )
            plain |= dict.fromkeys(group, best)
            notes.append(f"{_listed(group)} are taken for one class.")
    return plain, notes


# ---- a square of numbers


def _square(table: Table, notation: Notation, reading: Reading, name: str) -> MatrixFile:
    corner, column_names, row_names, body = _without_names(table, notation, name)
    values = np.array([[_number(cell, notation, name, i) for cell in row] for i, row in enumerate(body, 1)])
    values, row_names, column_names, notes = _without_totals(values, row_names, column_names)
    values, names, more = _same_classes(values, row_names, column_names, reading, name)
    notes += more
    axis = _row_axis(corner, table)
    rows = reading.rows or axis or "true"
    with_names = "with names" if row_names or column_names else "without names"
    taken = f"{table.layout}, {len(names)} × {len(names)} numbers {with_names}: rows are {rows} classes"
    matrix = _counts(values, notation, name)
    if rows == "predicted":
        matrix = np.ascontiguousarray(matrix.T)
        notes.append("Its rows are predicted classes, so it was turned: here rows are true classes.")
    merged = any("one class" in note for note in more)
    done = Reading(rows, None, "merge" if merged else reading.labels or "apart")
    return MatrixFile(matrix, names, taken + ".", done, () if axis else ("rows",), tuple(notes))


def _row_axis(corner: str, table: Table) -> str | None:
    """What the rows are, where the corner or the printed axes say so."""
    parts = re.split(r"[\\/|→↓>]| vs\.? | by ", corner) if corner else []
    said = [table.row_axis, parts[0] if parts else ""]
    for text in said:
        words = _words(text)
        if words & _PREDICTED:
            return "predicted"
        if words & _TRUE:
            return "true"
    if table.column_axis:
        words = _words(table.column_axis)
        return "true" if words & _PREDICTED else "predicted" if words & _TRUE else None
    return None


def _without_names(
    table: Table, notation: Notation, name: str
) -> tuple[str, list[str], list[str], list[list[str]]]:
    """(corner, names of columns, names of rows, the rest), the names empty where there are none.

    What is not a number is a name. Names may be numbers too: then the shape tells, or an empty corner.
    """
    rows = table.rows

    def numeric(cell: str) -> bool:
        return number_of(cell, notation) is not None

    first, below = rows[0], rows[1:] or rows
    height, width = len(rows), max(len(row) for row in rows)
    names_in_column = any(not numeric(row[0]) for row in below)
    names_in_row = height > 1 and any(not numeric(cell) for cell in first[1:])
    cornerless = len(first) == width - 1 and all(len(row) == width for row in rows[1:])
    empty_corner = height > 1 and not first[0]
    if table.named:
        names_in_row = names_in_column = True
    elif not names_in_column and not names_in_row:
        both = cornerless or empty_corner or (height == width and not numeric(first[0]))
        names_in_row = both or (height == width + 1 and (_counts_up(first) or not numeric(first[0])))
        names_in_column = both or (width == height + 1 and _counts_up([row[0] for row in rows]))
    elif not names_in_row:
        names_in_row = empty_corner or cornerless or height == width
    elif not names_in_column:
        names_in_column = empty_corner or cornerless or height == width
    if names_in_row and names_in_column and cornerless and first[0]:
        rows = [["", *rows[0]], *rows[1:]]
    corner = rows[0][0] if names_in_row and names_in_column else ""
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
    if column_names and len(column_names) != wide:
        raise BadMatrix(
            f"{name} names {len(column_names)} columns and has {wide} numbers in a line: give every column "
            "a name."
        )
    return corner, column_names, row_names, body


def _counts_up(cells: list[str]) -> bool:
    """Whether they are 0, 1, 2, … or 1, 2, 3, …: names of classes rather than counts."""
    return any(cells == [str(i) for i in range(start, start + len(cells))] for start in (0, 1))


def _without_totals(
    values: np.ndarray, row_names: list[str], column_names: list[str]
) -> tuple[np.ndarray, list[str], list[str], list[str]]:
    """Rows and columns of totals left out: those called so, and those that are the sums of all others."""
    notes = []
    for axis, names in ((0, row_names), (1, column_names)):
        called = [i for i, n in enumerate(names) if _words(n) & _TOTALS and _words(n) <= _TOTALS]
        count = values.shape[axis]
        other = values.shape[1 - axis]
        sums = [i for i in (0, count - 1) if count > 2 and _is_sum(values, i, axis)] if not called else []
        # Without a name it is a total only if the table is square with it, and both its axes end in one.
        sums = sums if count != other or _is_both(values) else []
        drop = (called or sums)[-1:]
        if drop and count > 1:
            word = f"{'The row' if axis == 0 else 'The column'} “{names[drop[0]]}”" if names else \
                f"{'Row' if axis == 0 else 'Column'} {drop[0] + 1}"  # fmt: skip
            notes.append(f"{word} holds totals and is left out.")
            if axis == 0:
                values, row_names = (
                    np.delete(values, drop[0], 0),
                    [n for i, n in enumerate(row_names) if i != drop[0]],
                )
            else:
                column_names = [n for i, n in enumerate(column_names) if i != drop[0]]
                values = np.delete(values, drop[0], 1)
    return values, row_names, column_names, notes


def _is_sum(values: np.ndarray, index: int, axis: int) -> bool:
    lines = values if axis == 0 else values.T
    rest = np.delete(lines, index, 0).sum(0)
    return bool(rest.sum() > 0 and np.allclose(lines[index], rest, rtol=1e-9, atol=1e-9))


def _is_both(values: np.ndarray) -> bool:
    """Whether one row and one column of a square are sums of the others."""
    ends = (0, len(values) - 1)
    if values.shape[0] != values.shape[1]:  # the row has been taken away already
        return any(_is_sum(values, i, 1) for i in (0, values.shape[1] - 1))
    return any(_is_sum(values, i, 0) for i in ends) and any(_is_sum(values, i, 1) for i in ends)


def _same_classes(
    values: np.ndarray, row_names: list[str], column_names: list[str], reading: Reading, name: str
) -> tuple[np.ndarray, tuple[str, ...], list[str]]:
    """Columns in the order of the rows; a class that only one side has is filled up with zeros."""
    height, width = values.shape
    notes: list[str] = []
    for side, names in (("row", row_names), ("column", column_names)):
        if any(not n for n in names):
            raise BadMatrix(f"{name} has a {side} without a name: give every class a name.")
        repeated = next((n for n in names if names.count(n) > 1), None)
        if repeated is not None:
            raise BadMatrix(f"{name} names two classes {repeated!r}: give every class a name of its own.")
    if row_names and column_names and set(row_names) != set(column_names):
        merged, notes = _merged([*row_names, *column_names], reading)
        if (
            len({merged[n] for n in row_names}) == len(row_names)
            and len({merged[n] for n in column_names}) == width
        ):
            row_names, column_names = [merged[n] for n in row_names], [merged[n] for n in column_names]
        only_rows = [n for n in row_names if n not in column_names]
        only_columns = [n for n in column_names if n not in row_names]
        if only_rows and only_columns:
            raise BadMatrix(
                f"{name} names a row {only_rows[0]!r}, but no column: rows and columns must be the same "
                "classes."
            )
        if only_rows:
            values = np.hstack([values, np.zeros((height, len(only_rows)))])
            column_names = [*column_names, *only_rows]
            notes = [
                *notes,
                f"No column is named {_listed(only_rows)}: filled with zeros, as if it was never predicted.",
            ]
        if only_columns:
            values = np.vstack([values, np.zeros((len(only_columns), values.shape[1]))])
            row_names = [*row_names, *only_columns]
            notes = [
                *notes,
                f"No row is named {_listed(only_columns)}: filled with zeros, as without images.",
            ]
        height, width = values.shape
    if height != width:
        raise BadMatrix(
            f"{name} has {height} rows and {width} columns of numbers: a confusion matrix has as many "
            "columns as rows, one for each class."
        )
    if row_names and column_names:
        values = values[:, [column_names.index(n) for n in row_names]]
    names = row_names or column_names or [str(i) for i in range(height)]
    return values, tuple(names), notes


def _number(text: str, notation: Notation, name: str, line: int) -> float:
    value = number_of(text, notation)
    if value is None:
        raise BadMatrix(f"{name}, row {line} has {text!r} where a number of images is expected.")
    return value


def _counts(values: np.ndarray, notation: Notation, name: str) -> np.ndarray:
    advice = "Give the counts, since the certainty of a share depends on the number of images behind it."
    if notation.percent:
        raise BadMatrix(f"{name} holds per cents: the matrix seems to be normalized. {advice}")
    if (values < 0).any():
        raise BadMatrix(f"{name} has a negative number, {values.min():g}: a matrix counts images.")
    if (values > 1e12).any():
        raise BadMatrix(f"{name} has the number {values.max():g}: a matrix counts images, up to 1e12.")
    if not np.array_equal(values, np.rint(values)):
        odd = values[values != np.rint(values)][0]
        raise BadMatrix(
            f"{name} has {odd:g}, which is not a number of images: the matrix seems to be normalized. "
            f"{advice}"
        )
    return np.rint(values).astype(np.int64)


def _by_number(name: str) -> tuple[bool, float, str]:
    value = number_of(name, Notation()) if name else None
    return (value is None, value or 0.0, name)


def _listed(names: Sequence[str]) -> str:
    quoted = [repr(n) for n in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"


def _lines(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:5])) + (", …" if len(numbers) > 5 else "")
    return f"Line {shown}" if len(numbers) == 1 else f"{len(numbers)} lines ({shown})"
