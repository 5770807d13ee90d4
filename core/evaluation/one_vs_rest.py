"""One class against all others, at any threshold."""

from dataclasses import dataclass

import numpy as np

from core.evaluation.finite import check_finite


@dataclass(frozen=True)
class Curves:
    """What every threshold does, the strictest first; each array is (T,).

    Attributes:
        thresholds: An image counts as the class where its probability is at least this; the first, infinity,
            takes none.
        recall: True-positive rate; 0 where the class has no images.
        false_positive_rate: 0 where there are no other images.
        precision: 1 where nothing is taken for the class.
        roc_auc: Area under recall over false-positive rate; nan where one side has no images.
        average_precision: Precision averaged over the steps of recall; nan where the class has no images.
    """

    thresholds: np.ndarray
    recall: np.ndarray
    false_positive_rate: np.ndarray
    precision: np.ndarray
    roc_auc: float
    average_precision: float


def one_vs_rest(scores: np.ndarray, positive: np.ndarray, threshold: float) -> np.ndarray:
    """The 2×2 matrix of a class: [[true negatives, false positives], [false negatives, true positives]].

    Shape:
        scores: (N,) probabilities of the class
        positive: (N,) bool, whether the image is of the class
        returns: (2, 2) int64, rows true (the rest, the class), columns predicted (the rest, the class)
    """
    check_finite(scores, "probabilities")
    taken = scores >= threshold
    cells = [[~positive & ~taken, ~positive & taken], [positive & ~taken, positive & taken]]
    return np.array([[int(cell.sum()) for cell in row] for row in cells], np.int64)


def curves(scores: np.ndarray, positive: np.ndarray) -> Curves:
    """ROC and precision–recall curve of a class, one point for every probability that occurs.

    Shape:
        scores: (N,) probabilities of the class
        positive: (N,) bool
    Raises:
        NotFinite: A probability is NaN or infinite.
    """
    check_finite(scores, "probabilities")
    order = np.argsort(-scores, kind="stable")
    sorted_scores = scores[order]
    hits = np.cumsum(positive[order])
    ends = (
        np.append(np.flatnonzero(np.diff(sorted_scores)), len(scores) - 1)
        if len(scores)
        else np.array([], int)
    )
    true_positives = np.append(0, hits[ends])
    taken = np.append(0, ends + 1)
    positives = int(positive.sum())
    negatives = len(positive) - positives
    recall = true_positives / max(1, positives)
    false_positive_rate = (taken - true_positives) / max(1, negatives)
    precision = np.where(taken > 0, true_positives / np.maximum(taken, 1), 1.0)
    return Curves(
        thresholds=np.append(np.inf, sorted_scores[ends]),
        recall=recall,
        false_positive_rate=false_positive_rate,
        precision=precision,
        roc_auc=float(np.trapezoid(recall, false_positive_rate)) if positives and negatives else float("nan"),
        average_precision=float((np.diff(recall) * precision[1:]).sum()) if positives else float("nan"),
    )


def best_f1_threshold(found: Curves, positives: int) -> float:
    """The threshold with the largest F1; of several the strictest."""
    true_positives = found.recall * positives
    taken = np.where(found.precision > 0, true_positives / np.maximum(found.precision, 1e-300), np.inf)
    f1 = 2 * true_positives / (taken + positives) if positives else np.zeros_like(found.recall)
    best = int(np.argmax(f1))
    return float(min(1.0, found.thresholds[best]))
