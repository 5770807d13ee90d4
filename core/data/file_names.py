"""Names of strangers' files and folders: which are passed over, what they mean, how they are shown."""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

from core.data.images import SUFFIXES

LONGEST_SHOWN = 200  # letters
_SYSTEM_FILES = {".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
# Folders of network drives and systems whose names do not begin with a dot.
_TOOL_FOLDERS = {
    "@eadir", "@tmp", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "$recycle.bin", "recycler",
    "system volume information", "lost+found", "node_modules",
}  # fmt: skip
_ARCHIVES = {"zip", "rar", "7z", "tar", "gz", "tgz", "bz2", "xz", "zst"}
_SPLIT_WORDS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
# Words that say nothing about what is in a folder: training_set, test-images and ValData are plain splits.
_EMPTY_WORDS = ("datasets", "dataset", "images", "image", "imgs", "img", "photos", "pictures", "pics", "data",
                "sets", "set", "splits", "split", "folder", "dir", "part", "the", "of", "for")  # fmt: skip
_PIECE = re.compile("|".join(sorted((*_SPLIT_WORDS, *_EMPTY_WORDS), key=len, reverse=True)))
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\ufeff\u2060\u00ad\u200e\u200f"))


def hidden_part(name: str) -> str:
    """The first folder on the way to a file that is hidden or a program's own, or ""."""
    for part in PurePosixPath(name).parts[:-1]:
        if is_hidden(part):
            return part
    return ""


def is_hidden(folder: str) -> bool:
    """Whether a folder is hidden (its name begins with a dot) or a program's own, such as `@eaDir`."""
    dunder = folder.startswith("__") and (folder.endswith("__") or folder == "__MACOSX")
    return (folder.startswith(".") and folder.strip(".") != "") or dunder or folder.lower() in _TOOL_FOLDERS


def reason_to_skip_name(name: str) -> str | None:
    """Why a file of that name is not read as an image, or None."""
    path = PurePosixPath(name)
    if path.name.lower() in _SYSTEM_FILES or path.name.startswith("._") or "__MACOSX" in path.parts:
        return "it is a file of the operating system"
    hidden = hidden_part(name) or (path.name if path.name.startswith(".") else "")
    if hidden:
        return f"{printable(hidden, 40)!r} is hidden, or is a folder of a program"
    suffix = path.suffix.lower().lstrip(".")
    if suffix in _ARCHIVES:
        return "it is an archive: unpack it, and give the folder of images in it"
    if suffix not in SUFFIXES:
        return f"its name does not end like an image's ({', '.join('.' + suffix for suffix in SUFFIXES)})"
    return None


def printable(name: str, limit: int = LONGEST_SHOWN) -> str:
    """A stranger's file name without what would move the cursor or fill the page."""
    text = "".join(letter if letter.isprintable() else "�" for letter in name)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def cleaned(folder: str) -> str:
    """A folder's name as one reads it: equal for names between which nobody can see a difference."""
    return " ".join(unicodedata.normalize("NFC", folder.translate(_INVISIBLE)).split())


def shown_names(names: Iterable[str]) -> dict[str, str]:
    """How each of these different names is shown: printable, not too long, and no two alike."""
    shown: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        best = printable(name, 10**6)
        if len(best) > LONGEST_SHOWN:  # names so long often differ at their end
            best = f"{best[: LONGEST_SHOWN // 2]}…{best[1 - LONGEST_SHOWN // 2 :]}"
        text, number = best, 1
        while text in taken:
            number += 1
            text = f"{best} ({number})"
        taken.add(text)
        shown[name] = text
    return shown


def split_of(folder: str) -> tuple[str, tuple[str, ...]]:
    """Which split a folder's name says it is, and the words of the name that say something else.

    `seg_train` gives ("train", ("seg",)), `TestSet2` ("test", ()), `train_and_test` and `trainers` give "".
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", folder)
    found: set[str] = set()
    rest = []
    for word in re.findall(r"[^\W\d_]+", spaced.lower()):
        pieces = _PIECE.findall(word)
        if "".join(pieces) != word:
            rest.append(word)
            continue
        found |= {_SPLIT_WORDS[piece] for piece in pieces if piece in _SPLIT_WORDS}
    return (found.pop(), tuple(rest)) if len(found) == 1 else ("", tuple(rest))
