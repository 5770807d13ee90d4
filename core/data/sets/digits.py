"""Digits: 1,797 gray pictures of handwritten digits, 8 × 8, that come with scikit-learn."""

from typing import Annotated

import numpy as np

from core.data.dataset import ImageDataset, Split
from core.data.sets import datasets
from core.settings import Range


@datasets.register("digits", title="Digits", order=30)
def digits(
    *,
    test_share: Annotated[float, Range(0.05, 0.5, 0.05)] = 0.2,
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0,
) -> ImageDataset:
    """Handwritten digits, 8 × 8 pixels: small enough to train on in seconds.

    Args:
        test_share: The share of the images that is kept for the test.
        seed: The seed that picks these images.
    Source:
        Alpaydin, Kaynak 1998, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository
    Example:
        >>> found = digits()
        >>> found.splits["train"].images.shape, found.class_names[:3]
        ((1438, 8, 8, 1), ('0', '1', '2'))
    """
    from sklearn.datasets import load_digits  # half a second that other data sets need not pay

    data = load_digits()
    images = (data.images * (255 / 16)).round().astype(np.uint8)[..., None]  # 17 levels, 0…16
    train, test = Split(images, data.target.astype(np.int64)).divide(test_share, seed)
    return ImageDataset(
        name="digits",
        title="Digits",
        class_names=tuple(str(name) for name in data.target_names),
        splits={"train": train, "test": test},
        source="Optical Recognition of Handwritten Digits (UCI), as it comes with scikit-learn",
        license="CC BY 4.0",
    )
