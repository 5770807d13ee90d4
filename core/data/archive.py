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
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from core.data import annotation_files
from core.data.dataset import Skipped
from core.data.file_names import hidden_part, printable, reason_to_skip_name
from core.data.images import MAXIMUM_BYTES
from core.data.zip_names import decoded_names, likely_encodings
from core.errors import BadDataset, BadImage

MAXIMUM_ENTRIES = 300_000
MAXIMUM_EXPANDED = 8 * 2**30
# Photos hardly shrink in a zip; drawings saved as BMP do, up to about here.
MAXIMUM_RATIO = 100
_RATIO_MATTERS_FROM = 2**20
_DIRECTORY_BYTES = 96 * 2**20
_COMPRESSIONS = {
    1: "Shrink", 6: "Implode", 9: "Deflate64, as Windows does for large folders", 12: "bzip2", 14: "LZMA",
    93: "Zstandard", 95: "XZ", 98: "PPMd", 99: "AES encryption",
}  # fmt: skip
# How files begin that are sent instead of a zip, and what to say of them.
_OTHER_KINDS = {
    b"Rar!": "is a RAR archive, which is not read: unpack it",
    b"7z\xbc\xaf": "is a 7-Zip archive, which is not read: unpack it",
    b"\x1f\x8b": "is compressed by gzip (.gz, .tgz), which is not read: unpack it",
    b"BZh": "is compressed by bzip2 (.bz2), which is not read: unpack it",
    b"\xfd7zXZ": "is compressed by XZ (.xz), which is not read: unpack it",
    b"\x28\xb5\x2f\xfd": "is compressed by Zstandard (.zst), which is not read: unpack it",
    b"\x89PNG": "is a picture and no zip", b"\xff\xd8\xff": "is a picture and no zip",
    b"GIF8": "is a picture and no zip",
}  # fmt: skip


@dataclass(frozen=True)
class ZipListing:
    """What is in a zip, with nothing expanded yet.

    Attributes:
        images: Entries that may be read as images, by their names.
        texts: Entries that may be lists of files and classes.
        skipped: All others, with the reason why not.
        encodings: What names without a mark may be written in, the likeliest first; the first was taken
            unless another was asked for. Empty if the names leave nothing open.
        samples: By encoding, what some names of folders would be in it.
    """

    images: Mapping[str, zipfile.ZipInfo]
    texts: Mapping[str, zipfile.ZipInfo]
    skipped: tuple[Skipped, ...]
    encodings: tuple[str, ...] = ()
    samples: Mapping[str, str] = field(default_factory=dict)


def list_zip(source: Path | BinaryIO, name: str = "", *, encoding: str = "") -> ZipListing:
    """The entries of a zip that may be read as images, and all others with the reason why not.

    Args:
        name: What people call it, if not by its file's name.
        encoding: What names without a mark are written in; found by itself where it is empty.
    Raises:
        BadDataset: It is not a zip, has too many entries or expands to too much; nothing is expanded then.
    """
    name = name or (source.name if isinstance(source, Path) else "The archive")
    _check_directory(source, name)
    try:
        with zipfile.ZipFile(source) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise BadDataset(
            f"{name!r} is not a zip that can be read ({error}). Pack the folder again as a .zip file."
        ) from None
    if len(entries) > MAXIMUM_ENTRIES:
        raise _too_many(name, len(entries))
    encodings = likely_encodings(entries)
    names = decoded_names(entries, encoding or next(iter(encodings), "utf-8"))
    if os.sep == "/" and any("\\" in n for n in names) and not any("/" in n for n in names):
        names = [n.replace("\\", "/") for n in names]  # as .NET packed on Windows before 2016
    listing = _sorted_entries(dict(enumerate(names)), entries)
    expanded = sum(entry.file_size for entry in listing.images.values())
    if expanded > MAXIMUM_EXPANDED:
        raise BadDataset(
            f"The images in {name!r} would expand to {expanded / 2**30:.1f} GB; up to "
            f"{MAXIMUM_EXPANDED // 2**30} GB are read. Leave some out or save them smaller."
        )
    return replace(listing, encodings=tuple(encodings), samples=_samples(entries, encodings))


