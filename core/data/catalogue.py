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
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from core import roles
from core.data.archive import list_zip
from core.data.dataset import ImageDataset
from core.data.file_names import printable
from core.data.folder_index import ImageFiles, find_images, look_into, read_dataset
from core.data.folder_reading import READING_SETTINGS, FolderReading
from core.data.sets import datasets
from core.disk import require_room
from core.errors import BadDataset, SettingError, UnknownName
from core.paths import from_json, home
from core.progress import Progress, no_progress
from core.settings import Setting, check_settings

MAXIMUM_UPLOAD = 2 * 2**30
_KEPT_OPEN = 8


@dataclass(frozen=True)
class CatalogueEntry:
    """A data set that can be opened.

    Attributes:
        settings: What `open_dataset` takes besides the name. The defaults of an uploaded one are what was
            said about its folders.
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
            files = _files_of(entry.path, values.pop("names"), entry.title)
            dataset = read_dataset(files, name=name, title=entry.title, progress=progress, **values)
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


def folder_reading(name: str, **settings: Any) -> FolderReading | None:
    """What the folders of a data set were taken for, with no picture read; None if it has no folders.

    Args:
        settings: As `open_dataset` takes them.
    Raises:
        UnknownName: There is no data set of that name.
        BadDataset: There is no such folder, or it is no zip.
        SettingError: A setting that it does not have, or with a value that is not allowed.
    """
    entry = catalogue_entry(name)
    values = check_settings(entry.settings, settings)
    path = entry.path
    if path is None and name in datasets and datasets[name].facts.get("needs_folder") and values["folder"]:
        path = Path(values["folder"]).expanduser()
    if path is None:
        return None
    files = _files_of(path, values["names"], entry.title if entry.path else "")
    return look_into(files, splits=values["splits"], spelling=values["spelling"])


def upload_files(name: str, names: str = "guess") -> ImageFiles:
    """The files of an uploaded data set.

    Args:
        names: What the names in its zip are written in.
    Raises:
        UnknownName: There is none of that name, or it was not uploaded.
    """
    path = _upload_path(name)
    return _files_of(path, names, _about(path).title)


def said_of_upload(name: str) -> dict[str, str]:
    """What was said about an uploaded data set's folders, over the guess: some of `READING_SETTINGS`."""
    return dict(_about(_upload_path(name)).said)


def read_upload_as(
    name: str, said: Mapping[str, str], *, progress: Progress = no_progress
) -> ImageDataset:  # fmt: skip
    """Read an uploaded data set otherwise, for everyone and from now on.

    Args:
        said: Some of `READING_SETTINGS`; the others are guessed.
    Raises:
        UnknownName: There is none of that name, or it was not uploaded.
        BadDataset: Read like this it has no classes; it stays as it was then.
        NotAllowed: In a class, by anyone but the teacher.
    """
    roles.visitor().require_teacher("say how a data set is read")
    about, path = _about(_upload_path(name)), _upload_path(name)
    unsaid: dict[str, str] = dict.fromkeys(READING_SETTINGS, "guess") | {"splits": ""}
    dataset = open_dataset(name, progress=progress, **(unsaid | dict(said)))
    _write_about(path, replace(about, said=dict(said)))
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
    file: BinaryIO, file_name: str, said: Mapping[str, str] | None = None, *,
    progress: Progress = no_progress,
) -> tuple[str, ImageDataset]:  # fmt: skip
    """Keep a zip of images for everyone, and read it: (its name in the catalogue, the data set).

    The same file sent twice is the same data set, also under another name; what is said the second time
    holds.

    Args:
        said: What its folders are, over the guess: some of `READING_SETTINGS`.

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
            _write_about(path, _About(stem or "images", time.time(), dict(said or {})))
            part.replace(path)
        try:
            if new:
                return name, open_dataset(name, progress=progress)
            return name, read_upload_as(name, said or said_of_upload(name), progress=progress)
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
    file.seek(0)  # someone may have looked into it before
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


@dataclass(frozen=True)
class _About:
    """What is kept beside a zip."""

    title: str
    uploaded: float = 0.0
    said: Mapping[str, str] = field(default_factory=dict)


def _about(path: Path) -> _About:
    try:
        found = from_json(path.with_suffix(".json").read_bytes())
        said = {str(key): str(value) for key, value in dict(found.get("said", {})).items()}
        return _About(str(found["title"]), float(found.get("uploaded", 0)), said)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return _About(path.stem)  # a zip that was put there by hand


def _write_about(path: Path, about: _About) -> None:
    part = path.with_name(f"{uuid.uuid4().hex}.about")
    part.write_text(json.dumps(asdict(about)), encoding="utf-8")
    part.replace(path.with_suffix(".json"))


def _uploads() -> list[CatalogueEntry]:
    settings = tuple(s for s in datasets["image_folder"].settings if s.name != "folder")
    entries = []
    for path in sorted(home("data", "uploads").glob("*.zip")):
        about = _about(path)
        own = tuple(_with_default(setting, about.said) for setting in settings)
        entries.append(CatalogueEntry(path.stem, about.title, "Uploaded images", own, path))
    return entries


def _with_default(setting: Setting, said: Mapping[str, str]) -> Setting:
    """The setting with what was said about a data set as its default, if that is allowed."""
    if setting.name not in READING_SETTINGS or setting.name not in said:
        return setting
    try:
        return replace(setting, default=setting.check(said[setting.name]))
    except SettingError:  # of another version of Convoscope
        return setting


def _upload_path(name: str) -> Path:
    path = catalogue_entry(name).path
    if path is None:
        raise UnknownName("uploaded data set", name, [entry.name for entry in _uploads()])
    return path


def _files_of(path: Path, names: str, title: str = "") -> ImageFiles:
    """What is in a folder or zip; the list of a zip that has not changed is made once."""
    if not path.is_file():
        return find_images(path, names=names)
    facts = path.stat()
    return _files_of_zip(path, names, title, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=4)
def _files_of_zip(path: Path, names: str, title: str, changed: int, length: int) -> ImageFiles:
    return find_images(path, names=names, title=title)


_lock = threading.Lock()
_open: OrderedDict[tuple[Any, ...], ImageDataset] = OrderedDict()
_making: dict[tuple[Any, ...], threading.Lock] = {}
