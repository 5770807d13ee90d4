"""Images that were decoded once, in a folder on disk from which they are mapped from then on."""

import hashlib
import io
import json
import os
import shutil
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from core.data.dataset import Skipped, Split, hash_of_images
from core.data.file_names import printable
from core.data.folder_reading import SPLIT_ORDER, Place
from core.data.images import read_image
from core.data.preprocessing import Preprocessing, fit
from core.errors import BadDataset, BadImage
from core.progress import Progress

MAXIMUM_PIXELS = 40 * 10**9  # of all pictures together: a quarter of an hour of decoding
VERIFIED_UP_TO = 64 * 2**20  # bytes of pixels whose hash is compared whenever they are opened
_BATCH = 256
_SAMPLED = 64  # pictures


class DamagedIndex(Exception):
    """What is on the disk is not what was written there: it has to be made again."""


@dataclass(frozen=True)
class IndexedImages:
    """What an index holds.

    Attributes:
        class_names: Of the classes with at least one image that could be read.
        skipped: Files that could not be read.
        unreadable: The other classes, with the number of their files.
    """

    splits: dict[str, Split]
    class_names: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    unreadable: dict[str, int]


def write_index(
    folder: Path, places: Sequence[Place],
    opened: Callable[[], AbstractContextManager[Callable[[str], bytes]]],
    *, title: str, size: int, cut: str, gray: bool, progress: Progress,
) -> None:  # fmt: skip
    """Decode everything into a new folder beside `folder`, and move it there when it is whole.

    Raises:
        BadDataset: No image can be read, or all together have too many pixels; nothing is kept then.
    """
    making = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}")
    making.mkdir()
    channels = 1 if gray else 3
    places = sorted(places, key=lambda place: SPLIT_ORDER.index(place.split))
    try:
        with opened() as read, (making / "images.bin").open("wb") as out:
            shape = (size, size, channels)
            kept, skipped = _decode(out, places, read, shape, cut, title, progress)
            _to_disk(out)
        if not kept:
            raise BadDataset(
                f"None of the {len(places)} images in {title!r} can be read. The first: {skipped[0].reason}"
            )
        _describe(making, places, kept, skipped, shape)
        try:
            making.rename(folder)
        except OSError:
            try:
                open_index(folder)  # another process was faster, with the same
            except DamagedIndex:
                shutil.rmtree(folder, ignore_errors=True)
                making.rename(folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def open_index(folder: Path) -> IndexedImages:
    """The images of an index, mapped.

    Raises:
        DamagedIndex: It is missing, of another length or another form, or holds something else.
    """
    try:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        shape = tuple(int(n) for n in index["shape"])
        names = tuple(str(name) for name in index["class_names"])
        labels = np.load(folder / "labels.npy")
        if (folder / "images.bin").stat().st_size != int(np.prod(shape, dtype=object)) or len(shape) != 4:
            raise DamagedIndex(f"{folder.name}: images.bin has another length")
        if labels.shape != shape[:1] or labels.min() < 0 or labels.max() >= len(names):
            raise DamagedIndex(f"{folder.name}: labels.npy holds something else")
        images = np.memmap(folder / "images.bin", np.uint8, "r", shape=shape)
        splits = {}
        for name, part in index["splits"].items():
            rows = slice(int(part["start"]), int(part["stop"]))
            files = tuple(str(file) for file in index["files"][rows])
            splits[name] = Split(images[rows], labels[rows], files, sha256=str(part["sha256"]))
        _verify(folder, images, labels, splits)
        return IndexedImages(
            splits, names, tuple(Skipped(str(path), str(reason)) for path, reason in index["skipped"]),
            {str(name): int(count) for name, count in index["unreadable"].items()},
        )  # fmt: skip
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        EOFError,
        OverflowError,
        BadDataset,
    ) as error:
        raise DamagedIndex(f"{folder.name}: {error}") from None


def _verify(folder: Path, images: np.ndarray, labels: np.ndarray, splits: dict[str, Split]) -> None:
    stops = [0, *(len(split) for split in splits.values())]
    if sum(stops) != len(labels) or not all(len(split) and split.sha256 for split in splits.values()):
        raise DamagedIndex(f"{folder.name}: its splits are not its images")
    if images.nbytes <= VERIFIED_UP_TO:
        for split in splits.values():
            if hash_of_images(split.images, split.labels) != split.sha256:
                raise DamagedIndex(f"{folder.name}: pixels or labels have changed")