def _sorted_entries(names: Mapping[int, str], entries: list[zipfile.ZipInfo]) -> ZipListing:
    images: dict[str, zipfile.ZipInfo] = {}
    texts: dict[str, zipfile.ZipInfo] = {}
    skipped: list[Skipped] = []
    hidden: Counter[str] = Counter()
    for index, entry in enumerate(entries):
        name = names[index]
        part = hidden_part(name)
        if part and not name.endswith("/"):
            hidden[name[: name.index(part) + len(part)]] += 1
            continue
        reason = _reason_to_skip(name, entry, images)
        if reason is None:
            images[name] = entry
        elif reason:
            skipped.append(Skipped(printable(name), reason))
            may_be_list = name.lower().endswith(annotation_files.SUFFIXES) and "\0" not in entry.orig_filename
            if (
                may_be_list
                and _unreadable(entry) is None
                and entry.file_size <= annotation_files.MAXIMUM_BYTES
            ):
                texts.setdefault(name, entry)
    skipped += [skipped_folder(folder, count) for folder, count in hidden.items()]
    return ZipListing(images, texts, tuple(skipped))


def skipped_folder(folder: str, files: int) -> Skipped:
    """A hidden folder that was passed over with all that is in it."""
    last = folder.rpartition("/")[2]
    why = (
        "is a folder of the operating system"
        if last == "__MACOSX"
        else "is hidden, or is a folder of a program"
    )
    return Skipped(
        printable(folder), f"{printable(last, 40)!r} {why} ({files:,} {'file' if files == 1 else 'files'})"
    )


def _samples(entries: list[zipfile.ZipInfo], encodings: list[str]) -> dict[str, str]:
    """What the first names of folders would be in each encoding, where there is more than one."""
    if len(encodings) < 2:
        return {}
    telling = [
        e for e in entries if "/" in e.orig_filename and not e.orig_filename.rpartition("/")[0].isascii()
    ]
    first: dict[str, zipfile.ZipInfo] = {}
    for entry in telling:
        first.setdefault(entry.orig_filename.rpartition("/")[0], entry)
    some = list(first.values())[:3]
    if not some:  # only names of pictures are open: that changes nothing
        return {}
    samples: dict[str, str] = {}
    for encoding in encodings:
        sample = ", ".join(printable(name.split("/")[-2], 30) for name in decoded_names(some, encoding))
        if sample not in samples.values():
            samples[encoding] = sample
    return samples if len(samples) > 1 else {}


@contextmanager
def open_zip(
    source: Path | BinaryIO, entries: Mapping[str, zipfile.ZipInfo], longest: int = MAXIMUM_BYTES
) -> Iterator[Callable[[str], bytes]]:
    """Inside the `with`, a function from an entry's name to its bytes; it raises `BadImage`.

    Args:
        entries: As `list_zip` gives them.
        longest: Bytes that an entry may have.
    """
    with zipfile.ZipFile(source) as archive:

        def read(name: str) -> bytes:
            try:
                # The size in the directory may be a lie: never read further than an image may be long.
                with archive.open(entries[name]) as file:
                    data = file.read(longest + 1)
            except (
                zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, ValueError, KeyError,
                struct.error,
            ) as error:  # fmt: skip
                raise BadImage(f"{printable(name)!r} is damaged in the archive ({error}).") from None
            if len(data) > longest:
                raise BadImage(f"{printable(name)!r} expands to more than {longest // 2**20} MB.")
            return data

        yield read


