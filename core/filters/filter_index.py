"""What a filter index answers: of every channel of every convolution, the images it answers to most."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.errors import UnknownName
from core.filters.channel_layers import ChannelLayer

NO_PLACE = -1  # where the whole map counts, and no place of it


@dataclass(frozen=True, eq=False)
class RankedImages:
    """The images that stand first in one of a channel's lists, the first of them first.

    Attributes:
        values: (k,) float32, what they are ranked by.
        rows: (k,) int32, which image of the split; −1 where there were fewer than k.
        places: (k,) int32, where on the map, y · width + x; −1 where the whole map counts.
    """

    values: np.ndarray
    rows: np.ndarray
    places: np.ndarray

    def __len__(self) -> int:
        return int((self.rows >= 0).sum())


@dataclass(frozen=True, eq=False)
class LayerIndex:
    """What was found of the C channels of one convolution, over N images of K classes.

    An image's activation is the largest value on its map. Rows count the images that were given; of equal
    values the lower row comes first. Where there were fewer than k images, the row is −1.

    Attributes:
        layer: The convolution, and where its channels are looked at.
        top_values, top_rows, top_places: (C, k) the strongest images: activation, row, and where on the map,
            y · width + x.
        norm_values, norm_rows: (C, k) the images whose maps have the largest Euclidean norm.
        weak_values, weak_rows: (C, k) the images with the smallest activation.
        class_values, class_rows, class_places: (C, K, k) the strongest of each class; (C, 0, k) where
            K > 100.
        class_means: (C, K) mean over all places of the images of a class; NaN for a class without images.
        histograms: (C, K, 33) images of each class by activation: first those at 0 or below, then 32
            equal steps up to `histogram_tops`; where K > 100, all classes are in one: (C, 1, 33).
        histogram_tops: (C,) a power of two.
        mean, std: (C,) of all values on all maps.
        zeros: (C,) share of values that are exactly 0.
        nearest_kernel: (C,) int64, the filter whose kernel is most alike; −1 where there is only one.
        nearest_cosine: (C,) float32, the cosine of the angle between the two kernels.
    """

    layer: ChannelLayer
    top_values: np.ndarray
    top_rows: np.ndarray
    top_places: np.ndarray
    norm_values: np.ndarray
    norm_rows: np.ndarray
    weak_values: np.ndarray
    weak_rows: np.ndarray
    class_values: np.ndarray
    class_rows: np.ndarray
    class_places: np.ndarray
    class_means: np.ndarray
    histograms: np.ndarray
    histogram_tops: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    zeros: np.ndarray
    nearest_kernel: np.ndarray
    nearest_cosine: np.ndarray

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def has_classes(self) -> bool:
        """Whether there is a list for each class."""
        return self.class_rows.shape[1] > 0

    def strongest(self, channel: int, label: int | None = None) -> RankedImages:
        """The images with the largest activation; of one class where a label is given."""
        if label is None:
            return RankedImages(self.top_values[channel], self.top_rows[channel], self.top_places[channel])
        at = channel, label
        return RankedImages(self.class_values[at], self.class_rows[at], self.class_places[at])

    def by_norm(self, channel: int) -> RankedImages:
        """The images whose whole map is the largest."""
        return _without_places(self.norm_values[channel], self.norm_rows[channel])

    def weakest(self, channel: int) -> RankedImages:
        """The images with the smallest activation."""
        return _without_places(self.weak_values[channel], self.weak_rows[channel])

    def dead(self) -> np.ndarray:
        """Channels that answered the same to everything: (C,) bool."""
        return self.std <= 1e-7 * np.maximum(1.0, np.abs(self.mean))

    def selectivity(self) -> np.ndarray:
        """How much more a channel answers to its favorite class than to the others: (C,) from 0 to 1.

        Source:
            Morcos, Barrett, Rabinowitz, Botvinick 2018, "On the importance of single directions for
            generalization", arXiv:1803.06959
        """
        means = self.class_means[:, ~np.isnan(self.class_means).all(axis=0)]
        if means.shape[1] < 2:
            return np.zeros(len(means))
        # Below 0 (GELU, no activation) it is the distance from the weakest class that counts.
        means = means - np.minimum(0, means.min(axis=1, keepdims=True))
        best = means.max(axis=1)
        rest = (means.sum(axis=1) - best) / (means.shape[1] - 1)
        total = best + rest
        return np.where(total > 0, (best - rest) / np.where(total > 0, total, 1), 0.0)

    def preferred(self, n: int = 3) -> np.ndarray:
        """The classes with the highest means, the highest first: (C, n) int64."""
        means = np.where(np.isnan(self.class_means), -np.inf, self.class_means)
        return np.argsort(-means, axis=1, kind="stable")[:, :n]


def _without_places(values: np.ndarray, rows: np.ndarray) -> RankedImages:
    return RankedImages(values, rows, np.full(len(rows), NO_PLACE, np.int32))


@dataclass(frozen=True, eq=False)
class FilterIndex:
    """What every channel of every convolution answers to most, over a data set.

    Attributes:
        layers: The convolutions in the order of execution.
        images: N, how many images were looked through.
        k: How many images each list has.
        number_of_classes: K, of the data set.
        engine: How the figures were taken, in words for people; where that was the general way, why.
        kernels: (C, height, width, 1 or 3) uint8, the filters of the first convolution as pictures; None
            where it does not look at colors, or at one pixel only.
    """

    layers: tuple[LayerIndex, ...]
    images: int
    k: int
    number_of_classes: int
    engine: str
    kernels: np.ndarray | None = None

    @property
    def names(self) -> list[str]:
        """Of the convolutions."""
        return [one.name for one in self.layers]

    def of(self, name: str) -> LayerIndex:
        """What was found of the convolution of that name.

        Raises:
            UnknownName: There is none.
        """
        for one in self.layers:
            if one.name == name:
                return one
        raise UnknownName("convolution", name, self.names)

    def at(self, site: str) -> LayerIndex | None:
        """What was found of the convolution whose channels are looked at there; None if there is none."""
        return next((one for one in self.layers if one.layer.site == site), None)


def sizes_of(layers: Sequence[ChannelLayer]) -> dict[str, int]:
    """How many channels each convolution has, by its name."""
    return {layer.name: layer.channels for layer in layers}
