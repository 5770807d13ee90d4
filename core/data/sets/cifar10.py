"""CIFAR-10: 60,000 color pictures of animals and vehicles, 32 × 32."""

import shutil
import tarfile
import uuid
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from core.data.dataset import ImageDataset, Split
from core.data.download import fetch
from core.data.folder_index import find_images, read_dataset
from core.data.sets import datasets
from core.errors import BadDataset, Unavailable
from core.paths import home
from core.progress import Progress, no_progress

CLASS_NAMES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
_RECORD = 1 + 3 * 32 * 32  # a label, then red, green, blue
ARCHIVE = "cifar-10-binary.tar.gz"
ADDRESS = f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}"
SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
FOLDER = "cifar-10-batches-bin"
FILES = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}
BY_HAND = (
    f"Fetch {ADDRESS} on another machine and put it into the data folder as it is, or put cifar10.zip there "
    "(train/airplane/*.jpg … test/truck/*.jpg)."
)


@datasets.register("cifar10", title="CIFAR-10", order=20, download="170 MB", by_hand=BY_HAND)
def cifar10(*, download: bool = False, progress: Progress = no_progress) -> ImageDataset:
    """Animals and vehicles in color, 32 × 32: 50,000 to train, 10,000 to test, ten classes.

    Looked for in the data folder: as the binary version, packed or unpacked, as torchvision's download, then
    as class folders, `cifar10/` or `cifar10.zip` (`train/airplane/0000.jpg` …), which are read once into an
    array on disk.

    Args:
        download: Download it (170 MB) if it is not on this machine.
    Raises:
        Unavailable: It is not here, or the download failed.
    Source:
        Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images"
    Example:
        >>> cifar10().splits["test"].images.shape
        (10000, 32, 32, 3)
    """
    data = home("data")
    if (data / FOLDER / "test_batch.bin").is_file():
        return _dataset(_read_binary(data / FOLDER))
    if (data / "cifar-10-batches-py" / "test_batch").is_file():
        return _dataset(_read_torchvision(data))
    for root in (data / "cifar10", data / "cifar10.zip"):
        if root.exists():
            found = read_dataset(
                find_images(root), name="cifar10", title="CIFAR-10", size=32, progress=progress
            )
            if found.class_names != CLASS_NAMES:
                raise BadDataset(
                    f"{root.name} in the data folder holds the classes {', '.join(found.class_names[:12])}; "
                    f"CIFAR-10 has {', '.join(CLASS_NAMES)}. Give the file another name, or upload it."
                )
            return replace(_dataset(found.splits), note=found.note, skipped=found.skipped)
    if download or (data / ARCHIVE).is_file():
        _download(data, progress)
        return _dataset(_read_binary(data / FOLDER))
    raise Unavailable(
        "CIFAR-10 is not on this machine. Download it (170 MB) on the page Data or with "
        f"`python -m core datasets cifar10 --settings download=true`. No network? {BY_HAND}"
    )


def _download(data: Path, progress: Progress) -> None:
    """Fetch the binary version and unpack it; the folder gets its name only when it is whole."""
    archive = data / ARCHIVE
    if not archive.is_file():
        fetch("The images of CIFAR-10", ADDRESS, archive, sha256_prefix=SHA256, progress=progress)
    progress(1.0, "Unpacking CIFAR-10")
    part = data / f"{FOLDER}.{uuid.uuid4().hex}.part"
    part.mkdir()
    try:
        with tarfile.open(archive) as packed:
            for name in (name for names in FILES.values() for name in names):
                source = packed.extractfile(f"{FOLDER}/{name}")
                if source is None:
                    raise KeyError(f"{name} is not a file")
                with source, (part / name).open("wb") as file:
                    shutil.copyfileobj(source, file)
        shutil.rmtree(data / FOLDER, ignore_errors=True)
        part.rename(data / FOLDER)
        archive.unlink(missing_ok=True)
    except (tarfile.TarError, KeyError, EOFError, zlib.error) as error:
        raise Unavailable(
            f"{archive.name} in the data folder cannot be unpacked ({error}). Delete it, and download "
            "CIFAR-10 again."
        ) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _dataset(splits: Mapping[str, Split]) -> ImageDataset:
    return ImageDataset(
        name="cifar10",
        title="CIFAR-10",
        class_names=CLASS_NAMES,
        splits=splits,
        source="A. Krizhevsky, https://www.cs.toronto.edu/~kriz/cifar.html",
        license="none stated; made for research",
    )


def _read_binary(folder: Path) -> dict[str, Split]:
    splits = {}
    for name, parts in FILES.items():
        rows = []
        for part in parts:
            path = folder / part
            values = np.fromfile(path, np.uint8) if path.is_file() else np.empty(0, np.uint8)
            if not len(values) or len(values) % _RECORD:
                raise BadDataset(
                    f"{part} has {len(values)} bytes, not a multiple of {_RECORD}: fetch CIFAR-10's binary "
                    "version again."
                )
            rows.append(values.reshape(-1, _RECORD))
        records = np.concatenate(rows)
        images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        splits[name] = Split(np.ascontiguousarray(images), records[:, 0].astype(np.int64))
    return splits


def _read_torchvision(folder: Path) -> dict[str, Split]:
    """The batches are pickles: torchvision opens them only when their checksums are the published ones."""
    import torchvision  # imports torch, which the other ways need not

    try:
        parts = {
            name: torchvision.datasets.CIFAR10(str(folder), train=name == "train")
            for name in ("train", "test")
        }
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().partition(". You can use download")[0] or repr(error)
        raise Unavailable(
            f"CIFAR-10 could not be read from cifar-10-batches-py in the data folder ({reason}). Delete that "
            "folder, and download CIFAR-10 again."
        ) from None
    return {
        name: Split(np.ascontiguousarray(part.data), np.array(part.targets, np.int64))
        for name, part in parts.items()
    }
