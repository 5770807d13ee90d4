"""The confusion matrix and all that follows from it. Rows are true classes, columns predicted ones."""

from dataclasses import dataclass

import numpy as np

from core.errors import SettingError
from core.evaluation.finite import check_finite
from core.evaluation.intervals import wilson_interval

NORMALIZATIONS = ("true", "pred", "all")


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, number_of_classes: int) -> np.ndarray:
    """How many images of each class were taken for which.

    Shape:
        labels, predicted: (N,) int64, 0 to K − 1
        returns: (K, K) int64; row i, column j: images of class i that were predicted as j
    """
    k = number_of_classes
    return np.bincount(labels * k + predicted, minlength=k * k).reshape(k, k)


def normalized(matrix: np.ndarray, normalize: str | None) -> np.ndarray:
    """Counts as shares of the true class, of the predicted class or of all images; 0 where there are none.

    Args:
        normalize: "true", "pred", "all", or None to leave the counts as they are.
    Raises:
        SettingError: Another word.
    """
    if normalize is None:
        return matrix.astype(np.float64)
    if normalize not in NORMALIZATIONS:
        raise SettingError(f"normalize is {normalize!r}: choose one of {', '.join(NORMALIZATIONS)} or None.")
    totals = {
        "true": matrix.sum(axis=1, keepdims=True),
        "pred": matrix.sum(axis=0, keepdims=True),
        "all": matrix.sum(keepdims=True),
    }[normalize]
    return matrix / np.maximum(totals, 1)


def order_by_similarity(matrix: np.ndarray) -> np.ndarray:
    """An order of the classes in which those that are mixed up stand side by side.

    Classes are clustered by how often one is taken for the other (average linkage), and the leaves ordered
    so that neighbors are as alike as can be.

    Shape:
        matrix: (K, K) counts
        returns: (K,) int64, a permutation
    Source:
        Bar-Joseph, Gifford, Jaakkola 2001, "Fast optimal leaf ordering for hierarchical clustering"
    """
    k = len(matrix)
    if k < 3:
        return np.arange(k)
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    rates = normalized(matrix, "true")
    alike = (rates + rates.T) / 2
    np.fill_diagonal(alike, 0)
    if not alike.any():
        return np.arange(k)
    # The root spreads small rates, of which there are many, over the scale of distances.
    distance = 1 - np.sqrt(alike / alike.max())
    np.fill_diagonal(distance, 0)
    # The best order of the leaves takes seconds beyond some hundred classes.
    tree = linkage(squareform(distance, checks=False), "average", optimal_ordering=k <= 400)
    order = leaves_list(tree)
    # An order is as good backwards: take the direction that is nearer to the given one.
    forwards = np.corrcoef(order, np.arange(k))[0, 1] >= 0
    return order if forwards else order[::-1].copy()


def order_by_error(matrix: np.ndarray) -> np.ndarray:
    """The classes with the worst recall first; those without images last.

    Shape:
        matrix: (K, K) counts
        returns: (K,) int64, a permutation
    """
    support = matrix.sum(axis=1)
    recall = np.where(support > 0, np.diagonal(matrix) / np.maximum(support, 1), 2.0)
    return np.argsort(recall, kind="stable")


@dataclass(frozen=True)
class ClassScores:
    """Figures by class, each (K,), with (lower, upper) ends of their 95% intervals.

    A share of nothing is 0, as in scikit-learn, with the interval from 0 to 1. Recall is what is often called
    a class's accuracy.

    Attributes:
        support: Images of the class.
        predicted: Images taken for the class.
        f1_interval: The Wilson interval of TP / (TP + FP + FN), of which F1 is a function that only grows
            (Lam 2023, arXiv:2309.14621, "Wilson indirect").
    """

    support: np.ndarray
    predicted: np.ndarray
    recall: np.ndarray
    recall_interval: tuple[np.ndarray, np.ndarray]
    precision: np.ndarray
    precision_interval: tuple[np.ndarray, np.ndarray]
    f1: np.ndarray
    f1_interval: tuple[np.ndarray, np.ndarray]

    def macro(self) -> dict[str, float]:
        """Means of precision, recall and F1 over the classes that occur, each counting the same."""
        occurs = (self.support + self.predicted) > 0
        return {name: float(getattr(self, name)[occurs].mean()) if occurs.any() else 0.0 for name in _FIGURES}

    def weighted(self) -> dict[str, float]:
        """Means of precision, recall and F1, each class counting by its images."""
        weights = self.support / max(1, self.support.sum())
        return {name: float((getattr(self, name) * weights).sum()) for name in _FIGURES}


_FIGURES = ("precision", "recall", "f1")


def class_scores(matrix: np.ndarray) -> ClassScores:
    """Recall, precision and F1 of every class.

    Shape:
        matrix: (K, K) counts
    """
    hits = np.diagonal(matrix)
    support, predicted = matrix.sum(axis=1), matrix.sum(axis=0)
    union = support + predicted - hits
    low, high = wilson_interval(hits, union)
    return ClassScores(
        support=support,
        predicted=predicted,
        recall=hits / np.maximum(support, 1),
        recall_interval=wilson_interval(hits, support),
        precision=hits / np.maximum(predicted, 1),
        precision_interval=wilson_interval(hits, predicted),
        f1=2 * hits / np.maximum(support + predicted, 1),
        f1_interval=(2 * low / (1 + low), 2 * high / (1 + high)),
    )


def accuracy(matrix: np.ndarray) -> tuple[float, tuple[float, float]]:
    """The share on the diagonal and its 95% interval; 0 and (0, 1) for a matrix without images."""
    right, total = int(np.trace(matrix)), int(matrix.sum())
    return right / max(1, total), wilson_interval(right, total)


def top_k_accuracy(logits: np.ndarray, labels: np.ndarray, k: int) -> float:
    """The share of images whose label is among the k largest logits; of equal logits the first class wins.

    Shape:
        logits: (N, K)
        labels: (N,) int64
    Raises:
        SettingError: k is not from 1 to the number of classes.
        NotFinite: A logit is NaN or infinite.
    """
    if not 1 <= k <= logits.shape[1]:
        raise SettingError(f"k is {k}: choose from 1 to the number of classes, {logits.shape[1]}.")
    check_finite(logits, "logits")
    own = logits[np.arange(len(labels)), labels][:, None]
    before = (logits > own).sum(axis=1)
    before += ((logits == own) & (np.arange(logits.shape[1]) < labels[:, None])).sum(axis=1)
    return float((before < k).mean()) if len(labels) else 0.0
