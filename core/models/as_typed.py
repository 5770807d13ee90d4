"""What people type about a checkpoint: class names, numbers, sizes, accuracies."""

import ast
import csv
import re
from collections.abc import Callable, Mapping
from typing import Any

from core.errors import SettingError
from core.paths import from_json

MOST_LETTERS = 4_000_000


def names_in(text: str, expected: int | None = None) -> list[str]:
    """Class names: one a line, separated by commas or semicolons, or a JSON list or mapping of them.

    Names may hold commas themselves: of the ways to read the text, the one that gives as many names as are
    expected is taken, one a line first.

    Raises:
        SettingError: The text is JSON that holds no names.
    """
    text = text[:MOST_LETTERS].strip().lstrip("\ufeff")
    if text[:1] in ("{", "["):
        return _structured(text)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    ways: list[Callable[[], list[str]]] = [
        lambda: _unnumbered(lines),
        lambda: [name for line in lines for name in line.split(";")],
        lambda: [name for row in csv.reader(lines, skipinitialspace=True) for name in row],
        lambda: text.split(),
    ]
    found = []
    for way in ways:
        try:
            names = [name.strip().strip("\"'").strip() for name in way()]
        except csv.Error:
            continue
        names = [name for name in names if name]
        if len(names) == expected:
            return names
        found.append(names)
    return found[0] if len(lines) > 1 else found[2] if len(found) > 2 else found[0]


def _unnumbered(lines: list[str]) -> list[str]:
    """Lines without what counts them: "0: cat", "1 dog" or ImageNet's "n01440764 tench, Tinca tinca"."""
    if len(lines) > 1 and all(re.match(r"n\d{8}\s", line) for line in lines):
        return [line.split(None, 1)[1] for line in lines]
    numbered = [re.match(r"(\d+)\s*[:.)\t ]\s*(\S.*)", line) for line in lines]
    if len(lines) > 1 and all(numbered):
        numbers = [int(m[1]) for m in numbered if m]
        if numbers in (list(range(len(lines))), list(range(1, len(lines) + 1))):
            return [m[2] for m in numbered if m]
    return [line.removesuffix(",") for line in lines]


def _structured(text: str) -> list[str]:
    held: Any = None
    try:
        held = from_json(text)
    except ValueError:
        try:
            held = ast.literal_eval(text)  # {0: 'tench, Tinca tinca', …}, as ImageNet's names are passed on
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            held = None
    names = _names_of(held)
    if names is None:
        raise SettingError(
            "The class names are neither a list of names nor a mapping from numbers to names: write one "
            "name a "
            'line, or JSON such as ["cat", "dog"].'
        )
    return names


def _names_of(held: Any) -> list[str] | None:
    if isinstance(held, list | tuple) and held and all(isinstance(name, str) for name in held):
        return [name.strip() for name in held]
    if not isinstance(held, Mapping) or not held:
        return None
    for key in ("id2label", "class_names", "classes", "names", "label_names"):
        if key in held:
            return _names_of(held[key])
    if all(type(value) is int for value in held.values()):  # {"cat": 0, "dog": 1}, ImageFolder's class_to_idx
        held = {value: key for key, value in held.items()}
    try:
        by_number = {int(key): value for key, value in held.items()}
    except (ValueError, TypeError):
        return None
    if sorted(by_number) not in (list(range(len(held))), list(range(1, len(held) + 1))):
        return None
    # ImageNet's class index has ["n01440764", "tench"] for each number.
    names = [by_number[n][-1] if isinstance(by_number[n], list) and by_number[n] else by_number[n]
             for n in sorted(by_number)]  # fmt: skip
    return [name.strip() for name in names] if all(isinstance(name, str) for name in names) else None


def share(text: str) -> float:
    """A claimed accuracy as people write it: 0.91, 91 and "91 %" are the same.

    Raises:
        SettingError: It is not an accuracy.
    """
    try:
        value = float(text.strip().rstrip("%").replace(",", "."))
    except ValueError:
        value = -1.0
    value = value / 100 if "%" in text or value > 1 else value
    if not 0 < value <= 1:
        raise SettingError(f"The claimed accuracy is {text!r}: write it like 0.91 or 91 %.")
    return value


def values_in(text: str, what: str) -> list[float]:
    """Numbers separated by commas or spaces.

    Raises:
        SettingError: One of them is not a number.
    """
    try:
        return [float(part) for part in re.split(r"[,\s]+", text.strip()) if part]
    except ValueError:
        raise SettingError(f"{what} is {text!r}: write numbers like 0.485, 0.456, 0.406.") from None


def size_in(text: str) -> tuple[int, int] | None:
    """An image size as people write it: "224" or "height × width"; empty for none.

    Raises:
        SettingError: It is not a size.
    """
    if not text.strip():
        return None
    parts = re.split(r"[x×,\s]+", text.strip().lower())
    if len(parts) > 2 or not all(part.isdigit() and 1 <= int(part) <= 2048 for part in parts):
        raise SettingError(f"The image size is {text!r}: write it like 224 or 240x320, up to 2048 pixels.")
    return int(parts[0]), int(parts[-1])
