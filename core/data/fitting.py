"""Many images brought to the size and channels that a network takes, in memory or batch by batch."""

from collections.abc import Callable

import numpy as np

from core.data.preprocessing import Preprocessing, fit
from core.progress import Progress, no_progress

# Images are resized once, before the first epoch, if they fit in here; and batch by batch beyond.
RESIZED_IN_MEMORY = 1500 * 2**20


def fitted(
    images: np.ndarray, preprocessing: Preprocessing, progress: Progress = no_progress
) -> Callable[[np.ndarray], np.ndarray]:
    """A function from row numbers to the pixels of these rows as the network sees them.

    Shape:
        images: (N, H, W, C) uint8, possibly a memory map
        the function: (n,) int64 to (n, *input_size, channels) uint8
    """
    shape = (*preprocessing.input_size, preprocessing.channels)
    if images.shape[1:] == shape:
        if isinstance(images, np.memmap) and images.nbytes <= RESIZED_IN_MEMORY:
            images = np.array(images)
        return lambda rows: images[rows]
    if len(images) * int(np.prod(shape)) > RESIZED_IN_MEMORY:
        return lambda rows: np.stack([fit_any(images[row], preprocessing) for row in rows])
    resized = np.empty((len(images), *shape), np.uint8)
    for row in range(len(images)):
        resized[row] = fit_any(images[row], preprocessing)
        if row % 1000 == 0:
            progress(row / len(images), "Resizing the images")
    return lambda rows: resized[rows]


def fit_any(pixels: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """`fit` for gray pixels (H, W, 1) too."""
    if pixels.shape[2] == 1 and pixels.shape != (*preprocessing.input_size, preprocessing.channels):
        pixels = np.repeat(pixels, 3, axis=2)
    return fit(pixels, preprocessing)
