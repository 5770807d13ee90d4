"""A folder or a zip of your own images, one folder a class."""

from pathlib import Path
from typing import Annotated

from core.data.dataset import ImageDataset
from core.data.folder_index import find_images, read_dataset
from core.data.folder_reading import SPELLINGS
from core.data.sets import datasets
from core.data.zip_names import ENCODINGS
from core.errors import BadDataset
from core.progress import Progress, no_progress
from core.settings import Choice, Range, Text


@datasets.register("image_folder", title="Folder of images", order=90, needs_folder=True)
def image_folder(
    *,
    folder: Annotated[str, Text(example="photos/ or photos.zip")] = "",
    size: Annotated[int | None, Range(8, 512), "pixels"] = None,
    cut: Annotated[str, Choice("crop", "squeeze")] = "crop",
    gray: bool = False,
    test_share: Annotated[float, Range(0.05, 0.5, 0.05)] = 0.2,
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0,
    splits: Annotated[str, Text(example="training_set=train, test_set=test, other=skip")] = "",
    spelling: Annotated[str, Choice(*SPELLINGS)] = "guess",
    names: Annotated[str, Choice("guess", *ENCODINGS)] = "guess",
    progress: Progress = no_progress,
) -> ImageDataset:
    """Your own images: `class/*.jpg`, or with `train/`, `val/` and `test/` above.

    Args:
        folder: The folder, or a zip of it.
        size: Side of the square every image becomes; left empty, the median of the shorter sides, at most
            128.
        cut: Cut the middle square out, or squeeze the whole picture into it.
        gray: Keep one channel instead of three.
        test_share: Share kept for the test where the folder has no such part.
        seed: Which images those are.
        splits: What folders are (train, val, test, class or skip), if not as guessed; none makes every folder
            a class.
        spelling: Whether classes that differ in capital letters only are one (together) or two (apart).
        names: How the names in a zip are written that does not say so itself.
    Raises:
        BadDataset: No such folder, no class folders in it, or no image that can be read.
    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from PIL import Image
        >>> with TemporaryDirectory() as folder:
        ...     for number, name in enumerate(["cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png"]):
        ...         Path(folder, name).parent.mkdir(exist_ok=True)
        ...         Image.new("RGB", (16, 16), (50 * number, 0, 0)).save(Path(folder, name))
        ...     found = image_folder(folder=folder, test_share=0.5)
        >>> found.class_names
        ('cat', 'dog')
    """
    if not folder:
        raise BadDataset(
            "Give `folder` the path of a folder, or of a zip, that holds a folder of images for each class."
        )
    path = Path(folder).expanduser()
    return read_dataset(
        find_images(path, names=names), name=path.stem, title=path.stem,
        size=size, cut=cut, gray=gray, test_share=test_share, seed=seed, splits=splits, spelling=spelling,
        progress=progress,
    )  # fmt: skip
