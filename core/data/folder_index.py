"""Folders and zips of images, read once into an array on disk that is mapped from then on."""

import hashlib
import os
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from core.data import annotation_files
from core.data.archive import ZipListing, list_zip, open_zip, skipped_folder
from core.data.dataset import ImageDataset, Skipped, Split
from core.data.file_names import is_hidden, printable, reason_to_skip_name
from core.data.folder_layout import read_layout
from core.data.folder_reading import FolderReading, OpenChoice, Place
from core.data.images import read_image
from core.data.pixel_index import DamagedIndex, IndexedImages, key_of, open_index, write_index
from core.data.zip_names import ENCODINGS
from core.disk import note_use, require_room
from core.errors import BadDataset, BadImage, SettingError, one_of
from core.paths import home
from core.progress import Progress, no_progress

MAXIMUM_CLASSES = 1000
_VERSION = 3  # of what is written to disk


@dataclass(frozen=True)
class ImageFiles:
    """Where images are, without one of them read yet.

    Attributes:
        title: What people call the folder or zip.
        names: Paths below the root with forward slashes.
        key: A hash of names, sizes and dates or checksums: it changes when the files do.
        opened: Gives, inside a `with`, a function from a name to the file's bytes, which raises `BadImage`.
        texts: Gives the texts beside the images by their names.
        choices: What the names leave open.
    """

    title: str
    names: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    key: str
    opened: Callable[[], AbstractContextManager[Callable[[str], bytes]]]
    texts: Callable[[], Mapping[str, str]] = dict
    choices: tuple[OpenChoice, ...] = ()


def find_images(root: Path | BinaryIO, *, names: str = "guess", title: str = "") -> ImageFiles:
    """The images of a folder or a zip.

    Args:
        root: Its path, or an open zip.
        names: What the names in a zip are written in that do not say so, or "guess".
        title: What people call it, if not by its file's name.
    Raises:
        BadDataset: There is nothing there, or it is neither.
        SettingError: There is no such way of writing names.
    """
    if names not in ("guess", *ENCODINGS):
        raise SettingError(f"names is {names!r}. {one_of(('guess', *ENCODINGS))}")
    if isinstance(root, Path):
        title = title or root.name
        if root.is_dir():
            return _in_folder(root)
        if not root.is_file():
            raise BadDataset(f"There is no folder or zip {str(root)!r}. Give the path of one.")
    listing = list_zip(root, title, encoding="" if names == "guess" else names)
    digest = hashlib.sha256()
    for name, entry in listing.images.items():
        digest.update(f"{name}\0{entry.file_size}\0{entry.CRC}\n".encode(errors="surrogatepass"))
    return ImageFiles(
        title or "The archive",
        tuple(listing.images),
        listing.skipped,
        digest.hexdigest(),
        partial(open_zip, root, listing.images),
        partial(_texts_of_zip, root, listing.texts),
        _question_of_names(listing, names),
    )


def look_into(files: ImageFiles, *, splits: str = "", spelling: str = "guess") -> FolderReading:
    """What the folders were taken for, with no picture read yet; arguments as `read_layout` takes them."""
    reading = read_layout(files.names, splits=splits, spelling=spelling, texts=files.texts)
    return replace(reading, choices=(*files.choices, *reading.choices))


