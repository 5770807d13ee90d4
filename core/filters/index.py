"""What every channel of every convolution answers to most, found in one pass over a data set.

Nothing grows with the data set: of each channel only its strongest and weakest images are kept, with sums and
counts. Images are read class by class, in batches whose size depends on the network alone, and what was added
up is saved now and then: an index that was killed goes on from there, and comes to the same figures.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from core.compute.threads import side_by_side
from core.data.dataset import Split, indexed_rows
from core.data.fitting import fitted
from core.errors import SettingError
from core.filters.channel_layers import ChannelLayer, find_layer, layers_of
from core.filters.channel_statistics import LayerSums
from core.filters.filter_index import FilterIndex, LayerIndex
from core.filters.fused_statistics import PassingFigures
from core.filters.index_resume import read_part, save_part
from core.filters.map_statistics import Figures, on_cpu
from core.filters.similar_kernels import kernel_pictures
from core.models.classifier import Classifier
from core.progress import Progress, no_progress

# Images of a batch: as many as have LARGEST_MAP_BYTES of their largest map, within FEWEST_IMAGES and
# MOST_IMAGES, but never more than MOST_BATCH_BYTES. Narrow networks want many images, so that calling their
# layers weighs less (a quarter of ResNet18's width is 1.15 times as fast with 128 as with 64); with wide ones
# a batch outgrows the caches, but fewer than 64 images cost the wide CNN a tenth.
LARGEST_MAP_BYTES, MOST_BATCH_BYTES = 16 * 2**20, 64 * 2**20
FEWEST_IMAGES, MOST_IMAGES = 64, 128
MOST_BATCHES_A_CALL = 64  # of which as many are computed side by side as there are threads
SECONDS_BETWEEN_SAVES = 20.0

Pixels = Callable[[np.ndarray], np.ndarray]


def build_index(
    classifier: Classifier,
    pixels: Pixels,
    labels: np.ndarray,
    number_of_classes: int,
    *,
    k: int = 16,
    layers: Sequence[str] | None = None,
    part: Path | None = None,
    progress: Progress = no_progress,
) -> FilterIndex:
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
    sums = [LayerSums(layer.channels, number_of_classes, k) for layer in found]
    going = _Pass(classifier, pixels, labels, found, sums, part)
    going.run(progress)
    counts = np.bincount(labels, minlength=number_of_classes)
    weights = [_weight(classifier, layer) for layer in found]
    return FilterIndex(
        layers=tuple(
            one.finished(layer, weight, counts)
            for one, layer, weight in zip(sums, found, weights, strict=True)
        ),
        images=len(labels),
        k=k,
        number_of_classes=number_of_classes,
        engine=going.passing.engine(),
        kernels=kernel_pictures(weights[0]) if _can_be_seen(found[0]) else None,
    )


def _weight(classifier: Classifier, layer: ChannelLayer) -> Tensor:
    weight = classifier.module.get_submodule(layer.name).weight
    assert isinstance(weight, Tensor)
    return weight


def _can_be_seen(layer: ChannelLayer) -> bool:
    """A first layer's filters are pictures where they look at gray or colors, at more than a pixel."""
    return layer.in_channels in (1, 3) and min(layer.kernel_size) > 1


