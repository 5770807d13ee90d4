"""Folders and zips of images, read once into an array on disk that is mapped from then on."""

import hashlib
import json
import os
import re
import shutil
import unicodedata
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from core.data.archive import list_zip, open_zip, printable, reason_to_skip_name
from core.data.dataset import ImageDataset, Skipped, Split
from core.data.images import read_image
from core.data.preprocessing import Preprocessing, fit
from core.disk import note_use, require_room
from core.errors import BadDataset, BadImage
from core.paths import home
from core.progress import Progress, no_progress

MAXIMUM_CLASSES = 1000
SPLITS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
_VERSION = 2  # of what is written to disk
_BATCH = 256


@dataclass(frozen=True)
class ImageFiles:
    """Where images are, without one of them read yet.

    Attributes:
        names: Paths below the root with forward slashes.
        key: A hash of names, sizes and dates or checksums: it changes when the files do.
        opened: Gives, inside a `with`, a function from a name to the file's bytes, which raises `BadImage`.
    """

    root: Path
    names: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    key: str
    opened: Callable[[], AbstractContextManager[Callable[[str], bytes]]]


def find_images(root: Path) -> ImageFiles:
    """The images of a folder or a zip.

    Raises:
        BadDataset: There is nothing there, or it is neither.
    """
    if root.is_dir():
        return _in_folder(root)
    if not root.is_file():
        raise BadDataset(f"There is no folder or zip {str(root)!r}. Give the path of one.")
    entries, skipped = list_zip(root)
    digest = hashlib.sha256()
    for entry in entries:
        digest.update(f"{entry.filename}\0{entry.file_size}\0{entry.CRC}\n".encode(errors="surrogatepass"))
    names = tuple(entry.filename for entry in entries)
    return ImageFiles(root, names, tuple(skipped), digest.hexdigest(), lambda: open_zip(root))


@dataclass(frozen=True)
class Place:
    """Where in a data set a file belongs."""

    name: str
    split: str
    class_name: str


def arrange(names: tuple[str, ...]) -> tuple[list[Place], list[Skipped]]:
    """Read split and class from paths like `train/cat/1.jpg`, `cat/train/1.jpg` or `cat/1.jpg`.

    A common folder above is left aside. Split folders may be called `training_set` or `seg_train`, and lie
    once more in themselves. The split is "" where the paths name none. Files that lie deeper belong to the
    class above them. Names that are the same letters in another encoding of Unicode are the same.
    """
    parts = {
        name: [unicodedata.normalize("NFC", p) for p in name.split("/") if p not in ("", ".")]
        for name in names
    }
    while len({path[0] for path in parts.values()}) == 1 and min(map(len, parts.values())) > 2:
        if split_of(next(iter(parts.values()))[0]):
            break
        parts = {name: path[1:] for name, path in parts.items()}
    with_splits = _name_splits({path[0] for path in parts.values() if len(path) > 1})
    if not with_splits and all(len(path) > 2 for path in parts.values()):
        below = {path[1] for path in parts.values()}
        if all(split_of(folder) for folder in below) and len({split_of(folder) for folder in below}) > 1:
            parts = {name: [path[1], path[0], *path[2:]] for name, path in parts.items()}
            with_splits = True
    places, skipped = [], []
    for name, path in parts.items():
        split = split_of(path[0]) if with_splits else ""
        if with_splits and len(path) > 3 and split_of(path[1]) == split:
            path = [path[0], *path[2:]]  # seg_train/seg_train/forest/1.jpg
        if with_splits and not split:
            skipped.append(Skipped(printable(name), "it lies beside the folders train, val and test"))
        elif len(path) < (3 if with_splits else 2):
            where = f" inside {printable(path[0], 40)!r}" if with_splits else ""
            skipped.append(Skipped(printable(name), f"it is in no folder of a class{where}"))
        else:
            places.append(Place(name, split, printable(path[1 if with_splits else 0], 200)))
    return _without_unsorted(_one_spelling(places), skipped)


def _one_spelling(places: list[Place]) -> list[Place]:
    """Cat in train and cat in test are one class, as train writes it; both in one split stay two."""
    spelled: dict[str, dict[str, set[str]]] = {}
    for place in places:
        by_name = spelled.setdefault(place.class_name.casefold(), {})
        by_name.setdefault(place.class_name, set()).add(place.split)
    best: dict[str, str] = {}
    for names in spelled.values():
        if len(names) > 1 and sum(map(len, names.values())) == len(set().union(*names.values())):
            first = min(names, key=lambda name: ("train" not in names[name], name))
            best |= dict.fromkeys(names, first)
    return [replace(place, class_name=best.get(place.class_name, place.class_name)) for place in places]


