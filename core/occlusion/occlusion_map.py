"""The result of occlusion: the logits for every place, and the maps and figures that follow from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import TargetOutOfRange, UnknownName

if TYPE_CHECKING:
    from core.models.classifier import Classifier
else:
    Classifier = Any  # the command line reads the settings declared below without waiting for torch


VALUES = ("probability", "logit", "drop")


@dataclass(frozen=True, eq=False)
class OcclusionMap:
    """The logits for every place of the window, and what follows from them.

    Attributes:
        window: Side of the square window, in pixels.
        stride: Pixels between two places; the last place of each axis may be nearer.
        fill: What stands in the window.
        tops: (n,) first row of the window at each place.
        lefts: (m,) first column of the window at each place.
        logits: (n, m, K) float32.
        base_logits: (K,) float32, of the whole image.
        input_size: (H, W) of the image.
        engine: How the logits were found: "incremental" or "full forwards".
    """

    window: int
    stride: int
    fill: str
    tops: np.ndarray
    lefts: np.ndarray
    logits: np.ndarray
    base_logits: np.ndarray
    input_size: tuple[int, int]
    engine: str = ""

    def __post_init__(self) -> None:
        expected = (len(self.tops), len(self.lefts), len(self.base_logits))
        if self.logits.shape != expected:
            raise ValueError(f"logits have the shape {self.logits.shape}, not {expected}")

    @property
    def predicted(self) -> int:
        """The class that wins on the whole image."""
        return int(self.base_logits.argmax())

    @cached_property
    def log_probabilities(self) -> np.ndarray:
        """(n, m, K) float32."""
        return _log_softmax(self.logits)

    @cached_property
    def winners(self) -> np.ndarray:
        """(n, m) int64: the class that wins with the window at each place."""
        return self.logits.argmax(axis=-1)

    @property
    def share_of_flips(self) -> float:
        """The share of places at which another class wins than on the whole image, 0…1."""
        return float((self.winners != self.predicted).mean())

    @property
    def share_covered(self) -> float:
        """The share of pixels that some window hides, 0…1: below 1 where the stride is above the window."""
        height, width = self.input_size
        rows = _covering(height, self.tops, self.window).any(axis=1)
        columns = _covering(width, self.lefts, self.window).any(axis=1)
        return float(rows.mean() * columns.mean())

    def base(self, target: int, value: str = "probability") -> float:
        """The value on the whole image; 0 for "drop"."""
        self._check(target, value)
        if value == "drop":
            return 0.0
        if value == "logit":
            return float(self.base_logits[target])
        return float(np.exp(_log_softmax(self.base_logits)[target]))

    def values(self, target: int, value: str = "probability") -> np.ndarray:
        """The value at each place of the window.

        Args:
            value: "probability", "logit", or "drop": the probability on the whole image less the one here.
        Shape:
            returns: (n, m) float32
        Raises:
            TargetOutOfRange: There is no such class.
            UnknownName: There is no such value.
        """
        self._check(target, value)
        if value == "logit":
            return self.logits[..., target]
        here = np.exp(self.log_probabilities[..., target])
        return here if value == "probability" else self.base(target) - here

    def map(self, target: int, value: str = "probability") -> np.ndarray:
        """The value of every pixel: the mean over the windows that hide it.

        With R (H, n) the 0/1 matrix of which window rows hide which pixel rows, C (W, m) the same for columns
        and V (n, m) the values, the map is R V Cᵀ divided by R 1 Cᵀ: pixels in the middle lie in more windows
        than pixels at the edge, and none counts more for it. A pixel that no window hides (stride above
        window) takes the value of the nearest.

        Shape:
            returns: (H, W) float32
        """
        height, width = self.input_size
        rows = _shares(height, self.tops, self.window)
        columns = _shares(width, self.lefts, self.window)
        return (rows @ self.values(target, value).astype(np.float64) @ columns.T).astype(np.float32)

    def flip_map(self) -> np.ndarray:
        """(H, W) int64: the class that wins with the window whose middle is nearest to the pixel."""
        height, width = self.input_size
        rows = _nearest(height, self.tops, self.window)
        columns = _nearest(width, self.lefts, self.window)
        return self.winners[rows[:, None], columns[None, :]]

    def win_counts(self) -> list[tuple[int, int]]:
        """(class, number of places at which it wins), the most frequent first."""
        classes, counts = np.unique(self.winners, return_counts=True)
        return [(int(classes[i]), int(counts[i])) for i in np.argsort(-counts, kind="stable")]

    def weakest(self, target: int) -> tuple[int, int, float]:
        """Where the target loses most: (top, left) of the window, and the probability that is left."""
        values = self.values(target)
        row, column = np.unravel_index(int(values.argmin()), values.shape)
        return int(self.tops[row]), int(self.lefts[column]), float(values[row, column])

    def _check(self, target: int, value: str) -> None:
        if not 0 <= target < len(self.base_logits):
            raise TargetOutOfRange(target, len(self.base_logits))
        if value not in VALUES:
            raise UnknownName("value", value, VALUES)


def relevant_classes(occluded: OcclusionMap, targets: Sequence[int], most: int = 64) -> np.ndarray:
    """The classes worth sending to a browser: the targets, and those among the first five at any place.

    Where these are more than `most`, the ones most often among the first five.

    Shape:
        returns: (k,) int64, ascending
    """
    classes = occluded.logits.shape[-1]
    five = min(5, classes)
    counts = np.zeros(classes, np.int64)
    for rows in (occluded.base_logits[None], *occluded.logits):  # (·, K) each: a fine map is large
        first = np.argpartition(rows, -five, axis=1)[:, -five:]
        counts += np.bincount(first.ravel(), minlength=classes)
    counts[list(targets)] = counts.max() + 1
    order = np.argsort(-counts, kind="stable")[:most]
    return np.sort(order[counts[order] > 0])


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def _covering(size: int, starts: np.ndarray, window: int) -> np.ndarray:
    """(size, n) bool: which pixel of an axis lies in which window."""
    pixels = np.arange(size)[:, None]
    return (pixels >= starts) & (pixels < starts + window)


def _nearest(size: int, starts: np.ndarray, window: int) -> np.ndarray:
    """(size,) the window whose middle is nearest to each pixel of an axis."""
    middles = starts + (window - 1) / 2
    return np.abs(np.arange(size)[:, None] - middles).argmin(axis=1)


def _shares(size: int, starts: np.ndarray, window: int) -> np.ndarray:
    """(size, n) float64: how much of each window is in the mean of each pixel of an axis; rows sum to 1."""
    covering = _covering(size, starts, window).astype(np.float64)
    bare = covering.sum(axis=1) == 0
    covering[bare, _nearest(size, starts, window)[bare]] = 1
    return covering / covering.sum(axis=1, keepdims=True)
