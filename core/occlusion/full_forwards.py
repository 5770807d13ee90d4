"""Occlusion the plain way: one forward pass for every place of the window, in batches."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from core.progress import Progress, no_progress

if TYPE_CHECKING:
    from core.models.classifier import Classifier
else:
    Classifier = Any  # the command line reads the settings declared below without waiting for torch


# (classifier, image, filled, corners, window, progress) -> (P, K) float32: the logits with the window at each
# of the (P, 2) top left corners. Another engine that gives the same numbers may stand in for `full_forwards`.
Engine = Callable[[Classifier, np.ndarray, np.ndarray, np.ndarray, int, Progress], np.ndarray]


def full_forwards(
    classifier: Classifier,
    image: np.ndarray,
    filled: np.ndarray,
    corners: np.ndarray,
    window: int,
    progress: Progress = no_progress,
) -> np.ndarray:
    """Logits with the window at each corner, by one forward pass each, in batches.

    Shape:
        image: (H, W, C) uint8
        filled: (H, W, C) uint8, what stands in the window
        corners: (P, 2) rows and columns of the window's top left pixel
        returns: (P, K) float32
    """

    def hidden(start: int, stop: int) -> np.ndarray:
        batch = np.repeat(image[None], stop - start, axis=0)
        for picture, (top, left) in zip(batch, corners[start:stop], strict=True):
            inside = np.s_[top : top + window, left : left + window]
            picture[inside] = filled[inside]
        return batch

    return classifier.predict_logits(hidden, n=len(corners), progress=progress)