def split_of(folder: str) -> str:
    """Which split a folder's name says it is, by its words: "train", "val", "test" or ""."""
    words = [word for word in re.split(r"[^a-z]+", folder.lower()) if word]
    found = {SPLITS[word] for word in words if word in SPLITS}
    rest = [word for word in words if word not in SPLITS]
    return found.pop() if len(found) == 1 and len(rest) <= 1 else ""


def _name_splits(folders: set[str]) -> bool:
    """Whether these folders are splits and not classes, one of which happens to be called train."""
    splits = {folder: split_of(folder) for folder in folders}
    named = {folder for folder, split in splits.items() if split}
    different = len({splits[folder] for folder in named})
    return different > 1 or (different == 1 and named == folders)


def _without_unsorted(places: list[Place], skipped: list[Skipped]) -> tuple[list[Place], list[Skipped]]:
    """Leave out a split's one folder that no other split has: pictures that nobody sorted into classes."""
    classes: dict[str, set[str]] = {}
    for place in places:
        classes.setdefault(place.split, set()).add(place.class_name)
    known = classes.get("train", set())
    unsorted = {
        s
        for s, found in classes.items()
        if s != "train" and len(known) > 1 and len(found) == 1 and not found & known
    }
    kept = [place for place in places if place.split not in unsorted]
    left_out = [
        Skipped(
            printable(place.name),
            f"the folder {place.class_name!r} is not one of the classes in train: sort the pictures of "
            f"{place.split} into folders of their classes",
        )
        for place in places if place.split in unsorted
    ]  # fmt: skip
    return kept, [*skipped, *left_out]