@dataclass(eq=False)
class _Pass:
    """One pass over the images: batches are computed side by side and added up in their order.

    Attributes:
        sums: Of each layer, added to.
        part: Where to save what is done so far.
        done: Images that were saved before; they are not looked at again.
        computed: The batches whose figures are there and not yet added: their rows, and figures by site.
        begun: Batches that are added, or computed.
    """

    classifier: Classifier
    pixels: Pixels
    labels: np.ndarray
    layers: Sequence[ChannelLayer]
    sums: Sequence[LayerSums]
    part: Path | None
    done: int = 0
    begun: int = 0
    computed: deque[tuple[np.ndarray, dict[str, Figures]]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.order = np.argsort(self.labels, kind="stable")
        self.size = _batch_size(self.layers)
        if self.part is not None:
            self.done = read_part(self.part, self.sums, self.size)
        self.batches = -(-(len(self.order) - self.done) // self.size)
        self.threads = torch.get_num_threads() if self.classifier.device.type == "cpu" else 1
        self._saved = time.monotonic()
        self._by_site: dict[str, list[LayerSums]] = {}
        for layer, one in zip(self.layers, self.sums, strict=True):
            self._by_site.setdefault(layer.site, []).append(one)
        self._here = threading.local()
        self.passing = PassingFigures(
            self.classifier.module, {site: self._reader(site) for site in self._by_site}
        )

    def run(self, progress: Progress) -> None:
        """Look at all images."""

        def said(share: float, note: str) -> None:
            now = min(len(self.order), self.done + round(share * self.batches) * self.size)
            self._save_now_and_then(now)
            words = f"Indexing filters: {now:,} of {len(self.order):,} images"
            progress(now / len(self.order), note or words)

        self.classifier.in_batches(
            self.batches, self._work, said, cost=self.size, largest=MOST_BATCHES_A_CALL,
            fewest=2 * self.threads,
        )  # fmt: skip
        self._add()

    def _reader(self, site: str) -> Callable[[Figures], None]:
        def read(figures: Figures) -> None:
            self._here.seen[site] = figures

        return read

    @torch.inference_mode()
    def _look(self, chosen: np.ndarray) -> tuple[np.ndarray, dict[str, Figures]]:
        """The figures of some images by site, computed in whichever thread calls it."""
        self._here.seen = {}
        self.classifier.module(self.classifier.inputs(self.pixels(chosen)))
        return chosen, on_cpu(self._here.seen)

    @torch.inference_mode()
    def _add(self) -> None:
        while self.computed:
            chosen, seen = self.computed[0]
            rows = torch.as_tensor(chosen)
            for site, figures in seen.items():
                for one in self._by_site[site]:
                    one.add(figures, rows, self.labels[chosen])
            self.computed.popleft()

    @torch.inference_mode()
    def _work(self, start: int, stop: int) -> None:
        # What was computed before memory ran out is not computed again.
        begin = [self.done + i * self.size for i in range(max(start, self.begun), stop)]
        parts = [self.order[at : at + self.size] for at in begin]
        last = self.begun + len(parts) - self.threads

        def beside() -> None:
            # The last ones wait for the next call: nothing would be computed beside adding them.
            if self.begun <= last or len(self.computed) > self.threads:
                self._add()

        with self.passing.read():
            for one in side_by_side(self._look, parts, beside, at_once=self.threads):
                self.computed.append(one)
                self.begun += 1

    def _save_now_and_then(self, images: int) -> None:
        if self.part is None or images >= len(self.order):
            return
        if time.monotonic() - self._saved > SECONDS_BETWEEN_SAVES:
            self._add()
            save_part(self.part, self.sums, self.size, images)
            self._saved = time.monotonic()


def index_split(
    classifier: Classifier,
    split: Split,
    number_of_classes: int,
    *,
    images: int | None = None,
    k: int = 16,
    part: Path | None = None,
    progress: Progress = no_progress,
) -> FilterIndex:
    """The index of a split: as `build_index`, but with rows of the split.

    Args:
        images: How many images, every class with its share; None for all of them.
        part: As in `build_index`.
    """
    rows = indexed_rows(split.labels, images)
    some = split if len(rows) == len(split) else split.take(rows)
    pixels = fitted(some.images, classifier.card.preprocessing, lambda share, text: progress(0.0, text))
    found = build_index(classifier, pixels, some.labels, number_of_classes, k=k, part=part, progress=progress)
    return replace(found, layers=tuple(_with_rows(one, rows) for one in found.layers))


def _with_rows(one: LayerIndex, rows: np.ndarray) -> LayerIndex:
    """Rows of the split where there were rows of some of its images."""

    def of_split(found: np.ndarray) -> np.ndarray:
        return np.where(found < 0, -1, rows[found]).astype(np.int32)

    return replace(
        one, top_rows=of_split(one.top_rows), norm_rows=of_split(one.norm_rows),
        weak_rows=of_split(one.weak_rows), class_rows=of_split(one.class_rows),
    )  # fmt: skip


def _batch_size(layers: Sequence[ChannelLayer]) -> int:
    """Images a batch: a matter of the network alone, so that an index is always added up the same way."""
    image = 4 * max(layer.channels * layer.map_size[0] * layer.map_size[1] for layer in layers)  # bytes
    wanted = max(FEWEST_IMAGES, min(MOST_IMAGES, LARGEST_MAP_BYTES // image))
    return max(1, min(MOST_BATCH_BYTES // image, wanted))
