"""Occlusion: hide a part of the image, ask again, and do so for every place of a window.

The network is asked for its logits only (`occlusion_logits`). What people look at (probability, drop, the map
over the pixels, who wins instead, where the answer is weakest) is made from the stored logits without it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from core.errors import SettingError, TargetOutOfRange, UnknownName
from core.progress import Progress, no_progress
from core.settings import Choice, Range, check_settings, settings_of

if TYPE_CHECKING:
    from core.models.classifier import Classifier
else:
    Classifier = Any  # the command line reads the settings declared below without waiting for torch

FILLS = ("grey", "mean", "black", "white", "blur", "noise")
VALUES = ("probability", "logit", "drop")
FEW = 16  # places for which preparing the incremental engine is not worth it
SMALL = 64  # pixels of the shorter side up to which every place is tried by default

# (classifier, image, filled, corners, window, progress) -> (P, K) float32: the logits with the window at each
# of the (P, 2) top left corners. Another engine that gives the same numbers may stand in for `full_forwards`.
Engine = Callable[[Classifier, np.ndarray, np.ndarray, np.ndarray, int, Progress], np.ndarray]


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


def occlusion_logits(
    classifier: Classifier,
    image: np.ndarray,
    *,
    window: Annotated[int | None, Range(1, 4096), "pixels"] = None,
    stride: Annotated[int | None, Range(1, 4096), "pixels"] = None,
    fill: Annotated[str, Choice(*FILLS)] = "grey",
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0,
    known: OcclusionMap | None = None,
    engine: Engine | None = None,
    progress: Progress = no_progress,
) -> OcclusionMap:
    """Ask the classifier once for every place of a square window that hides a part of the image.

    The window is at 0, stride, 2 · stride, … and at the last place that lies whole inside, on both axes: so
    every window is whole. The fill is put in before normalisation, in the colours of the image.

    Args:
        window: Side of the window.
        stride: Pixels from one place of the window to the next.
        fill: What stands in the window: grey 128, the image's mean colour, black, white, the image blurred by
            a Gaussian of half a window, or noise.
        seed: Of the noise.
        known: A map of the same question with a larger stride, whose places are not asked again.
        engine: How the logits are found; where it is not given, the quicker one that serves: only what the
            window changes is computed (`core.incremental_occlusion`), or one forward pass a place.
        progress: Called after every batch.
    Shape:
        image: (H, W, C) uint8, as `core.data.preprocessing.fit` makes it
    Raises:
        SettingError: The window or stride is larger than the image, or a setting is not allowed.
        BadImage: The image is not of the classifier's size.
    Source:
        Zeiler, Fergus 2014, "Visualizing and Understanding Convolutional Networks", arXiv:1311.2901
    """
    height, width = image.shape[:2]
    window = default_window((height, width)) if window is None else window
    stride = default_stride((height, width)) if stride is None else stride
    given = {"window": window, "stride": stride, "fill": fill, "seed": seed}
    check_settings(settings_of(occlusion_logits), given)
    check_size("window", window, (height, width))
    check_size("stride", stride, (height, width))
    tops, lefts = places(height, window, stride), places(width, window, stride)
    filled = filled_image(image, fill, window, seed)
    logits = np.empty((len(tops), len(lefts), classifier.number_of_classes), np.float32)
    missing = np.ones(logits.shape[:2], bool)
    if known is None:
        base_logits = classifier.predict_logits(image[None])[0]
    else:
        _copy_known(known, window, fill, tops, lefts, logits, missing)
        base_logits = known.base_logits
    corners = np.stack([tops[np.nonzero(missing)[0]], lefts[np.nonzero(missing)[1]]], axis=1)
    engine = engine or _quickest(classifier, image, filled, corners, window)
    logits[missing] = engine(classifier, image, filled, corners, window, progress)
    name = engine.__name__.replace("_", " ")
    return OcclusionMap(window, stride, fill, tops, lefts, logits, base_logits, (height, width), name)


def _quickest(
    classifier: Classifier, image: np.ndarray, filled: np.ndarray, corners: np.ndarray, window: int
) -> Engine:
    from core.incremental_occlusion import incremental_engine, is_prepared

    if len(corners) <= FEW and not is_prepared(classifier, window):
        return full_forwards
    return incremental_engine(classifier, image, filled, corners, window) or full_forwards


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


def places(size: int, window: int, stride: int) -> np.ndarray:
    """First pixels of the window along one axis: 0, stride, 2 · stride, … and size − window."""
    regular = np.arange(0, size - window + 1, stride)
    last = size - window
    return regular if regular[-1] == last else np.append(regular, last)


def number_of_places(input_size: tuple[int, int], window: int, stride: int) -> int:
    """How many forward passes a map costs."""
    height, width = input_size
    return len(places(height, window, stride)) * len(places(width, window, stride))


def filled_image(image: np.ndarray, fill: str, window: int, seed: int = 0) -> np.ndarray:
    """The whole picture as it looks inside the window.

    Shape:
        image: (H, W, C) uint8
        returns: (H, W, C) uint8
    """
    match fill:
        case "grey":
            return np.full_like(image, 128)
        case "black":
            return np.zeros_like(image)
        case "white":
            return np.full_like(image, 255)
        case "mean":
            mean = image.reshape(-1, image.shape[-1]).mean(axis=0).round().astype(np.uint8)
            return np.broadcast_to(mean, image.shape).copy()
        case "blur":
            from scipy.ndimage import gaussian_filter

            sigma = max(1.0, window / 2)
            smooth = gaussian_filter(image.astype(np.float32), (sigma, sigma, 0), mode="nearest")
            return smooth.round().clip(0, 255).astype(np.uint8)
        case "noise":
            return np.random.default_rng(seed).integers(0, 256, image.shape, np.uint8)
    raise UnknownName("fill", fill, FILLS)


def default_window(input_size: tuple[int, int]) -> int:
    """7 pixels on small images, a seventh of the shorter side (made odd) on large ones."""
    side = min(input_size)
    return min(7, side) if side <= SMALL else round(side / 7) | 1


def default_stride(input_size: tuple[int, int]) -> int:
    """1 on small images; on large ones such that about 28 places lie along the shorter side."""
    side = min(input_size)
    return 1 if side <= SMALL else max(1, round(side / 28))


def window_choices(input_size: tuple[int, int]) -> list[int]:
    """Windows to offer: 3, 5, 7 and 9 pixels, and on large images odd ones of up to a third as well."""
    side = min(input_size)
    wide = [round(side * share) | 1 for share in (1 / 14, 1 / 7, 1 / 5, 1 / 3)] if side > SMALL else []
    return sorted({window for window in (3, 5, 7, 9, *wide) if window <= side})


def coarse_to_fine(
    input_size: tuple[int, int], window: int, stride: int, first: int | None = None
) -> list[int]:
    """Strides to ask one after the other: each half of the one before, the first with at most `first` places.

    Where it is not given, `first` is 16 on large images and 64 on small ones, whose networks are quick. The
    places of each are among the places of the next, so that none is asked twice (`known=`).
    """
    if first is None:
        first = FEW if min(input_size) > SMALL else 4 * FEW
    strides = [stride]
    while number_of_places(input_size, window, strides[0]) > first:
        strides.insert(0, strides[0] * 2)
    return strides


def check_size(name: str, value: int, input_size: tuple[int, int]) -> None:
    """Raise `SettingError` where a window or stride is larger than the image."""
    if not 1 <= value <= min(input_size):
        height, width = input_size
        raise SettingError(
            f"{name} is {value} pixels, but the network sees {width} × {height}: "
            f"choose 1 to {min(input_size)}."
        )


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


def _copy_known(
    known: OcclusionMap,
    window: int,
    fill: str,
    tops: np.ndarray,
    lefts: np.ndarray,
    logits: np.ndarray,
    missing: np.ndarray,
) -> None:
    if (known.window, known.fill) != (window, fill):
        raise ValueError("the known map is of another window or fill")
    rows, known_rows = np.nonzero(tops[:, None] == known.tops[None])
    columns, known_columns = np.nonzero(lefts[:, None] == known.lefts[None])
    logits[np.ix_(rows, columns)] = known.logits[np.ix_(known_rows, known_columns)]
    missing[np.ix_(rows, columns)] = False


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
