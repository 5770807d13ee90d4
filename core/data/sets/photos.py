"""Photos: 600 overlapping crops of the photographs that come with scikit-image."""

import math
from collections.abc import Iterator
from typing import Annotated

import numpy as np
from PIL import Image

from core.data.dataset import ImageDataset, Split
from core.data.samples import SAMPLES, sample_image, sample_names
from core.data.sets import datasets
from core.errors import Unavailable
from core.progress import Progress, no_progress
from core.settings import Range

# The side of a crop as a share of the photograph's shorter side, and the rows and columns of such crops:
# 60 crops of a color photograph and half as many of a gray one.
COLOR_GRIDS = ((0.9, 2, 2), (0.7, 3, 4), (0.5, 4, 5), (0.4, 4, 6))
GRAY_GRIDS = ((0.9, 2, 2), (0.7, 2, 3), (0.5, 2, 4), (0.4, 3, 4))
# About every fourth crop is for the test, along the diagonals of each grid: every size is in both splits.
DIAGONALS, TEST_DIAGONAL = 4, 1


@datasets.register("photos", title="Photos", order=25)
def photos(
    *,
    size: Annotated[int, Range(32, 384, 32), "pixels"] = 224,
    progress: Progress = no_progress,
) -> ImageDataset:
    """Photographs cut into 600 overlapping crops: natural images for an ImageNet network, without a download.

    The twelve sample photos, in color for the most part. The class of a crop is the photograph that it comes
    from, and every photograph is in both splits.

    Args:
        size: The side of the square crops.
    Raises:
        Unavailable: scikit-image was installed without its photographs.
    Source:
        van der Walt et al. 2014, "scikit-image: image processing in Python", PeerJ 2:e453
    Example:
        >>> found = photos(size=32)
        >>> found.splits["test"].images.shape[1:]
        (32, 32, 3)
    """
    names = sample_names()
    if not names:
        raise Unavailable(
            "The photographs of scikit-image are not installed with it. Install it anew: "
            "pip install --force-reinstall scikit-image."
        )
    images: dict[str, list[np.ndarray]] = {"train": [], "test": []}
    labels: dict[str, list[int]] = {"train": [], "test": []}
    for label, name in enumerate(names):
        progress(label / len(names), f"Cutting {SAMPLES[name][0]} into crops")
        for split, crop in _crops(sample_image(name).pixels, size):
            images[split].append(crop)
            labels[split].append(label)
    return ImageDataset(
        name="photos",
        title="Photos",
        class_names=tuple(SAMPLES[name][0] for name in names),
        splits={split: Split(np.stack(images[split]), np.array(labels[split], np.int64)) for split in images},
        source="scikit-image's own photographs, https://scikit-image.org",
        license="public domain or CC0, as scikit-image states for each",
        note="The crops of one photograph overlap, also those of the two splits. An accuracy on the test "
        "images therefore does not show how a network does on new photographs.",
    )


def _crops(photo: np.ndarray, size: int) -> Iterator[tuple[str, np.ndarray]]:
    """Crops of a photograph on a grid for each scale, each with its split.

    Shape:
        photo: (H, W, 3) uint8
        returns: (size, size, 3) uint8 each
    """
    height, width = photo.shape[:2]
    gray = bool((photo[..., :1] == photo).all())
    picture = Image.fromarray(photo)
    for share, rows, columns in GRAY_GRIDS if gray else COLOR_GRIDS:
        side = max(1, math.floor(share * min(height, width)))
        for row in range(rows):
            for column in range(columns):
                top = (height - side) * row // (rows - 1)
                left = (width - side) * column // (columns - 1)
                crop = picture.crop((left, top, left + side, top + side))
                split = "test" if (row + column) % DIAGONALS == TEST_DIAGONAL else "train"
                yield split, np.asarray(crop.resize((size, size), Image.Resampling.BICUBIC))
