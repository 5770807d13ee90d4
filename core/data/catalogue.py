"""All data sets by name: those of `core.data.sets`, and the zips that people uploaded."""

import hashlib
import inspect
import json
import os
import re
import threading
import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from core import roles
from core.data.archive import list_zip, printable
from core.data.dataset import ImageDataset
from core.data.folder_index import find_images, read_dataset
from core.data.sets import datasets
from core.disk import require_room
from core.errors import BadDataset, UnknownName
from core.paths import home
from core.progress import Progress, no_progress
from core.settings import Setting, check_settings

MAXIMUM_UPLOAD = 2 * 2**30
_KEPT_OPEN = 8


@dataclass(frozen=True)
class CatalogueEntry:
    """A data set that can be opened.

    Attributes:
        settings: What `open_dataset` takes besides the name.
        path: The zip, where it was uploaded.
    """

    name: str
    title: str
    summary: str
    settings: tuple[Setting, ...]
    path: Path | None = None

    def setting(self, name: str) -> Setting | None:
        return next((setting for setting in self.settings if setting.name == name), None)


def dataset_names() -> list[str]:
    """Names of all data sets, the uploaded ones last. A listed one may still have to be fetched."""
    return [entry.name for entry in catalogue()]


def catalogue() -> list[CatalogueEntry]:
    """All data sets that can be chosen by name, in the order of a list for people."""
    entries = [
        CatalogueEntry(member.name, member.title, member.summary, member.settings)
        for member in datasets
        if not member.facts.get("needs_folder")
    ]
    return entries + _uploads()


def catalogue_entry(name: str) -> CatalogueEntry:
    """The entry of that name.

    Raises:
        UnknownName: There is none.
    """
    entries = catalogue()
    for entry in entries:
        if entry.name == name:
            return entry
    if name in datasets:  # one that takes a folder: for the command line, never from a list
        member = datasets[name]
        return CatalogueEntry(member.name, member.title, member.summary, member.settings)
    raise UnknownName("data set", name, [entry.name for entry in entries])


def open_dataset(name: str, *, progress: Progress = no_progress, **settings: Any) -> ImageDataset:
    """A data set by name. Equal questions get the same object, so that its hash is computed once.

    Args:
        progress: Told how far it is where a data set is read for the first time.
        settings: Of the data set; the others take their defaults.
    Raises:
        UnknownName: There is none of that name.
        SettingError: A setting it does not have, or with a value that is not allowed.
        Unavailable: It cannot be had here.
    """
    entry = catalogue_entry(name)
    values = check_settings(entry.settings, settings)
    key = (name, str(entry.path), tuple(sorted(values.items())))
    with _lock:
        making = _making.setdefault(key, threading.Lock())
    with making:
        with _lock:
            if key in _open:
                _open.move_to_end(key)
                return _open[key]
        if entry.path is not None:
            dataset = read_dataset(
                find_images(entry.path), name=name, title=entry.title, progress=progress, **values
            )
        else:
            member = datasets[name]
            takes_progress = "progress" in inspect.signature(member.function).parameters
            dataset = member(**values, **({"progress": progress} if takes_progress else {}))
        # A folder may change, and what is missing today may be there tomorrow: ask again for these.
        if "train" in dataset.splits and "folder" not in values:
            with _lock:
                _open[key] = dataset
                while len(_open) > _KEPT_OPEN:
                    _open.popitem(last=False)
    return dataset


def open_for_training(name: str, *, progress: Progress = no_progress, **settings: Any) -> ImageDataset:
    """`open_dataset`, which fetches the training images from their source if they are not here.

    Raises:
        Unavailable: It has no training images here, and they could not be fetched.
    """
    if catalogue_entry(name).setting("download") and "download" not in settings:
        settings["download"] = True
    dataset = open_dataset(name, progress=progress, **settings)
    dataset.split("train")
    return dataset


def add_upload(
    file: BinaryIO, file_name: str, *, progress: Progress = no_progress
) -> tuple[str, ImageDataset]:
    """Keep a zip of images for everyone, and read it: (its name in the catalogue, the data set).

    The same file sent twice is the same data set, also under another name.

    Raises:
        BadDataset: It is too large, no zip, or holds no images in class folders; nothing is kept then.
        NoRoom: The uploads have reached their limit, or the disk is full.
        NotAllowed: In a class, by anyone but the teacher.
    """
    roles.visitor().require_teacher("upload a data set")
    folder = home("data", "uploads")
    title = printable(file_name, 80)
    require_room("data/uploads", _length_of(file), f"The zip {title!r}")
    part = folder / f"{uuid.uuid4().hex}.part"
    try:
        sha256 = _copy(file, part, MAXIMUM_UPLOAD, title)
        stem = Path(title.replace("\\", "/")).stem
        slug = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:40] or "images"
        name = _known(sha256) or f"{slug}-{sha256[:8]}"
        path = folder / f"{name}.zip"
        new = not path.exists()
        if new:
            list_zip(part, title)
            about = {"title": stem or "images", "uploaded": time.time()}
            part.with_suffix(".about").write_text(json.dumps(about), encoding="utf-8")
            part.with_suffix(".about").replace(folder / f"{name}.json")
            part.replace(path)
        try:
            return name, open_dataset(name, progress=progress)
        except BaseException:
            if new:  # nobody can use it: do not offer it
                path.unlink(missing_ok=True)
                (folder / f"{name}.json").unlink(missing_ok=True)
            raise
    finally:
        part.unlink(missing_ok=True)


def _length_of(file: BinaryIO) -> int:
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    return length


def _known(sha256: str) -> str | None:
    """The name under which the same zip was uploaded before."""
    for path in sorted(home("data", "uploads").glob(f"*-{sha256[:8]}.zip")):
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == sha256:
                return path.stem
    return None


def _copy(file: BinaryIO, to: Path, limit: int, name: str) -> str:
    digest, length = hashlib.sha256(), 0
    with to.open("wb") as out:
        while block := file.read(2**20):
            length += len(block)
            if length > limit:
                raise BadDataset(
                    f"{name!r} is larger than {limit / 2**30:.1f} GB, which is all there is room for. "
                    "Leave images out or save them smaller."
                )
            digest.update(block)
            out.write(block)
    if not length:
        raise BadDataset(f"{name!r} is empty (0 bytes): choose a zip of images.")
    return digest.hexdigest()


def _uploads() -> list[CatalogueEntry]:
    entries = []
    settings = tuple(s for s in datasets["image_folder"].settings if s.name != "folder")
    for path in sorted(home("data", "uploads").glob("*.zip")):
        try:
            title = str(json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["title"])
        except (OSError, ValueError, KeyError, TypeError):
            title = path.stem  # a zip that was put there by hand
        entries.append(CatalogueEntry(path.stem, title, "Uploaded images", settings, path))
    return entries


_lock = threading.Lock()
_open: OrderedDict[tuple[Any, ...], ImageDataset] = OrderedDict()
_making: dict[tuple[Any, ...], threading.Lock] = {}