def _reason_to_skip(name: str, entry: zipfile.ZipInfo, seen: Mapping[str, zipfile.ZipInfo]) -> str | None:
    """None: read it; "" : a folder, not worth a word; else the reason."""
    mode = entry.external_attr >> 16
    if not name:
        return "it has no name"
    # ZipInfo cuts a name at a zero byte; what stood behind it would decide how another program opens it.
    if "\0" in entry.orig_filename:
        return "its name contains a zero byte"
    if "\\" in name and os.sep == "/":
        return "its name contains a backslash: pack the folder with forward slashes"
    if name.startswith("/") or (len(name) > 1 and name[1] == ":"):
        return "its name is an absolute path: pack the folder itself, not its place on the disk"
    if ".." in name.split("/"):
        return "its name leads out of the folder ('..')"
    if stat.S_ISLNK(mode):
        return "it is a symbolic link"
    if name.endswith("/"):
        return ""
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return "it is not an ordinary file"
    reason = reason_to_skip_name(name) or _unreadable(entry)
    if reason:
        return reason
    if entry.file_size > MAXIMUM_BYTES:
        return f"it has {entry.file_size / 2**20:.0f} MB; up to {MAXIMUM_BYTES // 2**20} MB are read"
    if entry.file_size > max(_RATIO_MATTERS_FROM, MAXIMUM_RATIO * max(1, entry.compress_size)):
        return f"it expands {entry.file_size / max(1, entry.compress_size):.0f} times, as no picture does"
    if name in seen:
        return "a file of the same name comes before it"
    if not entry.file_size:
        return "it is empty (0 bytes)"
    return None


def _unreadable(entry: zipfile.ZipInfo) -> str | None:
    if entry.flag_bits & 0x1:
        return "it is encrypted"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        how = _COMPRESSIONS.get(entry.compress_type, f"method {entry.compress_type}")
        return (
            f"it is compressed in a way that is not read ({how}): pack the folder with ordinary zip (deflate)"
        )
    return None


def _check_directory(source: Path | BinaryIO, name: str) -> None:
    """Look at the size of the archive's table of contents before it is read as a whole."""
    try:
        if isinstance(source, Path):
            with source.open("rb") as file:
                size, count = _directory(file, name)
        else:
            size, count = _directory(source, name)
    except OSError as error:
        raise BadDataset(f"{name!r} cannot be read ({error.strerror}).") from None
    if size > _DIRECTORY_BYTES or count > MAXIMUM_ENTRIES:
        raise _too_many(name, count)


def _directory(file: BinaryIO, name: str) -> tuple[int, int]:
    """(bytes of the table of contents, entries in it), as the end of the archive says."""
    length = file.seek(0, os.SEEK_END)
    file.seek(max(0, length - 65_557 - 20))  # the longest comment, and the record before it
    tail = file.read()
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) < at + 22:
        file.seek(0)
        start = file.read(16)
        other = next((kind for sign, kind in _OTHER_KINDS.items() if start.startswith(sign)), "")
        raise BadDataset(
            f"{name!r} {other or 'is not a zip, or is cut short: its table of contents is missing'}. "
            "Pack the folder of images as a .zip file."
        )
    count, size, start = struct.unpack_from("<HII", tail, at + 10)
    if 0xFFFFFFFF not in (size, start) and count != 0xFFFF:
        return size, count
    locator = tail.rfind(b"PK\6\7", 0, at)
    record = b""
    if locator >= 0 and len(tail) >= locator + 16:
        file.seek(min(length, struct.unpack_from("<Q", tail, locator + 8)[0]))
        record = file.read(56)
    if record[:4] == b"PK\6\6" and len(record) == 56:
        count, size = struct.unpack_from("<QQ", record, 32)
    elif 0xFFFFFFFF in (size, start):
        raise BadDataset(
            f"{name!r} is damaged: it says that it is in the long form (zip64), whose table of "
            "contents is missing. Pack the folder again as a .zip file."
        )
    return size, count


def _too_many(name: str, count: int) -> BadDataset:
    return BadDataset(f"{name!r} lists {count:,} files; up to {MAXIMUM_ENTRIES:,} are read. Leave some out.")