def read_dataset(
    files: ImageFiles, *, name: str, title: str, size: int | None = None, cut: str = "crop",
    gray: bool = False, test_share: float = 0.2, seed: int = 0, splits: str = "", spelling: str = "guess",
    progress: Progress = no_progress,
) -> ImageDataset:  # fmt: skip
    """A data set from files in class folders; the pixels come from an array on disk, written if missing.

    Args:
        size: Side of the square that every image becomes; None takes the median of the shorter sides,
            at most 128.
        cut: "crop" cuts the middle square out, "squeeze" presses the whole picture into it.
        test_share: Stratified share for the test where the files name no split.
        splits: What folders are, over the guess; see `read_layout`.
        spelling: Whether names that differ in capital letters only are one class; see `read_layout`.
    Raises:
        BadDataset: No class folders, or not one image in them that can be read.
        SettingError: `splits` cannot be understood.
    """
    reading = look_into(files, splits=splits, spelling=spelling)
    _check_classes(files.title, reading, files.skipped)
    size = size or _usual_size(files, reading.places)
    layout = [(place.name, place.split, place.class_name) for place in reading.places]
    folder = home("data", "indexed") / key_of(_VERSION, files.key, size, cut, gray, layout)
    found = _indexed(folder, files, reading, size, cut, gray, progress)
    if len(found.class_names) < 2:
        raise BadDataset(
            f"{files.title!r} holds one class with images that can be read, {found.class_names[0]!r}; of "
            f"{', '.join(map(repr, found.unreadable))} none can. Put readable images there."
        )
    completed, note = _completed(found.splits, test_share, seed)
    notes = [note, *_notes_on_classes(found, completed)]
    return ImageDataset(
        name=name,
        title=title,
        class_names=found.class_names,
        splits=completed,
        source=f"{len(reading.places):,} files in {files.title}",
        note=" ".join(filter(None, notes)),
        skipped=(*found.skipped, *reading.left_out, *files.skipped),
    )


def _indexed(
    folder: Path, files: ImageFiles, reading: FolderReading, size: int, cut: str, gray: bool,
    progress: Progress,
) -> IndexedImages:  # fmt: skip
    """The index in that folder, made first if it is missing or damaged."""
    try:
        found = open_index(folder)
    except DamagedIndex:
        needed = len(reading.places) * size * size * (1 if gray else 3)
        require_room("data/indexed", needed, f"The data set {files.title!r} at {size} pixels")
        write_index(
            folder, reading.places, files.opened,
            title=files.title, size=size, cut=cut, gray=gray, progress=progress,
        )  # fmt: skip
        return open_index(folder)
    note_use(folder / "index.json")
    return found


def _notes_on_classes(found: IndexedImages, splits: Mapping[str, Split]) -> Iterator[str]:
    """Sentences on classes of which nothing, or nothing to learn from, is there."""
    if found.unreadable:
        some = ", ".join(f"{name!r} ({count:,})" for name, count in list(found.unreadable.items())[:8])
        more = f" and {len(found.unreadable) - 8:,} more" if len(found.unreadable) > 8 else ""
        yield f"Classes whose images are all broken were left out: {some}{more}."
    for split in ("train", "test"):
        if split in splits:
            counts = splits[split].counts(len(found.class_names))
            absent = [name for name, count in zip(found.class_names, counts, strict=True) if not count]
            if absent:
                more = f" and {len(absent) - 8:,} more" if absent[8:] else ""
                some = ", ".join(map(repr, absent[:8]))
                yield f"The {split} split has no images of {some}{more}."


def _completed(splits: dict[str, Split], test_share: float, seed: int) -> tuple[dict[str, Split], str]:
    """Splits with the names that trainings look for, and what was done to get them."""
    if "" in splits:
        train, test = splits[""].divide(test_share, seed)
        return {"train": train, "test": test}, (
            f"The files name no split: {test_share:.0%} of every class are the test set (seed {seed})."
        )
    if "test" in splits or "train" not in splits:
        return splits, ""
    if "val" in splits:
        return {"train": splits["train"], "test": splits["val"]}, (
            "The files have a validation and no test part: it serves as the test set."
        )
    train, test = splits["train"].divide(test_share, seed)
    return {"train": train, "test": test}, (
        f"The files have only a training part: {test_share:.0%} of it are the test set (seed {seed})."
    )


