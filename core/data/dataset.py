"""A data set of labeled images in memory, or mapped from disk so that it costs none."""

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

import numpy as np

from core.errors import BadDataset, SettingError, Unavailable, UnknownName
from core.paths import home

# Rows gathered from a mapped array are kept in memory up to here, and in an unnamed file beyond.
GATHERED_IN_MEMORY = 64 * 2**20
_BLOCK_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Skipped:
    """A file that is in no split, and why: `reason` ends the sentence "It was left out because …"."""

    path: str
    reason: str


@dataclass(frozen=True, eq=False)
class Split:
    """Images with their labels; row i of everything belongs to the same image.

    Attributes:
        images: (N, H, W, C) uint8, C = 1 (gray) or 3 (RGB); may be a read-only memory map.
        labels: (N,) int64, indices into the data set's class names.
        files: The name of the file each image came from, where they came from files.
        masks: (N, H, W) bool by what they show, where the truth is known ("stitches", "grid", …).
        sha256: Of pixels and labels where it is known already; computed when first asked for otherwise.
    """

    images: np.ndarray
    labels: np.ndarray
    files: tuple[str, ...] | None = None
    masks: Mapping[str, np.ndarray] = field(default_factory=dict)
    sha256: str = ""

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.dtype != np.uint8 or self.images.shape[3] not in (1, 3):
            raise BadDataset(
                f"Images are {self.images.dtype} of the shape {self.images.shape}: "
                "give (N, H, W, 1) or (N, H, W, 3) uint8."
            )
        if self.labels.shape != (len(self.images),) or self.labels.dtype != np.int64:
            raise BadDataset(
                f"Labels are {self.labels.dtype} of the shape {self.labels.shape}: "
                f"give ({len(self.images)},) int64, one for each image."
            )
        if self.files is not None and len(self.files) != len(self.images):
            raise BadDataset(f"There are {len(self.files)} file names for {len(self.images)} images.")
        for name, mask in self.masks.items():
            if mask.shape != self.images.shape[:3] or mask.dtype != np.bool_:
                raise BadDataset(
                    f"The masks {name!r} are {mask.dtype} of the shape {mask.shape}: "
                    f"give {self.images.shape[:3]} bool."
                )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.images.shape[1], self.images.shape[2]

    @property
    def channels(self) -> int:
        return self.images.shape[3]

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of pixels and labels, in hex; 60,000 images of 32 × 32 take about half a second, once."""
        return self.sha256 or hash_of_images(self.images, self.labels)

    @cached_property
    def mean_std(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel over all pixels, with pixels of 0…1."""
        return channel_mean_std(self.images)

    def counts(self, number_of_classes: int) -> np.ndarray:
        """How many images each class has: (K,) int64."""
        return np.bincount(self.labels, minlength=number_of_classes).astype(np.int64)

    def take(self, indices: np.ndarray) -> "Split":
        """These rows, in this order, as a split of their own."""
        indices = np.asarray(indices, dtype=np.int64)
        files = None if self.files is None else tuple(self.files[i] for i in indices)
        masks = {name: mask[indices] for name, mask in self.masks.items()}
        return Split(_gather(self.images, indices), self.labels[indices], files, masks)

    def subset(self, count: int, seed: int = 0) -> "Split":
        """`count` images with the classes in the same proportions; all of them where there are no more.

        Raises:
            BadDataset: `count` is below 1.
        """
        if count < 1:
            raise BadDataset(f"A subset of {count} images was asked for: choose 1 to {len(self)}.")
        return self if count >= len(self) else self.take(stratified_indices(self.labels, count, seed)[1])

    def divide(self, share: float, seed: int = 0) -> tuple["Split", "Split"]:
        """Cut off a stratified `share` of the images: (the rest, the part cut off).

        Raises:
            BadDataset: `share` leaves one of the two empty.
        """
        count = round(share * len(self))
        if not 0 < count < len(self):
            raise BadDataset(
                f"A share of {share:g} of {len(self)} images leaves nothing on one side: "
                "choose a share between 0 and 1, such as 0.1, or take more images."
            )
        rest, part = stratified_indices(self.labels, count, seed)
        return self.take(rest), self.take(part)


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """Splits of labeled images, and what people should know about them.

    Attributes:
        name: Its name in the catalogue.
        splits: By name: "train", "test" and, where the data came with one, "val". Any may be missing.
        note: What is particular about it here, such as a part that is missing and how to get it.
        skipped: Files that could not be used, and why.
        single_logit: Meant for a network with one output: class 1 against class 0.
    """

    name: str
    title: str
    class_names: tuple[str, ...]
    splits: Mapping[str, Split]
    source: str = ""
    license: str = ""
    note: str = ""
    skipped: tuple[Skipped, ...] = ()
    single_logit: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "splits", MappingProxyType(dict(self.splits)))
        if not self.splits:
            raise BadDataset(f"{self.name} has no images: give it at least one split with images.")
        sizes = {split.images.shape[1:] for split in self.splits.values()}
        if len(sizes) > 1:
            raise BadDataset(
                f"The splits of {self.name} differ in the size of their images: {sorted(sizes)}."
            )
        for name, split in self.splits.items():
            if not len(split):
                raise BadDataset(f"The split {name!r} of {self.name} is empty: leave it out.")
            if split.labels.min() < 0 or split.labels.max() >= len(self.class_names):
                raise BadDataset(
                    f"The split {name!r} of {self.name} has labels from {split.labels.min()} to "
                    f"{split.labels.max()}, but there are {len(self.class_names)} class names."
                )

    @property
    def number_of_classes(self) -> int:
        return len(self.class_names)

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of every image, in pixels."""
        return next(iter(self.splits.values())).input_size

    @property
    def channels(self) -> int:
        return next(iter(self.splits.values())).channels

    @property
    def mean_std(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Of the training split, or of the first where there is none: what networks normalize by."""
        return (self.splits.get("train") or next(iter(self.splits.values()))).mean_std

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all pixels, labels and class names, in hex; equal data have equal fingerprints."""
        digest = hashlib.sha256(repr(self.class_names).encode())
        for name in sorted(self.splits):
            digest.update(f"{name} {self.splits[name].fingerprint}".encode())
        return digest.hexdigest()

    def split(self, name: str) -> Split:
        """The split of that name.

        Raises:
            Unavailable: It exists in general but is not here; the message says how to get it.
            UnknownName: There is no such split.
        """
        if name in self.splits:
            return self.splits[name]
        if name in ("train", "test") and self.note:
            raise Unavailable(f"{self.title} has no {name} images here. {self.note}")
        raise UnknownName(f"split of {self.name}", name, self.splits)


def stratified_indices(labels: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw `count` rows so that every class has its share, to within one image: (the rest, the drawn).

    Shape:
        labels: (N,) int64
        returns: (N − count,) and (count,) int64, both ascending
    """
    rng = np.random.default_rng(seed)
    classes, sizes = np.unique(labels, return_counts=True)
    exact = count * sizes / len(labels)
    quotas = np.floor(exact).astype(np.int64)
    # What rounding down left over goes to the largest remainders; ties go to classes drawn by the seed, so
    # that 5 images of ten equal classes are not always from the first five.
    order = np.lexsort((rng.permutation(len(classes)), -(exact - quotas).round(9)))
    quotas[order[: count - int(quotas.sum())]] += 1
    drawn = np.zeros(len(labels), bool)
    for value, quota in zip(classes, quotas, strict=True):
        drawn[rng.permutation(np.flatnonzero(labels == value))[:quota]] = True
    return np.flatnonzero(~drawn), np.flatnonzero(drawn)


