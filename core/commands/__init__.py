"""The commands of `python -m core`: an open set, one file each; and what most commands begin with.

This file opens a classifier and a data set by name, shows progress on one line and writes named files.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.data.dataset import ImageDataset
    from core.data.folder_reading import FolderReading
    from core.models.classifier import Classifier


def open_classifier(name: str) -> "Classifier":
    """A classifier by its name in the catalogue, or by the folder of its checkpoint."""
    from core.models.catalogue import load
    from core.models.checkpoint import load_checkpoint

    folder = Path(name)
    return load_checkpoint(folder) if (folder / "card.json").is_file() else load(name, progress=show)


def checkpoint_of(name: str) -> Path | None:
    """The folder of that classifier's checkpoint; None where its weights are not in one."""
    from core.models.catalogue import checkpoint_folder

    folder = Path(name)
    return folder if (folder / "card.json").is_file() else checkpoint_folder(name)


def open_both(name: str, dataset: str | None) -> "tuple[Classifier, ImageDataset]":
    """A classifier, and a data set by name, else the one that the classifier was trained on.

    Raises:
        SettingError: No data set was named, and the classifier's card names none.
    """
    from core.data.catalogue import open_dataset
    from core.errors import SettingError

    classifier = open_classifier(name)
    chosen = dataset or classifier.card.dataset
    if not chosen:
        raise SettingError(f"{name} does not say what it was trained on: name a data set with --dataset.")
    say_folders(chosen, {})
    return classifier, open_dataset(chosen)


def say_folders(dataset: str, settings: dict[str, Any]) -> None:
    """Print on the error output what the folders of a data set were taken for, if it is read from folders."""
    from core.data.catalogue import folder_reading

    reading = folder_reading(dataset, **settings)
    if reading is not None:
        say_reading(reading)


def say_reading(reading: "FolderReading") -> None:
    """Print on the error output what folders were taken for, and which settings say it otherwise."""
    print(*reading.sentences(), sep="\n", file=sys.stderr)
    if reading.is_open:
        print("The settings of the data set named here overrule a guess.", file=sys.stderr)


def show(share: float, message: str) -> None:
    """Progress on one line of a terminal; nothing where the output goes to a file."""
    if sys.stderr.isatty():
        print(f"\r{share:4.0%} {message:<60.60}", end="", file=sys.stderr, flush=True)


def write_file(path: Path, data: bytes) -> None:
    """Write a file that the user named.

    Raises:
        Unavailable: It cannot be written there.
    """
    from core.errors import Unavailable

    try:
        path.write_bytes(data)
    except OSError as error:
        raise Unavailable(f"{path} cannot be written: {error.strerror}. Give another place.") from None
