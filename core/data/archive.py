"""Reading images out of a zip that a stranger sent.

Nothing is ever unpacked to the disk: entries are read one by one into memory, within limits, so that a name
in the archive is only a label and can lead nowhere. What the archive says about itself is checked before
anything in it is expanded.
"""

import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from core.data.dataset import Skipped
from core.data.images import MAXIMUM_BYTES, SUFFIXES
from core.errors import BadDataset, BadImage

MAXIMUM_ENTRIES = 300_000
MAXIMUM_EXPANDED = 8 * 2**30
# Photos hardly shrink in a zip; drawings saved as BMP do, up to about here.
MAXIMUM_RATIO = 100
_RATIO_MATTERS_FROM = 2**20
_DIRECTORY_BYTES = 96 * 2**20
_SYSTEM_FILES = {".ds_store", "thumbs.db", "desktop.ini"}
_TOOL_FOLDERS = {"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found", "#recycle"}


def list_zip(path: Path, name: str = "") -> tuple[list[zipfile.ZipInfo], list[Skipped]]:
    """The entries of a zip that may be read as images, and all others with the reason why not.

    Args:
        name: What people call it, if not by its file's name.
    Raises:
        BadDataset: It is no zip, has too many entries or expands to too much; nothing has been expanded then.
    """
    name = name or path.name
    _check_directory(path, name)
    try:
        with _zip_file(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise BadDataset(
            f"{name!r} is no zip that can be read ({error}). Pack the folder again as a .zip file."
        ) from None
    if len(entries) > MAXIMUM_ENTRIES:
        raise _too_many(name, len(entries))
    images: list[zipfile.ZipInfo] = []
    skipped: list[Skipped] = []
    seen: set[str] = set()
    for entry in entries:
        reason = _reason_to_skip(entry, seen)
        if reason is None:
            seen.add(entry.filename)
            images.append(entry)
        elif reason:
            skipped.append(Skipped(printable(entry.filename), reason))
    expanded = sum(entry.file_size for entry in images)
    if expanded > MAXIMUM_EXPANDED:
        raise BadDataset(
            f"The images in {name!r} would expand to {expanded / 2**30:.1f} GB; up to "
            f"{MAXIMUM_EXPANDED // 2**30} GB are read. Leave some out or save them smaller."
        )
    return images, skipped


def _zip_file(path: Path) -> zipfile.ZipFile:
    """A zip with its names as they were meant: macOS writes UTF-8 without saying so, DOS code page 437."""
    try:
        return zipfile.ZipFile(path, metadata_encoding="utf-8")
    except UnicodeDecodeError:
        return zipfile.ZipFile(path)


@contextmanager
def open_zip(path: Path) -> Iterator[Callable[[str], bytes]]:
    """Inside the `with`, a function from an entry's name to its bytes; it raises `BadImage`."""
    with _zip_file(path) as archive:

        def read(name: str) -> bytes:
            try:
                # The size in the directory may be a lie: never read further than an image may be long.
                with archive.open(name) as file:
                    data = file.read(MAXIMUM_BYTES + 1)
            except (
                zipfile.BadZipFile,
                zlib.error,
                OSError,
                EOFError,
                RuntimeError,
                ValueError,
                KeyError,
            ) as error:
                raise BadImage(f"{printable(name)!r} is damaged in the archive ({error}).") from None
            if len(data) > MAXIMUM_BYTES:
                raise BadImage(f"{printable(name)!r} expands to more than {MAXIMUM_BYTES // 2**20} MB.")
            return data

        yield read


def reason_to_skip_name(name: str) -> str | None:
    """Why a file of that name is not read as an image, or None."""
    path = PurePosixPath(name)
    if path.name.lower() in _SYSTEM_FILES or path.name.startswith("._") or "__MACOSX" in path.parts:
        return "it is a file of the operating system"
    hidden = next(
        (p for p in path.parts if (p.startswith(".") and p != ".") or p.lower() in _TOOL_FOLDERS), None
    )
    if hidden is not None:
        return f"{printable(hidden, 40)!r} is hidden, or is a folder of a program"
    if path.suffix.lower().lstrip(".") not in SUFFIXES:
        return f"its name does not end like an image's ({', '.join('.' + suffix for suffix in SUFFIXES)})"
    return None


def printable(name: str, limit: int = 200) -> str:
    """A stranger's file name without what would move the cursor or fill the page."""
    text = "".join(letter if letter.isprintable() else "�" for letter in name)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _reason_to_skip(entry: zipfile.ZipInfo, seen: set[str]) -> str | None:
    """None: read it; "" : a folder, not worth a word; else the reason."""
    name, mode = entry.filename, entry.external_attr >> 16
    # ZipInfo cuts a name at a zero byte; what stood behind it would decide how another program opens it.
    if "\0" in entry.orig_filename:
        return "its name contains a zero byte"
    if "\\" in entry.orig_filename and os.sep == "/":
        return "its name contains a backslash: pack the folder with forward slashes"
    if name.startswith("/") or (len(name) > 1 and name[1] == ":"):
        return "its name is an absolute path"
    if ".." in name.split("/"):
        return "its name leads out of the folder ('..')"
    if stat.S_ISLNK(mode):
        return "it is a symbolic link"
    if entry.is_dir():
        return ""
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return "it is no ordinary file"
    reason = reason_to_skip_name(name)
    if reason:
        return reason
    if entry.flag_bits & 0x1:
        return "it is encrypted"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"its compression (number {entry.compress_type}) is not deflate"
    if entry.file_size > MAXIMUM_BYTES:
        return f"it has {entry.file_size / 2**20:.0f} MB; up to {MAXIMUM_BYTES // 2**20} MB are read"
    if entry.file_size > max(_RATIO_MATTERS_FROM, MAXIMUM_RATIO * max(1, entry.compress_size)):
        return f"it expands {entry.file_size / max(1, entry.compress_size):.0f} times, as no picture does"
    if name in seen:
        return "a file of the same name comes before it"
    if not entry.file_size:
        return "it is empty (0 bytes)"
    return None


def _check_directory(path: Path, name: str) -> None:
    """Look at the size of the archive's table of contents before it is read as a whole."""
    try:
        with path.open("rb") as file:
            length = file.seek(0, os.SEEK_END)
            file.seek(max(0, length - 65_557 - 20))  # the longest comment, and the record before it
            tail = file.read()
            at = tail.rfind(b"PK\5\6")
            if at < 0 or len(tail) < at + 22:
                raise BadDataset(
                    f"{name!r} is no zip, or is cut short: its table of contents is missing. "
                    "Pack the folder of images as a .zip file."
                )
            size, count = (
                struct.unpack_from("<I", tail, at + 12)[0],
                struct.unpack_from("<H", tail, at + 10)[0],
            )
            if 0xFFFFFFFF in (size, struct.unpack_from("<I", tail, at + 16)[0]) or count == 0xFFFF:
                locator = tail.rfind(b"PK\6\7", 0, at)
                if locator >= 0:
                    file.seek(min(length, struct.unpack_from("<Q", tail, locator + 8)[0]))
                    record = file.read(56)
                    if record[:4] == b"PK\6\6" and len(record) == 56:
                        count, size = struct.unpack_from("<QQ", record, 32)
    except OSError as error:
        raise BadDataset(f"{name!r} cannot be read ({error.strerror}).") from None
    if size > _DIRECTORY_BYTES or count > MAXIMUM_ENTRIES:
        raise _too_many(name, count)


def _too_many(name: str, count: int) -> BadDataset:
    return BadDataset(f"{name!r} lists {count:,} files; up to {MAXIMUM_ENTRIES:,} are read. Leave some out.")