def read_dataset(
    files: ImageFiles, *, name: str, title: str, size: int | None = None, cut: str = "crop",
    gray: bool = False, test_share: float = 0.2, seed: int = 0, progress: Progress = no_progress,
) -> ImageDataset:  # fmt: skip
    """A data set from files in class folders; the pixels come from an array on disk, written if missing.

    Args:
        size: Side of the square that every image becomes; None takes the median of the shorter sides,
            at most 128.
        cut: "crop" cuts the middle square out, "squeeze" presses the whole picture into it.
        test_share: Stratified share for the test where the files name no split.
    Raises:
        BadDataset: No class folders, or not one image in them that can be read.
    """
    places, skipped = arrange(files.names) if files.names else ([], [])
    class_names = tuple(sorted({place.class_name for place in places}))
    _check_classes(files.root, class_names, (*skipped, *files.skipped))
    size = size or _usual_size(files, places)
    key = hashlib.sha256(f"{_VERSION} {files.key} {size} {cut} {gray}".encode()).hexdigest()[:24]
    folder = home("data", "indexed") / key
    if (folder / "index.json").is_file():
        note_use(folder / "index.json")
    else:
        needed = len(places) * size * size * (1 if gray else 3)
        require_room("data/indexed", needed, f"The data set {files.root.name!r} at {size} pixels")
        _write(folder, files, places, class_names, size, cut, gray, progress)
    splits, unreadable = _mapped(folder)
    splits, note = _completed(splits, test_share, seed)
    return ImageDataset(
        name=name,
        title=title,
        class_names=class_names,
        splits=splits,
        source=f"{len(places):,} files in {files.root.name}",
        note=note,
        skipped=(*unreadable, *skipped, *files.skipped),
    )


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
    names, skipped = [], []
    digest = hashlib.sha256()
    for folder, below, files in os.walk(root):
        below.sort()
        skipped += [
            Skipped(printable(name), "it is a link to a folder, which is not followed")
            for name in below
            if os.path.islink(os.path.join(folder, name))
        ]
        for file in sorted(files):
            path = Path(folder, file)
            name = path.relative_to(root).as_posix()
            reason = reason_to_skip_name(name)
            if reason:
                skipped.append(Skipped(printable(name), reason))
                continue
            try:
                facts = path.stat()
            except OSError as error:
                skipped.append(Skipped(printable(name), f"it cannot be opened ({error.strerror})"))
                continue
            names.append(name)
            digest.update(f"{name}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode(errors="surrogateescape"))

    @contextmanager
    def opened() -> Iterator[Callable[[str], bytes]]:
        def read(name: str) -> bytes:
            try:
                return (root / name).read_bytes()
            except OSError as error:
                raise BadImage(f"{printable(name)!r} cannot be opened ({error.strerror}).") from None

        yield read

    return ImageFiles(root, tuple(names), tuple(skipped), digest.hexdigest(), opened)


def _check_classes(root: Path, class_names: tuple[str, ...], skipped: tuple[Skipped, ...]) -> None:
    layout = "Put the images of each class into a folder of its own, such as cat/1.jpg and dog/1.jpg"
    if len(class_names) < 2:
        found = f"one class, {class_names[0]!r}" if class_names else "no class folders with images"
        why = (
            f" The first file that was left out, {skipped[0].path!r}: {skipped[0].reason}." if skipped else ""
        )
        raise BadDataset(
            f"{root.name!r} holds {found}.{why} {layout}; train/ and test/ above them are understood."
        )
    if len(class_names) > MAXIMUM_CLASSES:
        raise BadDataset(
            f"{root.name!r} holds {len(class_names):,} class folders; up to {MAXIMUM_CLASSES:,} are read. "
            f"{layout}."
        )


def _usual_size(files: ImageFiles, places: list[Place]) -> int:
    sides = []
    with files.opened() as read:
        for place in places[:: max(1, len(places) // 32)]:
            try:
                sides.append(min(read_image(read(place.name), "").steps[-1].pixels.shape[:2]))
            except BadImage:
                continue
    return max(8, min(128, int(np.median(sides)))) if sides else 64


def _write(
    folder: Path, files: ImageFiles, places: list[Place], class_names: tuple[str, ...], size: int, cut: str,
    gray: bool, progress: Progress,
) -> None:  # fmt: skip
    """Decode everything into a new folder beside `folder`, and move it there when it is whole."""
    making = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}")
    making.mkdir()
    channels = 1 if gray else 3
    preprocessing = Preprocessing(
        input_size=(size, size),
        mean=(0.0,) * channels,
        std=(1.0,) * channels,
        channels=channels,
        resize=None if cut == "squeeze" else size,
    )
    order = ["", "train", "val", "test"]
    places = sorted(places, key=lambda place: order.index(place.split))
    kept: list[Place] = []
    skipped: list[Skipped] = []

    def decode(place: Place) -> np.ndarray | BadImage:
        try:
            return fit(read_image(read(place.name), place.name).pixels, preprocessing)
        except BadImage as error:
            return error

    try:
        with (
            files.opened() as read,
            (making / "images.bin").open("wb") as out,
            ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool,
        ):
            for start in range(0, len(places), _BATCH):
                batch = places[start : start + _BATCH]
                for place, pixels in zip(batch, pool.map(decode, batch), strict=True):
                    if isinstance(pixels, BadImage):
                        skipped.append(Skipped(printable(place.name), str(pixels)))
                    else:
                        kept.append(place)
                        out.write(np.ascontiguousarray(pixels).data)
                done = start + len(batch)
                progress(done / len(places), f"Reading {done:,} of {len(places):,} images")
        if not kept:
            raise BadDataset(f"None of the {len(places)} images in {files.root.name!r} can be read. "
                             f"The first: {skipped[0].reason}")  # fmt: skip
        numbers = {name: index for index, name in enumerate(class_names)}
        np.save(making / "labels.npy", np.array([numbers[place.class_name] for place in kept], np.int64))
        _describe(making, kept, skipped, (size, size, channels))
        try:
            making.rename(folder)
        except OSError:
            if not (folder / "index.json").is_file():  # otherwise another process was faster, with the same
                raise
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _describe(folder: Path, kept: list[Place], skipped: list[Skipped], shape: tuple[int, int, int]) -> None:
    names = [place.split for place in kept]
    parts: dict[str, dict[str, object]] = {
        name: {"start": names.index(name), "stop": names.index(name) + names.count(name)}
        for name in dict.fromkeys(names)
    }
    index = {
        "shape": [len(kept), *shape],
        "splits": parts,
        "files": [printable(place.name) for place in kept],
        "skipped": [[s.path, s.reason] for s in skipped],
    }
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")
    # Hashed here once, so that opening the data set never reads all pixels again.
    for name, split in _mapped(folder)[0].items():
        parts[name]["sha256"] = split.fingerprint
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")


def _mapped(folder: Path) -> tuple[dict[str, Split], tuple[Skipped, ...]]:
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    images = np.memmap(folder / "images.bin", np.uint8, "r", shape=tuple(index["shape"]))
    labels = np.load(folder / "labels.npy")
    splits = {
        name: Split(
            images[part["start"] : part["stop"]],
            labels[part["start"] : part["stop"]],
            tuple(index["files"][part["start"] : part["stop"]]),
            sha256=part.get("sha256", ""),
        )
        for name, part in index["splits"].items()
    }
    return splits, tuple(Skipped(*entry) for entry in index["skipped"])
