"""What every channel of every convolution answers to most, found in one pass over a data set.

Nothing grows with the data set: of each channel only its strongest and weakest images are kept, with sums and
counts. Images are read class by class, so that one running list is enough for the strongest of each class.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.channel_layers import ChannelLayer, channel_layers, find_layer
from core.classifier import Classifier
from core.errors import SettingError
from core.filter_twins import kernel_pictures, nearest_kernels
from core.hooks import captured
from core.image_dataset import Split, stratified_indices
from core.progress import Progress, no_progress
from core.training_data import fitted

BINS = 32
# Above this number of classes, the lists and histograms of each class would outgrow everything else.
MOST_CLASSES = 100
LABEL = "filter index 1"
_SMALLEST = 2.0**-20


@dataclass(frozen=True, eq=False)
class LayerIndex:
    """What was found of the C channels of one convolution, over N images of K classes.

    An image's activation is the largest value on its map. Rows count the images that were given; of equal
    values the lower row comes first. Where there were fewer than k images, the row is −1.

    Attributes:
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
    """

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

    def dead(self) -> np.ndarray:
        """Channels that answered the same to everything: (C,) bool."""
        return self.std <= 1e-7 * np.maximum(1.0, np.abs(self.mean))

    def selectivity(self) -> np.ndarray:
        """How much more a channel answers to its favourite class than to the others: (C,) from 0 to 1.

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


