"""CIFAR-10: 60,000 color pictures of animals and vehicles, 32 × 32."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from core.data.dataset import ImageDataset, Split
from core.data.folder_index import find_images, read_dataset
from core.data.sets import datasets
from core.errors import BadDataset, Unavailable
from core.paths import home
from core.progress import Progress, no_progress

CLASS_NAMES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
_RECORD = 1 + 3 * 32 * 32  # a label, then red, green, blue


@datasets.register("cifar10", title="CIFAR-10", order=20)
def cifar10(*, download: bool = False, progress: Progress = no_progress) -> ImageDataset:
    """Animals and vehicles in color, 32 × 32: 50,000 to train, 10,000 to test, ten classes.

    Looked for in the data folder: as torchvision's download or the binary version, then as class folders,
    `cifar10/` or `cifar10.zip` (`train/airplane/0000.jpg` …), which are read once into an array on disk.

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
    if (data / "cifar-10-batches-bin" / "test_batch.bin").is_file():
        return _dataset(_read_binary(data / "cifar-10-batches-bin"))
    if (data / "cifar-10-batches-py" / "test_batch").is_file():
        return _dataset(_read_torchvision(data, download=False))
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
    if download:
        progress(0.0, "Downloading CIFAR-10 (170 MB)")
        return _dataset(_read_torchvision(data, download=True))
    raise Unavailable(
        "CIFAR-10 is not here. Choose it on the Data page, with its setting `download`, or put cifar10.zip "
        "(train/airplane/*.jpg … test/truck/*.jpg) or the folder cifar-10-batches-bin into the data folder."
    )


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
    files = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}
    splits = {}
    for name, parts in files.items():
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


def _read_torchvision(folder: Path, *, download: bool) -> dict[str, Split]:
    """The batches are pickles: torchvision opens them only when their checksums are the published ones."""
    import torchvision  # imports torch, which the other ways need not

    try:
        parts = {
            name: torchvision.datasets.CIFAR10(str(folder), train=name == "train", download=download)
            for name in ("train", "test")
        }
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().rpartition("\n")[2] or repr(error)
        raise Unavailable(
            f"CIFAR-10 could not be {'downloaded' if download else 'read'} ({reason}). Is there a network? "
            "Without one, put cifar10.zip or the folder cifar-10-batches-bin into the data folder."
        ) from None
    return {
        name: Split(np.ascontiguousarray(part.data), np.array(part.targets, np.int64))
        for name, part in parts.items()
    }