def _decode(
    out: io.BufferedWriter, places: Sequence[Place], read: Callable[[str], bytes],
    shape: tuple[int, int, int], cut: str, title: str, progress: Progress,
) -> tuple[list[Place], list[Skipped]]:  # fmt: skip
    """Write the pixels of all images that can be read, in the order of `places`."""
    height, width, channels = shape
    preprocessing = Preprocessing(
        input_size=(height, width), mean=(0.0,) * channels, std=(1.0,) * channels, channels=channels,
        resize=None if cut == "squeeze" else height,
    )  # fmt: skip
    kept: list[Place] = []
    skipped: list[Skipped] = []

    def decode(place: Place) -> tuple[np.ndarray | BadImage, int]:
        pixels = 0
        try:
            data = read(place.name)
            pixels = _pixels_of(data)
            return fit(read_image(data, place.name).pixels, preprocessing), pixels
        except BadImage as error:
            return error, pixels

    total = 0
    if (expected := _expected_pixels(places, read)) > 2 * MAXIMUM_PIXELS:
        raise _too_many_pixels(title, expected)
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for start in range(0, len(places), _BATCH):
            batch = places[start : start + _BATCH]
            for place, (pixels, decoded) in zip(batch, pool.map(decode, batch), strict=True):
                total += decoded
                if isinstance(pixels, BadImage):
                    skipped.append(Skipped(printable(place.name), str(pixels)))
                else:
                    kept.append(place)
                    out.write(np.ascontiguousarray(pixels).data)
            done = start + len(batch)
            if total > MAXIMUM_PIXELS:
                raise _too_many_pixels(title, total)
            progress(done / len(places), f"Reading {done:,} of {len(places):,} images")
    return kept, skipped


def _expected_pixels(places: Sequence[Place], read: Callable[[str], bytes]) -> int:
    """How many pixels all pictures have, by some of them: what is far too much is refused at once."""
    sizes = []
    for place in places[:: max(1, len(places) // _SAMPLED)]:
        try:
            sizes.append(_pixels_of(read(place.name)))
        except BadImage:
            continue
    return sum(sizes) * len(places) // len(sizes) if sizes else 0


def _too_many_pixels(title: str, pixels: int) -> BadDataset:
    return BadDataset(
        f"The images in {title!r} have {pixels / 10**6:,.0f} million pixels and more together; up to "
        f"{MAXIMUM_PIXELS / 10**6:,.0f} million are read. Save them smaller, or leave some out."
    )


def _pixels_of(data: bytes) -> int:
    """How many pixels a picture says it has, without decoding it; 0 where it does not say."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.width * image.height
    except Exception:  # noqa: BLE001 - Pillow raises many kinds; `read_image` says what is wrong
        return 0


def _describe(
    folder: Path, places: Sequence[Place], kept: Sequence[Place], skipped: Sequence[Skipped],
    shape: tuple[int, int, int],
) -> None:  # fmt: skip
    class_names = tuple(sorted({place.class_name for place in kept}))
    numbers = {name: index for index, name in enumerate(class_names)}
    labels = np.array([numbers[place.class_name] for place in kept], np.int64)
    with (folder / "labels.npy").open("wb") as out:
        np.save(out, labels)
        _to_disk(out)
    images = np.memmap(folder / "images.bin", np.uint8, "r", shape=(len(kept), *shape))
    names = [place.split for place in kept]
    parts: dict[str, dict[str, object]] = {}
    for name in dict.fromkeys(names):
        start, stop = names.index(name), names.index(name) + names.count(name)
        # Hashed here once, so that opening a large data set never reads all pixels again.
        sha256 = hash_of_images(images[start:stop], labels[start:stop])
        parts[name] = {"start": start, "stop": stop, "sha256": sha256}
    lost = {place.class_name for place in places} - set(class_names)
    index = {
        "shape": [len(kept), *shape],
        "class_names": class_names,
        "splits": parts,
        "files": [printable(place.name) for place in kept],
        "skipped": [[s.path, s.reason] for s in skipped],
        "unreadable": {name: sum(p.class_name == name for p in places) for name in sorted(lost)},
    }
    with (folder / "index.json").open("wb") as out:
        out.write(json.dumps(index).encode())
        _to_disk(out)


def _to_disk(file: io.BufferedWriter) -> None:
    """Wait until a file is on the disk, so that a power failure leaves none of it or all."""
    file.flush()
    os.fsync(file.fileno())


def key_of(*facts: object) -> str:
    """The name of an index that depends on these facts."""
    return hashlib.sha256(repr(facts).encode(errors="surrogatepass")).hexdigest()[:24]
