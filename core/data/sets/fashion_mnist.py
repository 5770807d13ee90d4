"""Fashion-MNIST: 70,000 gray pictures of clothes, 28 × 28."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np

from core.data.dataset import ImageDataset, Split
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
_GET_IT = (
    "Install Debian's package dataset-fashion-mnist, put the four files of Fashion-MNIST into the folder "
    "fashion-mnist of the data folder, or choose it on the Data page, with its setting `download`."
)


@datasets.register("fashion_mnist", title="Fashion-MNIST", order=10)
def fashion_mnist(*, download: bool = False, progress: Progress = no_progress) -> ImageDataset:
    """Clothes in gray, 28 × 28: 60,000 to train, 10,000 to test, ten classes.

    Looked for in the data folder and in Debian's package. Only the test images are part of Convoscope.

    Args:
        download: Download the training images (30 MB) if they are not on this machine.
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
        progress(0.0, "Downloading Fashion-MNIST (30 MB)")
        _download(home("data"))
        splits = _read("train"), _read("test")
    train, test = splits
    found = {name: split for name, split in (("train", train), ("test", test)) if split is not None}
    if not found:
        raise Unavailable(f"Fashion-MNIST is not here. {_GET_IT}")
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
        raise BadDataset(f"{path.name} is no whole IDX file ({error}). Fetch it again.") from None


def _read(split: str) -> Split | None:
    for folder in (home("data") / "fashion-mnist", home("data") / "FashionMNIST" / "raw", DEBIAN, SHIPPED):
        images = _file(folder, f"{_STEMS[split]}-images-idx3-ubyte")
        labels = _file(folder, f"{_STEMS[split]}-labels-idx1-ubyte")
        if images and labels:
            return Split(read_idx(images)[..., None], read_idx(labels).astype(np.int64))
    return None


def _file(folder: Path, stem: str) -> Path | None:
    return next((path for path in (folder / stem, folder / f"{stem}.gz") if path.is_file()), None)


def _download(folder: Path) -> None:
    import torchvision  # imports torch, which reading the files needs not

    try:
        torchvision.datasets.FashionMNIST(str(folder), download=True)
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().rpartition("\n")[2] or repr(error)
        raise Unavailable(
            f"Fashion-MNIST could not be downloaded ({reason}). Is there a network? Without one, install "
            "Debian's package dataset-fashion-mnist, or put the four files into the folder fashion-mnist of "
            "the data folder."
        ) from None
