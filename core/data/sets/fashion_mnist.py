"""Fashion-MNIST: 70,000 gray pictures of clothes, 28 × 28."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np

from core.data.dataset import ImageDataset, Split
from core.data.download import fetch
from core.data.sets import datasets
from core.errors import BadDataset, Unavailable
from core.paths import PROJECT, home
from core.progress import Progress, no_progress

CLASS_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
SHIPPED = PROJECT / "samples" / "fashion-mnist"
_STEMS = {"train": "train", "test": "t10k"}
ADDRESS = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
SHA256 = {
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
}
BY_HAND = (
    "Install Debian's package dataset-fashion-mnist, or put the files "
    f"{' and '.join(SHA256)} of https://github.com/zalandoresearch/fashion-mnist into the folder "
    "fashion-mnist of the data folder."
)

_GET_IT = (
    "Download the 60,000 training images (27 MB) on the page Data or with `python -m core datasets "
    f"fashion_mnist --settings download=true`. No network? {BY_HAND}"
)


@datasets.register(
    "fashion_mnist", title="Fashion-MNIST", order=10, download="27 MB", by_hand=BY_HAND, part="train"
)
def fashion_mnist(*, download: bool = False, progress: Progress = no_progress) -> ImageDataset:
    """Clothes in gray, 28 × 28: 60,000 to train, 10,000 to test, ten classes.

    Looked for in the data folder and in Debian's package. Only the test images are part of Convoscope.

    Args:
        download: Download the training images (27 MB) if they are not on this machine.
    Raises:
        Unavailable: The download failed.
    Source:
        Xiao, Rasul, Vollgraf 2017, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
        Algorithms", arXiv:1708.07747
    Example:
        >>> fashion_mnist().splits["test"].images.shape
        (10000, 28, 28, 1)
    """
    splits = _read("train"), _read("test")
    if splits[0] is None and download:
        for name, sha256 in SHA256.items():
            path = home("data", "fashion-mnist") / name
            fetch(f"Fashion-MNIST ({name})", ADDRESS + name, path, sha256_prefix=sha256, progress=progress)
        splits = _read("train"), _read("test")
    train, test = splits
    found = {name: split for name, split in (("train", train), ("test", test)) if split is not None}
    if not found:
        raise Unavailable(f"Fashion-MNIST is not on this machine. {_GET_IT}")
    note = "" if train else f"Only the 10,000 test images are here, as they come with Convoscope. {_GET_IT}"
    return ImageDataset(
        name="fashion_mnist",
        title="Fashion-MNIST",
        class_names=CLASS_NAMES,
        splits=found,
        source="Zalando Research, https://github.com/zalandoresearch/fashion-mnist",
        license="MIT, © 2017 Zalando SE",
        note=note,
    )


def read_idx(path: Path) -> np.ndarray:
    """An array from an IDX file of bytes, gzipped or not.

    Raises:
        BadDataset: It is cut short, or no such file.
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        zeros, kind, dimensions = struct.unpack_from(">HBB", data)
        shape = struct.unpack_from(f">{dimensions}I", data, 4)
        if (zeros, kind) != (0, 8):
            raise ValueError(f"it begins with {data[:4].hex()}, not with 000008")
        values = np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions)
        return values.reshape(shape)
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        raise BadDataset(f"{path.name} is not a whole IDX file ({error}). Fetch it again.") from None


def _read(split: str) -> Split | None:
    for folder in (home("data") / "fashion-mnist", home("data") / "FashionMNIST" / "raw", DEBIAN, SHIPPED):
        images = _file(folder, f"{_STEMS[split]}-images-idx3-ubyte")
        labels = _file(folder, f"{_STEMS[split]}-labels-idx1-ubyte")
        if images and labels:
            return Split(read_idx(images)[..., None], read_idx(labels).astype(np.int64))
    return None


def _file(folder: Path, stem: str) -> Path | None:
    return next((path for path in (folder / stem, folder / f"{stem}.gz") if path.is_file()), None)
