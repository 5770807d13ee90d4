"""How well a classifier does on a split: accuracy with its interval, and loss."""

from typing import Any

import numpy as np

from core.data.dataset import Split
from core.data.fitting import fitted
from core.evaluation.intervals import wilson_interval
from core.evaluation.probabilities import probabilities
from core.models.classifier import Classifier
from core.progress import Progress, no_progress


def measure(
    classifier: Classifier, split: Split, *, flips: bool = False, progress: Progress = no_progress
) -> dict[str, Any]:
    """Accuracy, its 95 % interval, and the mean cross-entropy.

    Args:
        flips: Answer with the mean of the logits of each image and of its mirror image.
    """
    pixels = fitted(split.images, classifier.card.preprocessing)

    def rows(start: int, stop: int) -> np.ndarray:
        return pixels(np.arange(start, stop))

    def mirrored(start: int, stop: int) -> np.ndarray:
        return np.ascontiguousarray(rows(start, stop)[:, :, ::-1])

    logits = classifier.predict_logits(rows, n=len(split), progress=progress)
    if flips:
        logits = (logits + classifier.predict_logits(mirrored, n=len(split), progress=progress)) / 2
    correct = int((logits.argmax(1) == split.labels).sum())
    of_the_label = probabilities(logits.astype(np.float64))[np.arange(len(split)), split.labels]
    return {
        "accuracy": correct / len(split),
        "interval": list(wilson_interval(correct, len(split))),
        "correct": correct,
        "images": len(split),
        "loss": float(-np.log(np.maximum(of_the_label, 1e-300)).mean()),
    }