def build_index(
    classifier: Classifier,
    pixels: Callable[[np.ndarray], np.ndarray],
    labels: np.ndarray,
    number_of_classes: int,
    *,
    k: int = 16,
    layers: Sequence[str] | None = None,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Index every channel of every convolution.

    Args:
        pixels: A function from row numbers to (n, H, W, C) uint8 in the classifier's size.
        labels: The class of each row, in the classes of the data set.
        k: How many images are kept of each kind.
        layers: Names of convolutions; all of them if not given.
        progress: Called after every batch.
    Shape:
        labels: (N,) int64
        returns: what the store keeps; `open_index` reads it
    Raises:
        SettingError: k is below 1, or there are no images.
        UnknownName: There is no such convolution.
        NoConvolution: The network has none.
    """
    if k < 1:
        raise SettingError(f"k is {k}: choose a whole number from 1 on.")
    if not len(labels):
        raise SettingError("There are no images to index: choose a split with images.")
    preprocessing = classifier.card.preprocessing
    found = channel_layers(classifier.module, preprocessing.input_size, preprocessing.channels)
    if layers is not None:
        found = [find_layer(found, name) for name in layers]
    running = [_Running(layer, number_of_classes, k, classifier.device) for layer in found]
    sites = list(dict.fromkeys(layer.site for layer in found))
    order = np.argsort(labels, kind="stable")
    total = len(order)

    @torch.inference_mode()
    def work(start: int, stop: int) -> None:
        rows = order[start:stop]
        inputs = classifier.inputs(pixels(rows))
        with captured(classifier.module, sites) as maps:
            classifier.module(inputs)
        # All that needs memory comes before anything is added up: a batch that fails is done again.
        reduced = [_reduce(maps[layer.site]) for layer in found]
        for number in np.unique(labels[rows]):
            part = np.flatnonzero(labels[rows] == number)
            inside = slice(int(part[0]), int(part[-1]) + 1)
            for one, figures in zip(running, reduced, strict=True):
                one.add(int(number), rows[inside], maps[one.layer.site][inside], [f[inside] for f in figures])

    def said(share: float, note: str) -> None:
        progress(share, note or f"Indexing filters: {round(share * total):,} of {total:,} images")

    classifier.in_batches(total, work, said)
    answer: dict[str, Any] = {
        "layers": [described(layer) for layer in found],
        "images": total,
        "k": k,
        "number_of_classes": number_of_classes,
    }
    for i, one in enumerate(running):
        for name, values in one.finished().items():
            answer[f"{i}/{name}"] = values
        field = found[i].field
        if field is not None:
            for axis, which in ((field.rows, "rows"), (field.columns, "columns")):
                answer[f"{i}/field_{which}"] = _intervals(axis, field.map_size[which == "columns"])
    return answer


def index_split(
    classifier: Classifier,
    split: Split,
    number_of_classes: int,
    *,
    images: int | None = None,
    k: int = 16,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """The index of a split, with rows of the split, near copies, and the kernels of the first convolution.

    Args:
        images: How many images, every class with its share; None for all of them.
    Returns:
        What `build_index` returns, and for each layer the nearest kernel of every channel with its cosine.
    """
    rows = indexed_rows(split.labels, images)
    part = split if len(rows) == len(split) else split.take(rows)
    pixels = fitted(part.images, classifier.card.preprocessing, lambda share, text: progress(0.0, text))
    answer = build_index(classifier, pixels, part.labels, number_of_classes, k=k, progress=progress)
    parts = dict(classifier.module.named_modules())
    for i, layer in enumerate(answer["layers"]):
        for name in ("top_rows", "norm_rows", "weak_rows", "class_rows"):
            found = answer[f"{i}/{name}"]
            answer[f"{i}/{name}"] = np.where(found < 0, -1, rows[found]).astype(np.int32)
        weight = parts[layer["name"]].weight
        assert isinstance(weight, Tensor)
        answer[f"{i}/twins"], answer[f"{i}/twin_cosines"] = nearest_kernels(weight)
        if i == 0 and layer["in_channels"] in (1, 3) and min(layer["kernel_size"]) > 1:
            answer["kernels"] = kernel_pictures(weight)
    return answer


def open_index(answer: dict[str, Any]) -> dict[str, LayerIndex]:
    """The layers of a stored index by the convolution's name, in the order of execution."""
    names = [part.name for part in fields(LayerIndex)]
    return {
        layer["name"]: LayerIndex(**{name: answer[f"{i}/{name}"] for name in names})
        for i, layer in enumerate(answer["layers"])
    }


def indexed_rows(labels: np.ndarray, count: int | None) -> np.ndarray:
    """Which rows of a split an index of `count` images reads: every class with its share, the same always.

    Shape:
        returns: (n,) int64, ascending
    """
    if count is None or count >= len(labels):
        return np.arange(len(labels))
    if count < 1:
        raise SettingError(f"{count} images were asked for: choose from 1 to {len(labels)}.")
    return stratified_indices(labels, count, 0)[1]


def depends_on(split_fingerprint: str, count: int, k: int) -> tuple[Any, ...]:
    """What a stored index depends on besides the classifier, for the pages and the command line alike."""
    return (split_fingerprint, count, k)


def described(layer: ChannelLayer) -> dict[str, Any]:
    return {
        "name": layer.name,
        "site": layer.site,
        "place": layer.place,
        "activated": layer.activated,
        "channels": layer.channels,
        "map_size": list(layer.map_size),
        "kernel_size": list(layer.kernel_size),
        "in_channels": layer.in_channels,
        "whole_image": layer.field is not None and layer.field.is_whole_image,
    }


def _intervals(axis: Any, size: int) -> np.ndarray:
    """(size, 3): first and last pixel of every index, and where its window would begin without a border."""
    at = np.arange(size) if axis.dim is not None else np.zeros(size, int)
    low, high = axis.low[at], axis.high[at]
    begin, length = low.copy(), high - low + 1
    if axis.grid is not None and axis.dim is not None:
        place = at if axis.place is None else axis.place[at]
        begin = np.floor(axis.grid.first + place * axis.grid.jump).astype(int)
        length = np.full(size, int(np.ceil(axis.grid.size)))
    return np.stack([low, high, begin, length], axis=1)


def _reduce(maps: Tensor) -> list[Tensor]:
    """Of every image and channel: largest value, sum, sum of squares, number of zeros. Each (N, C)."""
    # Products and sums along memory are two to ten times as fast as vector_norm and count_nonzero.
    squares = (maps * maps).sum((2, 3))
    zeros = torch.eq(maps, 0, out=torch.empty_like(maps)).sum((2, 3))
    return [maps.amax((2, 3)), maps.sum((2, 3)), squares, zeros.long()]


class _Best:
    """The k largest values of every channel, kept while values stream by; of equal ones the first stays."""

    def __init__(self, channels: int, k: int, device: torch.device, *, places: bool = False) -> None:
        self.values = torch.full((channels, k), -torch.inf, device=device)
        self.rows = torch.full((channels, k), -1, dtype=torch.int64, device=device)
        self.places = torch.zeros((channels, k), dtype=torch.int64, device=device) if places else None

    def add(self, values: Tensor, rows: Tensor, maps: Tensor | None = None) -> None:
        """Args: values: (n, C); rows: (n,); maps: (n, C, H, W), where places are kept."""
        k = self.values.shape[1]
        entering = values > self.values[:, -1]
        channels = torch.nonzero(entering.any(0)).flatten()
        if not len(channels):
            return
        old = self.values[channels]
        new = values[:, channels].T.masked_fill(~entering[:, channels].T, -torch.inf)
        merged = torch.cat([old, new], dim=1)
        best, source = torch.sort(merged, dim=1, descending=True, stable=True)
        best, source = best[:, :k], source[:, :k]
        is_new = source >= k
        image = (source - k).clamp(min=0)
        kept = source.clamp(max=k - 1)
        self.values[channels] = best
        self.rows[channels] = torch.where(is_new, rows[image], self.rows[channels].gather(1, kept))
        if self.places is not None and maps is not None:
            places = self.places[channels].gather(1, kept)
            where = torch.nonzero(is_new)
            picked = maps[image[where[:, 0], where[:, 1]], channels[where[:, 0]]].flatten(1)
            places[where[:, 0], where[:, 1]] = picked.argmax(1)
            self.places[channels] = places

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows = torch.where(torch.isneginf(self.values), -1, self.rows).cpu().numpy().astype(np.int32)
        places = self.places if self.places is not None else torch.zeros_like(self.rows)
        return self.values.cpu().numpy(), rows, places.cpu().numpy().astype(np.int32)


Best = tuple[np.ndarray, np.ndarray, np.ndarray]


class _Running:
    """All that is added up of one layer while images come class by class."""

    def __init__(self, layer: ChannelLayer, classes: int, k: int, device: torch.device) -> None:
        c = layer.channels
        self.layer, self.k, self.device = layer, k, device
        self.by_class = classes <= MOST_CLASSES
        self.number = -1
        self.strongest: list[tuple[int, Best]] = []
        self.merged: dict[str, Best] = {}
        self._open_class()
        self.sums = torch.zeros((classes, c), dtype=torch.float64, device=device)
        self.squares = torch.zeros(c, dtype=torch.float64, device=device)
        self.zeros = torch.zeros(c, dtype=torch.int64, device=device)
        self.counts = np.zeros(classes, np.int64)
        self.tops = torch.full((c,), _SMALLEST, device=device)
        self.histogram = torch.zeros((c, classes if self.by_class else 1, BINS + 1), device=device)

    def _open_class(self) -> None:
        c = self.layer.channels
        self.best = {
            "top": _Best(c, self.k, self.device, places=True),
            "norm": _Best(c, self.k, self.device),
            "weak": _Best(c, self.k, self.device),
        }

    def add(self, number: int, rows: np.ndarray, maps: Tensor, figures: list[Tensor]) -> None:
        if number != self.number:
            self._close_class()
            self.number = number
        largest, total, squares, zeros = figures
        index = torch.as_tensor(rows, device=self.device)
        self.best["top"].add(largest, index, maps)
        self.best["norm"].add(squares.sqrt(), index)
        self.best["weak"].add(-largest, index)
        self.sums[number] += total.double().sum(0)
        self.squares += squares.double().sum(0)
        self.zeros += zeros.sum(0)
        self.counts[number] += len(rows)
        self._count(number if self.by_class else 0, largest)

    def _count(self, number: int, largest: Tensor) -> None:
        largest = largest.nan_to_num(0.0, 0.0, 0.0)  # a network that overflows has no histogram worth a loop
        highest = largest.amax(0)
        while bool((highest > self.tops).any()):
            grown = highest > self.tops
            old = self.histogram[grown]
            pairs = old[..., 1:].unflatten(-1, (BINS // 2, 2)).sum(-1)
            joined = torch.zeros_like(old)
            joined[..., :1], joined[..., 1 : BINS // 2 + 1] = old[..., :1], pairs
            self.histogram[grown] = joined
            self.tops[grown] *= 2
        bins = torch.ceil(largest * (BINS / self.tops)).clamp(0, BINS).long().T
        self.histogram[:, number].scatter_add_(1, bins, torch.ones_like(bins, dtype=torch.float32))

    def _close_class(self) -> None:
        if self.number < 0:
            return
        for kind, best in self.best.items():
            arrays = best.arrays()
            if kind == "top" and self.by_class:
                self.strongest.append((self.number, arrays))
            self.merged[kind] = _merge(self.merged[kind], arrays, self.k) if kind in self.merged else arrays
        self._open_class()

    def finished(self) -> dict[str, np.ndarray]:
        self._close_class()
        c, classes, k = self.layer.channels, len(self.counts), self.k
        shape = (c, classes if self.by_class else 0, k)
        by_class = (
            np.full(shape, -np.inf, np.float32), np.full(shape, -1, np.int32), np.zeros(shape, np.int32)
        )  # fmt: skip
        for number, arrays in self.strongest:
            for whole, part in zip(by_class, arrays, strict=True):
                whole[:, number] = part
        top, norm, weak = (self.merged[kind] for kind in ("top", "norm", "weak"))
        places = self.layer.map_size[0] * self.layer.map_size[1]
        sums, values = self.sums.cpu().numpy(), int(self.counts.sum()) * places
        mean = sums.sum(0) / values
        variance = np.maximum(0, self.squares.cpu().numpy() / values - mean**2)
        with np.errstate(invalid="ignore", divide="ignore"):
            means = (sums / (self.counts * places)[:, None]).T
        return {
            "top_values": top[0], "top_rows": top[1], "top_places": top[2],
            "norm_values": norm[0], "norm_rows": norm[1],
            "weak_values": 0.0 - weak[0], "weak_rows": weak[1],
            "class_values": by_class[0], "class_rows": by_class[1], "class_places": by_class[2],
            "class_means": means.astype(np.float32),
            "histograms": self.histogram.cpu().numpy().astype(np.int32),
            "histogram_tops": self.tops.cpu().numpy(),
            "mean": mean.astype(np.float32),
            "std": np.sqrt(variance).astype(np.float32),
            "zeros": (self.zeros.cpu().numpy() / values).astype(np.float32),
        }  # fmt: skip


def _merge(first: Best, second: Best, k: int) -> Best:
    """The k best of both; of equal values the lower row comes first."""
    values, rows, places = (np.concatenate([a, b], axis=1) for a, b in zip(first, second, strict=True))
    order = np.lexsort((rows, -values), axis=1)[:, :k]
    return tuple(np.take_along_axis(a, order, 1) for a in (values, rows, places))  # type: ignore[return-value]


def field_box(answer: dict[str, Any], layer: int, place: int) -> tuple[int, int, int, int] | None:
    """(top, left, height, width) of the receptive field of a place, as if the image had no border.

    Returns:
        None where the receptive field is not known.
    """
    if f"{layer}/field_rows" not in answer:
        return None
    width = answer["layers"][layer]["map_size"][1]
    rows, columns = answer[f"{layer}/field_rows"], answer[f"{layer}/field_columns"]
    y, x = divmod(int(place), width)
    return int(rows[y, 2]), int(columns[x, 2]), int(rows[y, 3]), int(columns[x, 3])
