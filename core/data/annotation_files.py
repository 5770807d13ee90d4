"""Lists of files and their classes beside the images, such as Tiny ImageNet's `val_annotations.txt`."""

import csv
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from core.data.file_names import cleaned

SUFFIXES = (".txt", ".csv", ".tsv")
MAXIMUM_BYTES = 8 * 2**20
MAXIMUM_LISTS = 20


@dataclass(frozen=True)
class SortedFiles:
    """The class of each file that a list names, and the list."""

    classes: Mapping[str, str] = field(default_factory=dict)
    source: str = ""


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


def _names_below(folder: PurePosixPath, files: Sequence[str]) -> dict[str, str]:
    """What a list in that folder may call each file: its path from there, or its name if that is unique."""
    found: dict[str, str] = {}
    paths = {file: PurePosixPath(file) for file in files if PurePosixPath(file).is_relative_to(folder)}
    times = Counter(path.name for path in paths.values())
    for file, path in paths.items():
        found[path.relative_to(folder).as_posix()] = file
        if times[path.name] == 1:
            found.setdefault(path.name, file)
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
