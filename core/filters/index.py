"""What every channel of every convolution answers to most, found in one pass over a data set.

Nothing grows with the data set: of each channel only its strongest and weakest images are kept, with sums and
counts. Images are read class by class, in batches whose size depends on the network alone, and what was added
up is saved now and then: an index that was killed goes on from there, and comes to the same figures.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.compute.threads import side_by_side
from core.data.dataset import Split, indexed_rows
from core.data.fitting import fitted
from core.errors import SettingError
from core.filters.channel_layers import ChannelLayer, find_layer, layers_of
from core.filters.channel_statistics import LayerSums
from core.filters.fused_statistics import PassingFigures
from core.filters.index_resume import read_part, save_part
from core.filters.map_statistics import Figures, on_cpu
from core.filters.similar_kernels import kernel_pictures, nearest_kernels
from core.models.classifier import Classifier
from core.progress import Progress, no_progress

LABEL = "filter index 2"
# Images of a batch: as many as have SMALL bytes of their largest map, within FEWEST and LARGEST, but never
# more than BATCH bytes. Narrow networks want many images, so that calling their layers weighs less (a quarter
# of ResNet18's width is 1.15 times as fast with 128 as with 64); with wide ones a batch outgrows the caches,
# but fewer than 64 images cost the wide CNN a tenth.
SMALL, BATCH, FEWEST, LARGEST = 16 * 2**20, 64 * 2**20, 64, 128
AT_ONCE = 64  # batches, of which as many are computed side by side as there are threads
SAVE_EVERY = 20.0  # seconds


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


def build_index(
    classifier: Classifier,
    pixels: Callable[[np.ndarray], np.ndarray],
    labels: np.ndarray,
    number_of_classes: int,
    *,
    k: int = 16,
    layers: Sequence[str] | None = None,
    part: Path | None = None,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Index every channel of every convolution.

    Args:
        pixels: A function from row numbers to (n, H, W, C) uint8 in the classifier's size.
        labels: The class of each row, in the classes of the data set.
        k: How many images are kept of each kind.
        layers: Names of convolutions; all of them if not given.
        part: A file of this very question, from which to go on, and where to save what is done so far.
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
    found = layers_of(classifier)
    if layers is not None:
        found = [find_layer(found, name) for name in layers]
    order = np.argsort(labels, kind="stable")
    total, size = len(order), _batch_size(found)
    running = [LayerSums(layer.channels, number_of_classes, k) for layer in found]
    done = read_part(part, running, size) if part is not None else 0
    saved = time.monotonic()

    by_site: dict[str, list[LayerSums]] = {}
    for layer, one in zip(found, running, strict=True):
        by_site.setdefault(layer.site, []).append(one)
    here = threading.local()

    def reader(site: str) -> Callable[[Figures], None]:
        def read(figures: Figures) -> None:
            here.seen[site] = figures

        return read

    passing = PassingFigures(classifier.module, {site: reader(site) for site in by_site})
    computed: deque[tuple[np.ndarray, dict[str, Figures]]] = deque()  # and not yet added
    begun = 0  # batches that are added, or computed

    @torch.inference_mode()
    def look(chosen: np.ndarray) -> tuple[np.ndarray, dict[str, Figures]]:
        here.seen = {}
        classifier.module(classifier.inputs(pixels(chosen)))
        return chosen, on_cpu(here.seen)

    @torch.inference_mode()
    def add() -> None:
        while computed:
            chosen, seen = computed[0]
            rows = torch.as_tensor(chosen)
            for site, figures in seen.items():
                for one in by_site[site]:
                    one.add(figures, rows, labels[chosen])
            computed.popleft()

    @torch.inference_mode()
    def work(start: int, stop: int) -> None:
        nonlocal begun
        # What was computed before memory ran out is not computed again.
        parts = [order[done + i * size : done + (i + 1) * size] for i in range(max(start, begun), stop)]
        last = begun + len(parts) - threads

        def beside() -> None:
            # The last ones wait for the next call: nothing would be computed beside adding them.
            if begun <= last or len(computed) > threads:
                add()

        with passing.read():
            for one in side_by_side(look, parts, beside, at_once=threads):
                computed.append(one)
                begun += 1

    def said(share: float, note: str) -> None:
        nonlocal saved
        now = min(total, done + round(share * batches) * size)
        if part is not None and now < total and time.monotonic() - saved > SAVE_EVERY:
            add()
            save_part(part, running, size, now)
            saved = time.monotonic()
        progress(now / total, note or f"Indexing filters: {now:,} of {total:,} images")

    batches = -(-(total - done) // size)
    threads = torch.get_num_threads() if classifier.device.type == "cpu" else 1
    classifier.in_batches(batches, work, said, cost=size, largest=AT_ONCE, fewest=2 * threads)
    add()
    counts = np.bincount(labels, minlength=number_of_classes)
    answer: dict[str, Any] = {
        "layers": [described(layer) for layer in found],
        "images": total,
        "k": k,
        "number_of_classes": number_of_classes,
    }
    for i, one in enumerate(running):
        height, width = found[i].map_size
        for name, values in one.finished(counts, height * width).items():
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
    part: Path | None = None,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """The index of a split, with rows of the split, near copies, and the kernels of the first convolution.

    Args:
        images: How many images, every class with its share; None for all of them.
        part: As in `build_index`.
    Returns:
        What `build_index` returns, and for each layer the nearest kernel of every channel with its cosine.
    """
    rows = indexed_rows(split.labels, images)
    some = split if len(rows) == len(split) else split.take(rows)
    pixels = fitted(some.images, classifier.card.preprocessing, lambda share, text: progress(0.0, text))
    answer = build_index(
        classifier, pixels, some.labels, number_of_classes, k=k, part=part, progress=progress
    )
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


def _batch_size(layers: Sequence[ChannelLayer]) -> int:
    """Images a batch: a matter of the network alone, so that an index is always added up the same way."""
    image = 4 * max(layer.channels * layer.map_size[0] * layer.map_size[1] for layer in layers)  # bytes
    return max(1, min(BATCH // image, max(FEWEST, min(LARGEST, SMALL // image))))


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