def _in_folder(root: Path) -> ImageFiles:
    found: list[str] = []
    texts: list[str] = []
    skipped: list[Skipped] = []
    digest = hashlib.sha256()
    for folder, below, files in os.walk(root):
        below.sort()
        here = Path(folder).relative_to(root)
        for name in list(below):
            where = (here / name).as_posix()
            if os.path.islink(os.path.join(folder, name)):
                skipped.append(Skipped(printable(where), "it is a link to a folder, which is not followed"))
            elif is_hidden(name):
                inside = sum(len(names) for _, _, names in os.walk(os.path.join(folder, name)))
                skipped.append(skipped_folder(where, inside))
                below.remove(name)
        for file in sorted(files):
            name = (here / file).as_posix()
            reason = reason_to_skip_name(name)
            if reason:
                skipped.append(Skipped(printable(name), reason))
                if file.lower().endswith(annotation_files.SUFFIXES):
                    texts.append(name)
                continue
            try:
                facts = Path(folder, file).stat()
            except OSError as error:
                skipped.append(Skipped(printable(name), f"it cannot be opened ({error.strerror})"))
                continue
            found.append(name)
            digest.update(f"{name}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode(errors="surrogateescape"))

    def read(name: str) -> bytes:
        try:
            return (root / name).read_bytes()
        except OSError as error:
            raise BadImage(f"{printable(name)!r} cannot be opened ({error.strerror}).") from None

    @contextmanager
    def opened() -> Iterator[Callable[[str], bytes]]:
        yield read

    def read_texts() -> dict[str, str]:
        small = [n for n in texts if os.path.getsize(root / n) <= annotation_files.MAXIMUM_BYTES]
        return _read_texts(small, read)

    return ImageFiles(root.name, tuple(found), tuple(skipped), digest.hexdigest(), opened, read_texts)


def _texts_of_zip(root: Path | BinaryIO, texts: Mapping[str, zipfile.ZipInfo]) -> dict[str, str]:
    with open_zip(root, texts, annotation_files.MAXIMUM_BYTES) as read:
        return _read_texts(list(texts), read)


def _read_texts(names: list[str], read: Callable[[str], bytes]) -> dict[str, str]:
    """The texts nearest to the top, read as UTF-8; those that are damaged are left out."""
    found = {}
    for name in sorted(names, key=lambda name: (name.count("/"), name))[: annotation_files.MAXIMUM_LISTS]:
        try:
            found[name] = read(name).decode("utf-8-sig", errors="replace")
        except BadImage:
            continue
    return found


def _question_of_names(listing: ZipListing, names: str) -> tuple[OpenChoice, ...]:
    if not listing.samples:
        return ()
    options = {e: f"{ENCODINGS[e]}: {sample}" for e, sample in listing.samples.items()}
    said = names != "guess"
    taken = names if said else listing.encodings[0]
    question = "The zip does not say how its names are written."
    return (OpenChoice("names", question, options, taken, said),)


def _check_classes(title: str, reading: FolderReading, skipped: tuple[Skipped, ...]) -> None:
    layout = "Put the images of each class into a folder of its own, such as cat/1.jpg and dog/1.jpg"
    names = reading.class_names
    asked = "".join(f" {choice.sentence()}" for choice in reading.choices if not choice.said)
    if len(names) < 2:
        found = f"one class, {names[0]!r}" if names else "no class folders with images"
        raise BadDataset(
            f"{title!r} holds {found}.{_main_reason((*reading.left_out, *skipped))} {layout}; "
            f"train/ and test/ above them are understood.{asked}"
        )
    if len(names) > MAXIMUM_CLASSES:
        raise BadDataset(
            f"{title!r} holds {len(names):,} class folders; up to {MAXIMUM_CLASSES:,} are read. "
            f"{layout}.{asked}"
        )


def _main_reason(skipped: tuple[Skipped, ...]) -> str:
    """Why most of the files were left out, with the first of them."""
    if not skipped:
        return ""
    times = Counter(one.reason for one in skipped)
    reason, count = times.most_common(1)[0]
    first = next(one.path for one in skipped if one.reason == reason)
    if len(skipped) == 1:
        return f" The only other file, {first!r}, was left out: {reason}."
    return f" {count:,} of {len(skipped):,} files that were left out, the first {first!r}: {reason}."


def _usual_size(files: ImageFiles, places: tuple[Place, ...]) -> int:
    sides = []
    with files.opened() as read:
        for place in places[:: max(1, len(places) // 32)]:
            try:
                sides.append(min(read_image(read(place.name), "").steps[-1].pixels.shape[:2]))
            except BadImage:
                continue
    return max(8, min(128, int(np.median(sides)))) if sides else 64
