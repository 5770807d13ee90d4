"""How well a classifier does on a split: accuracy with its interval, and loss."""

import math
from typing import Any

import numpy as np

from core.classifier import Classifier, probabilities
from core.image_dataset import Split
from core.progress import Progress, no_progress
from core.training_data import fitted


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


def wilson_interval(successes: int, trials: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Where a share lies with 95 % confidence, after `successes` of `trials`.

    Source:
        Wilson 1927, "Probable inference, the law of succession, and statistical inference"
    """
    if trials == 0:
        return 0.0, 1.0
    share = successes / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2)
    return max(0.0, centre - half), min(1.0, centre + half)
