"""All that is added up of one layer while images go by."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from core.filters.channel_layers import ChannelLayer
from core.filters.filter_index import LayerIndex
from core.filters.map_statistics import Figures
from core.filters.similar_kernels import nearest_kernels
from core.filters.top_k import EMPTY_SLOT, keys_of, merged, values_and_rows

BINS = 32
# Above this number of classes, the lists and histograms of each class would outgrow everything else.
MOST_CLASSES = 100
_SMALLEST = 2.0**-20


class LayerSums:
    """Lists of the strongest images, sums and counts of the C channels of one layer.

    Images of one class must follow one another in a batch. The sums are kept on the CPU, wherever the network
    is: they need 64-bit floats, which Apple's GPUs do not have, and a GPU would wait for its host at every
    step of them.

    Attributes:
        groups: How many lists of the strongest there are: one for each class, or one for all.
    """

    def __init__(self, channels: int, classes: int, k: int) -> None:
        self.k, self.classes = k, classes
        self.channels = channels
        self.groups = classes if classes <= MOST_CLASSES else 1
        self.state: dict[str, Tensor] = {}
        self.clear()

    def clear(self) -> None:
        """Begin again with nothing."""
        channels, classes, k = self.channels, self.classes, self.k

        def whole(*shape: int, value: int = 0) -> Tensor:
            return torch.full(shape, value, dtype=torch.int64)

        def real(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.float64)

        self.state = {
            "top": whole(self.groups, channels, k, value=EMPTY_SLOT),
            "places": whole(self.groups, channels, k),
            "norm": whole(channels, k, value=EMPTY_SLOT),
            "weak": whole(channels, k, value=EMPTY_SLOT),
            "sums": real(classes, channels),
            "squares": real(channels),
            "zeros": real(channels),
            "tops": torch.full((channels,), _SMALLEST),
            "histogram": torch.zeros((channels, self.groups, BINS + 1)),
        }

    def add(self, figures: Figures, rows: Tensor, labels: np.ndarray) -> None:
        """Add the figures of a batch, which are on the CPU.

        Shape:
            rows: (N,) int64; labels: (N,) int64
        """
        try:
            from core.filters.channel_statistics_numba import add_loop
        except ImportError:
            return self.add_reduced(figures, rows, labels)
        names = "top", "places", "norm", "weak", "sums", "squares", "zeros", "tops", "histogram"
        given = (*(self.state[name] for name in names), *figures, rows)
        add_loop(*(tensor.numpy() for tensor in given), np.ascontiguousarray(labels, np.int64))
        return None

    def add_reduced(self, figures: Figures, rows: Tensor, labels: np.ndarray) -> None:
        """The same by PyTorch, where there is no Numba."""
        state, keys = self.state, keys_of(figures.largest, rows)
        for number, start, stop in _runs(labels if self.groups > 1 else np.zeros_like(labels)):
            best, source = merged(state["top"][number], keys[:, start:stop])
            known = torch.cat([state["places"][number], figures.places[start:stop].T], dim=1)
            state["top"][number], state["places"][number] = best, known.gather(1, source)
        state["norm"] = merged(state["norm"], keys_of(figures.squares, rows))[0]
        state["weak"] = merged(state["weak"], keys_of(-figures.largest, rows))[0]
        for number, start, stop in _runs(labels):
            state["sums"][number] += figures.total[start:stop].sum(0, dtype=torch.float64)
        state["squares"] += figures.squares.sum(0, dtype=torch.float64)
        state["zeros"] += figures.zeros.sum(0, dtype=torch.float64)
        self._count(figures.largest, labels)

    def _count(self, largest: Tensor, labels: np.ndarray) -> None:
        """Into histograms whose steps double in width whenever a value is beyond the last."""
        tops, histogram = self.state["tops"], self.state["histogram"]
        largest = largest.nan_to_num(0.0, 0.0, 0.0)  # a network that overflows has no histogram worth a loop
        highest = largest.amax(0)
        empty = highest > tops
        if bool(empty.any()):
            empty &= ~histogram[..., 1:].flatten(1).any(1)  # nothing to join yet
            fraction, exponent = torch.frexp(highest)
            power = torch.ldexp(torch.ones_like(highest), exponent - (fraction == 0.5).int())
            tops[empty] = power[empty]
        while bool((highest > tops).any()):
            grown = highest > tops
            old = histogram[grown]
            pairs = old[..., 1:].unflatten(-1, (BINS // 2, 2)).sum(-1)
            joined = torch.zeros_like(old)
            joined[..., :1], joined[..., 1 : BINS // 2 + 1] = old[..., :1], pairs
            histogram[grown] = joined
            tops[grown] *= 2
        bins = torch.ceil(largest * (BINS / tops)).clamp(0, BINS).long().T
        if self.groups > 1:
            bins += torch.as_tensor(labels) * (BINS + 1)
        histogram.flatten(1).scatter_add_(1, bins, torch.ones(()).expand_as(bins))

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it, to go on from later."""
        return {name: value.cpu().numpy() for name, value in self.state.items()}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from what `arrays` gave.

        Raises:
            ValueError: It is of another layer or other settings.
        """
        for name, value in self.state.items():
            found = torch.as_tensor(arrays[name])
            if found.shape != value.shape or found.dtype != value.dtype:
                raise ValueError(f"{name} has the shape {tuple(found.shape)}, not {tuple(value.shape)}")
            self.state[name] = found.clone()

    def finished(self, layer: ChannelLayer, weight: Tensor, counts: np.ndarray) -> LayerIndex:
        """What the index keeps of the layer.

        Args:
            weight: (C, in_channels, height, width), its kernels.
            counts: (classes,) images of each class.
        """
        sums, values = self.state["sums"].cpu().numpy(), int(counts.sum()) * math.prod(layer.map_size)
        mean = sums.sum(0) / values
        variance = np.maximum(0, self.state["squares"].cpu().numpy() / values - mean**2)
        with np.errstate(invalid="ignore", divide="ignore"):
            means = (sums / (counts * math.prod(layer.map_size))[:, None]).T
        nearest, cosines = nearest_kernels(weight)
        return LayerIndex(
            layer=layer,
            **self._lists(),
            class_means=means.astype(np.float32),
            histograms=self.state["histogram"].cpu().numpy().astype(np.int32),
            histogram_tops=self.state["tops"].cpu().numpy(),
            mean=mean.astype(np.float32),
            std=np.sqrt(variance).astype(np.float32),
            zeros=(self.state["zeros"].cpu().numpy() / values).astype(np.float32),
            nearest_kernel=nearest,
            nearest_cosine=cosines,
        )

    def _lists(self) -> dict[str, np.ndarray]:
        """The lists of images, by the names of the index."""
        state, k = self.state, self.k
        every = state["top"].permute(1, 0, 2)  # (C, groups, k)
        best = every.flatten(1).topk(k, dim=1)
        top_places = state["places"].permute(1, 0, 2).flatten(1).gather(1, best.indices)
        by_class = every if self.groups > 1 or self.classes == 1 else every[:, :0]
        found = {
            "top": values_and_rows(best.values),
            "norm": values_and_rows(state["norm"]),
            "weak": values_and_rows(state["weak"]),
            "class": values_and_rows(by_class),
        }
        arrays = {
            f"{kind}_{what}": value.cpu().numpy()
            for kind, pair in found.items() for what, value in zip(("values", "rows"), pair, strict=True)
        }  # fmt: skip
        arrays["weak_values"] = 0.0 - arrays["weak_values"]
        squares = arrays["norm_values"]  # the list is by their squares, which have the same order
        arrays["norm_values"] = np.where(np.isneginf(squares), squares, np.sqrt(np.maximum(0, squares)))
        class_places = state["places"].permute(1, 0, 2)[:, : by_class.shape[1]]
        arrays["top_places"] = top_places.cpu().numpy().astype(np.int32)
        arrays["class_places"] = class_places.cpu().numpy().astype(np.int32)
        return arrays


def _runs(labels: np.ndarray) -> Sequence[tuple[int, int, int]]:
    """(label, start, stop) of equal labels in a row."""
    edges = np.flatnonzero(np.diff(labels)) + 1
    starts = [0, *edges.tolist()]
    return [(int(labels[a]), a, b) for a, b in zip(starts, [*starts[1:], len(labels)], strict=True) if b > a]
