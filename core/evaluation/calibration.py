"""Is a network that says 90 % right in 90 % of the cases?"""

from dataclasses import dataclass

import numpy as np

from core.errors import SettingError
from core.evaluation.finite import check_finite
from core.evaluation.intervals import wilson_interval


@dataclass(frozen=True)
class Calibration:
    """The reliability diagram, bin by bin, and what it comes to.

    Attributes:
        edges: (B + 1,) of the bins of confidence, from 0 to 1.
        counts: (B,) images in each bin.
        confidence: (B,) mean confidence in each bin; 0 where it is empty.
        accuracy: (B,) share of right predictions; 0 where it is empty.
        interval: The 95% interval of that share, two of (B,).
        error: Expected calibration error: the mean of |confidence − accuracy| over all images, 0…1.
        bias: Mean confidence minus accuracy of all images: above 0 it is too sure of itself.
    """

    edges: np.ndarray
    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    interval: tuple[np.ndarray, np.ndarray]
    error: float
    bias: float


def calibration(confidence: np.ndarray, correct: np.ndarray, *, bins: int = 15) -> Calibration:
    """Compare how sure a classifier was with how often it was right.

    Args:
        bins: Of equal width.
    Shape:
        confidence: (N,) probabilities of the predicted classes
        correct: (N,) bool
    Raises:
        SettingError: Fewer than one bin.
        NotFinite: A probability is NaN or infinite.
    Source:
        Guo, Pleiss, Sun, Weinberger 2017, "On calibration of modern neural networks", arXiv:1706.04599
    """
    if bins < 1:
        raise SettingError(f"bins is {bins}: choose 1 or more, such as 15.")
    check_finite(confidence, "probabilities")
    edges = np.linspace(0, 1, bins + 1)
    which = np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, bins - 1)
    counts = np.bincount(which, minlength=bins)
    right = np.bincount(which, weights=correct, minlength=bins)
    sure = np.bincount(which, weights=confidence, minlength=bins)
    total = max(1, len(confidence))
    return Calibration(
        edges=edges,
        counts=counts,
        confidence=sure / np.maximum(counts, 1),
        accuracy=right / np.maximum(counts, 1),
        interval=wilson_interval(right, counts),
        error=float(np.abs(sure - right).sum() / total),
        bias=float((sure.sum() - right.sum()) / total),
    )
