"""Lists of files and classes beside the images: Tiny ImageNet's `val_annotations.txt`, a `labels.csv`."""

import csv
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from core.data.file_names import cleaned

SUFFIXES = (".txt", ".csv", ".tsv")
MAXIMUM_BYTES = 8 * 2**20
MAXIMUM_LISTS = 20
MAXIMUM_CLASSES = 1000
_CLASS_HEADING = re.compile(r"label|class|categor|breed|species|target|diagnosis|^(dx|tag|type|name|y)$")


@dataclass(frozen=True)
class SortedFiles:
    """The class of each file that a list names, the list, and the heading of its column."""

    classes: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    column: str = ""


def classes_by_file(lists: Mapping[str, str], files: Sequence[str], known: Collection[str]) -> SortedFiles:
    """The list that sorts most of these files, if it names at least half of them.

    A list is a text whose lines hold a file's name in one column and one known class in another; columns are
    separated by tabs, commas, semicolons or blanks. Only a list in a folder on the way to the files counts.
    A file that a list names twice, with different classes, is not sorted.

    Args:
        lists: Texts by their names.
        files: Paths of the files to be sorted.
        known: The classes that there are.
    """
    best = SortedFiles()
    for source, text in lists.items():
        wanted = _names_below(PurePosixPath(source).parent, files)
        classes: dict[str, str] = {}
        doubtful = set()
        for line in text.splitlines():
            cells = _cells(line)
            file = next((wanted[cell] for cell in cells if cell in wanted), "")
            labels = {cleaned(cell) for cell in cells if cell not in wanted} & set(known)
            if file and len(labels) == 1:
                label = labels.pop()
                if classes.setdefault(file, label) != label:
                    doubtful.add(file)
        classes = {file: label for file, label in classes.items() if file not in doubtful}
        if len(classes) > len(best.classes) and 2 * len(classes) >= len(files):
            best = SortedFiles(classes, source)
    return best


def classes_in_table(lists: Mapping[str, str], files: Sequence[str]) -> SortedFiles:
    """The classes of files that lie in no folders of classes, from a table of files and classes beside them.

    The table has a column that names at least half of the files (path, name, or name without its ending) and
    a column of classes: the one whose heading says so, or the only one that can be it. Of two columns that
    say the same, such as numbers and names, the names are taken. Where two columns differ, none is.
    """
    best = SortedFiles()
    for source, text in lists.items():
        rows = [_cells(line) for line in text.splitlines() if line.strip()]
        wanted = _names_below(PurePosixPath(source).parent, files, without_ending=True)
        width = max(map(len, rows), default=0)
        named = [sum(row[i] in wanted for row in rows if i < len(row)) for i in range(width)]
        if not named or max(named) <= len(best.classes) or 2 * max(named) < len(files):
            continue
        at = named.index(max(named))
        told = {wanted[row[at]]: row for row in rows if at < len(row) and row[at] in wanted}
        heading = rows[0] if at < len(rows[0]) and rows[0][at] not in wanted else []
        column = _class_column([i for i in range(width) if i != at], list(told.values()), heading)
        if column is not None:
            classes = {file: cleaned(row[column]) for file, row in told.items() if column < len(row)}
            title = heading[column] if column < len(heading) else f"{column + 1}"
            best = SortedFiles({file: name for file, name in classes.items() if name}, source, title)
    return best


def _class_column(columns: list[int], rows: list[list[str]], heading: list[str]) -> int | None:
    """Which of these columns holds classes; None where none can, or several that differ."""
    values = {i: [cleaned(row[i]) if i < len(row) else "" for row in rows] for i in columns}
    possible = [i for i in columns if 2 <= len(set(values[i]) - {""}) <= min(MAXIMUM_CLASSES, len(rows) // 2)]
    headed = [i for i in possible if i < len(heading) and _CLASS_HEADING.search(heading[i].lower())]
    chosen = headed or possible
    for i in chosen[1:]:
        pairs = set(zip(values[chosen[0]], values[i], strict=True))
        if not len(pairs) == len(set(values[chosen[0]])) == len(set(values[i])):
            return None
    in_words = [i for i in chosen if not all(_is_number(value) for value in values[i])]
    return next(iter(in_words or chosen), None)


def _is_number(text: str) -> bool:
    return not text or text.replace(".", "", 1).lstrip("-").isdigit()


def _names_below(
    folder: PurePosixPath, files: Sequence[str], *, without_ending: bool = False
) -> dict[str, str]:
    """What a list in that folder may call each file: its path from there, or its name if that is unique."""
    found: dict[str, str] = {}
    paths = {file: PurePosixPath(file) for file in files if PurePosixPath(file).is_relative_to(folder)}
    times = Counter(path.name for path in paths.values())
    for file, path in paths.items():
        found[path.relative_to(folder).as_posix()] = file
        if times[path.name] == 1:
            found.setdefault(path.name, file)
    if without_ending:
        stems = Counter(path.stem for path in paths.values())
        for file, path in paths.items():
            if stems[path.stem] == 1:
                found.setdefault(path.stem, file)
    return found


def _cells(line: str) -> list[str]:
    for separator in ("\t", ",", ";", " "):
        if separator in line:
            try:
                cells = next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
            except csv.Error:
                return []
            return [cell.strip().removeprefix("./") for cell in cells]
    return []
