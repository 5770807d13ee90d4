"""How well a classifier does on a split: accuracy with its interval, and loss."""

from dataclasses import asdict, dataclass

import numpy as np

from core.data.dataset import Split
from core.data.fitting import fitted
from core.evaluation.intervals import wilson_interval
from core.evaluation.probabilities import probabilities
from core.models.classifier import Classifier
from core.progress import Progress, no_progress
from core.settings import JsonObject


@dataclass(frozen=True)
class Accuracy:
    """How well a classifier does.

    Attributes:
        interval: The 95% interval of the accuracy.
        correct, images: How many were right, of how many.
        loss: The mean cross-entropy.
    """

    accuracy: float
    interval: tuple[float, float]
    correct: int
    images: int
    loss: float

    def to_json(self) -> JsonObject:
        return {**asdict(self), "interval": list(self.interval)}


def measure(
    classifier: Classifier, split: Split, *, flips: bool = False, progress: Progress = no_progress
) -> Accuracy:
    """Accuracy, its 95% interval, and the mean cross-entropy.

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
    return Accuracy(
        accuracy=correct / len(split),
        interval=wilson_interval(correct, len(split)),
        correct=correct,
        images=len(split),
        loss=float(-np.log(np.maximum(of_the_label, 1e-300)).mean()),
    )
