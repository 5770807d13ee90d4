"""Occlusion the plain way: one forward pass for every place of the window, in batches."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from core.progress import Progress, no_progress

if TYPE_CHECKING:
    from core.models.classifier import Classifier
else:
    Classifier = Any  # the command line reads the settings declared below without waiting for torch


BATCH_PIXELS = 16 * 224 * 224  # of the pictures that a thread takes at once
LARGEST_BATCH = 32
FEWEST_PLACES_TO_MEASURE_FOR = 500  # to measure how each layer is convolved fastest takes some 200 passes

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

    return classifier.predict_logits(
        lambda start, stop: hidden(image, filled, corners[start:stop], window),
        n=len(corners),
        progress=progress,
    )


def hidden(image: np.ndarray, filled: np.ndarray, corners: np.ndarray, window: int) -> np.ndarray:
    """(P, H, W, C) uint8: the image with the window at each of the (P, 2) corners."""
    pictures = np.repeat(image[None], len(corners), axis=0)
    for picture, (top, left) in zip(pictures, corners, strict=True):
        inside = np.s_[top : top + window, left : left + window]
        picture[inside] = filled[inside]
    return pictures


def fused_forwards(fused: Classifier) -> Engine:
    """Whole passes of a fused network (`core.network.fused_classifier`), a batch for each thread."""

    def full_forwards(
        classifier: Classifier, image: np.ndarray, filled: np.ndarray, corners: np.ndarray, window: int,
        progress: Progress = no_progress,
    ) -> np.ndarray:  # fmt: skip
        import torch

        from core.compute.convolution import nothing_measured
        from core.compute.threads import side_by_side

        out = np.empty((len(corners), classifier.number_of_classes), np.float32)
        most = max(1, BATCH_PIXELS // (image.shape[0] * image.shape[1]))
        threads = torch.get_num_threads()
        rounds = -(-len(corners) // (threads * min(most, LARGEST_BATCH)))
        parts = np.array_split(np.arange(len(corners)), min(len(corners), rounds * threads))

        @torch.inference_mode()
        def answer(part: np.ndarray) -> np.ndarray:
            inputs = fused.inputs(hidden(image, filled, corners[part], window))
            found: np.ndarray = fused.logits(inputs).numpy()
            return found

        done = 0

        def look() -> None:
            progress(done / len(corners), "")

        with nullcontext() if len(corners) >= FEWEST_PLACES_TO_MEASURE_FOR else nothing_measured():
            for found in side_by_side(answer, parts, look):
                out[done : done + len(found)] = found
                done += len(found)
        look()
        return out

    return full_forwards