def hash_of_images(images: np.ndarray, labels: np.ndarray) -> str:
    """sha256 of shape, pixels and labels, read block by block."""
    digest = hashlib.sha256(f"{images.shape} {labels.tolist()}".encode())
    for block in blocks(images):
        digest.update(np.ascontiguousarray(block).data)
    return digest.hexdigest()


def channel_mean_std(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Exact mean and population standard deviation of each channel, with pixels of 0…1.

    Shape:
        images: (N, H, W, C) uint8
        returns: C means, C deviations; a channel of one color gets the deviation of one gray level, since
            inputs are divided by it
    """
    channels = images.shape[3]
    histogram = np.zeros((channels, 256))
    for block in blocks(images):
        for channel in range(channels):
            histogram[channel] += np.bincount(block[..., channel].ravel(), minlength=256)
    values = np.arange(256) / 255
    share = histogram / histogram.sum(axis=1, keepdims=True)
    mean = share @ values
    variance = (share * (values - mean[:, None]) ** 2).sum(axis=1)
    std = np.where(variance > 1e-12, np.sqrt(variance), 1 / 255)
    return tuple(mean.tolist()), tuple(std.tolist())


def blocks(images: np.ndarray) -> Iterator[np.ndarray]:
    """The images in parts of about 16 MB, so that a mapped array is never in memory as a whole."""
    rows = max(1, _BLOCK_BYTES // max(1, int(np.prod(images.shape[1:]))))
    for start in range(0, len(images), rows):
        yield images[start : start + rows]


def _gather(images: np.ndarray, indices: np.ndarray) -> np.ndarray:
    if len(indices) and np.array_equal(indices, np.arange(indices[0], indices[0] + len(indices))):
        return images[indices[0] : indices[0] + len(indices)]
    shape = (len(indices), *images.shape[1:])
    if int(np.prod(shape)) <= GATHERED_IN_MEMORY or not isinstance(images, np.memmap):
        return np.ascontiguousarray(images[indices])
    with tempfile.TemporaryFile(dir=home("cache")) as file:
        gathered = np.memmap(file, np.uint8, "w+", shape=shape)
    rows = max(1, _BLOCK_BYTES // int(np.prod(shape[1:])))
    for start in range(0, len(indices), rows):
        gathered[start : start + rows] = images[indices[start : start + rows]]
    return gathered


def indexed_rows(labels: np.ndarray, count: int | None) -> np.ndarray:
    """Which rows of a split an index of `count` images reads: every class with its share, the same always.

    Shape:
        returns: (n,) int64, ascending
    """
    if count is None or count >= len(labels):
        return np.arange(len(labels))
    if count < 1:
        raise SettingError(f"{count} images were asked for: choose from 1 to {len(labels)}.")
    return stratified_indices(labels, count, 0)[1]
