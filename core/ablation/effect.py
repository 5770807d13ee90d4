"""What a network lost and gained when channels were switched off, image by image."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from core.evaluation.confusion import confusion_matrix
from core.evaluation.intervals import wilson_interval


@dataclass(frozen=True, eq=False)
class Effect:
    """What changed when channels were switched off, on N images of K classes.

    Attributes:
        labels: (N,) the true class of each, in the classifier's classes.
        before, after: (N,) the predicted class of each.
        number_of_classes: K.
        engine: How the predictions were made, in words for people.
    """

    labels: np.ndarray
    before: np.ndarray
    after: np.ndarray
    number_of_classes: int
    engine: str = ""

    @property
    def accuracy(self) -> tuple[float, float]:
        """Before and after."""
        return float((self.before == self.labels).mean()), float((self.after == self.labels).mean())

    @property
    def intervals(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """The 95% intervals of both accuracies."""
        n = len(self.labels)
        before, after = (int((p == self.labels).sum()) for p in (self.before, self.after))
        return wilson_interval(before, n), wilson_interval(after, n)

    @property
    def lost(self) -> np.ndarray:
        """Images that were right and are wrong now: positions."""
        return np.flatnonzero((self.before == self.labels) & (self.after != self.labels))

    @property
    def gained(self) -> np.ndarray:
        """Images that were wrong and are right now: positions."""
        return np.flatnonzero((self.before != self.labels) & (self.after == self.labels))

    @property
    def other(self) -> np.ndarray:
        """Images that were wrong and now have another wrong class: positions."""
        wrong = (self.before != self.labels) & (self.after != self.labels)
        return np.flatnonzero(wrong & (self.before != self.after))

    @cached_property
    def difference(self) -> np.ndarray:
        """The confusion matrix after minus the one before: (K, K) int64, every row adding up to 0."""
        k = self.number_of_classes
        return confusion_matrix(self.labels, self.after, k) - confusion_matrix(self.labels, self.before, k)

    @cached_property
    def by_class(self) -> np.ndarray:
        """Of every true class: images, right before, right after. (K, 3) int64."""
        right = [self.before == self.labels, self.after == self.labels]
        counts = [np.bincount(self.labels[r], minlength=self.number_of_classes) for r in right]
        return np.stack([np.bincount(self.labels, minlength=self.number_of_classes), *counts], axis=1)

    def flips(self) -> list[tuple[int, int, np.ndarray]]:
        """(from, to, positions) of every change of the prediction, the most frequent first."""
        changed = np.flatnonzero(self.before != self.after)
        pairs = self.before[changed] * self.number_of_classes + self.after[changed]
        found = [
            (int(pair // self.number_of_classes), int(pair % self.number_of_classes), changed[pairs == pair])
            for pair in np.unique(pairs)
        ]
        return sorted(found, key=lambda flip: (-len(flip[2]), flip[0], flip[1]))


def rank_among(accuracy: float, others: np.ndarray) -> float:
    """How often a random set costs as much or more: the one-sided p value of a permutation test.

    Source:
        Phipson, Smyth 2010, "Permutation p-values should never be zero"
    """
    return float((1 + (others <= accuracy + 1e-12).sum()) / (1 + len(others)))
