"""Errors that a person reads.

Every message names the thing, its value, what is allowed and what to do, in one sentence or two.
Pages and the command line show the message of a `ConvoscopeError` as it stands; anything else is a
defect of ours and is shown as one.
"""

from collections.abc import Iterable
from difflib import get_close_matches

LONGEST_NAME = 80  # letters of a name that a message quotes


class ConvoscopeError(Exception):
    """Something the user can put right; its message says how."""


class UnknownName(ConvoscopeError):
    """A name that is in none of our lists."""

    def __init__(self, kind: str, name: object, known: Iterable[str]) -> None:
        known = list(known)
        shown = str(name) if len(str(name)) <= LONGEST_NAME else f"{str(name)[:LONGEST_NAME]}…"
        close = get_close_matches(shown, known, n=3)
        hint = f"Did you mean {', '.join(map(repr, close))}?" if close else one_of(known)
        super().__init__(f"There is no {kind} named {shown!r}. {hint}")


class SettingError(ConvoscopeError):
    """A setting with a value that it cannot have."""


class TargetOutOfRange(ConvoscopeError):
    """A target class that the classifier does not have."""

    def __init__(self, target: object, number_of_classes: int) -> None:
        super().__init__(
            f"The target is class {target}, but this classifier has {number_of_classes} classes: "
            f"choose a whole number from 0 to {number_of_classes - 1}, or a class by its name."
        )


class BadImage(ConvoscopeError):
    """A file that cannot be read as an image, or that is too large to be."""


class BadCheckpoint(ConvoscopeError):
    """A checkpoint folder or weights file that does not hold what it should."""


class BadDataset(ConvoscopeError):
    """A folder, an archive or arrays that cannot be used as a data set."""


class Unavailable(ConvoscopeError):
    """Something that exists but cannot be had here: no network, no file, no device."""


class OutOfMemory(ConvoscopeError):
    """Even one image at a time does not fit in the memory of the device."""


class NoRoom(ConvoscopeError):
    """A disk that is full, or a limit of Convoscope's own that is reached."""


class Abandoned(Exception):
    """Raised inside an analysis when its question was withdrawn; nothing of it is kept."""


def one_of(names: Iterable[str], limit: int = 12) -> str:
    """The sentence "Choose one of a, b, c, … (40 in all)." for an error message."""
    names = list(names)
    if not names:
        return "There is none yet."
    shown = ", ".join(names[:limit])
    more = f", … ({len(names)} in all)" if len(names) > limit else ""
    return f"Choose one of {shown}{more}."
