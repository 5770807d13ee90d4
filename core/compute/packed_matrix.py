"""A matrix that many others are multiplied by, in the library that is faster on this machine.

PyTorch multiplies by MKL; oneDNN, which it also brings, can keep the matrix in an order of its own. Neither
is always ahead: on one AMD processor oneDNN was 1.5 times as fast, on another MKL 1.2 times, and on an Intel
one twice where a matrix has but 64 channels. So a product of about that size, with as many rows as blocks
lead to, is tried once on a machine, and the answer is kept in Convoscope's cache.
"""

import threading
import time
from functools import partial

import torch
from torch import Tensor

from core import store

TRIED_ROWS = 192  # of what is tried
# Channels of what is tried, in powers of two: a matrix of 1024 does not stay in the cache of a core, nor does
# any larger one.
FEWEST_CHANNELS, MOST_CHANNELS = 32, 1024
TRIED_TURNS = 5

_lock = threading.Lock()
_chosen: dict[tuple[int, int], bool] = {}  # by number of threads and of channels


class PackedMatrix:
    """A matrix, ready to be multiplied by.

    oneDNN's own order has no public name, so PyTorch's product stands in where it is missing.

    Args:
        ordered: In oneDNN's order; None for the faster.
    Shape:
        matrix: (K, C)
        bias: (K,)
    """

    def __init__(self, matrix: Tensor, bias: Tensor | None = None, *, ordered: bool | None = None) -> None:
        self.nbytes = matrix.nbytes
        self._bias = bias
        if ordered is None:
            ordered = can_be_ordered() and _ordered_is_faster(*matrix.shape)
        self._ordered = ordered and can_be_ordered()
        self._matrix = matrix.contiguous()
        if self._ordered:
            self._matrix = torch.ops.mkldnn._reorder_linear_weight(self._matrix, 256)

    def times(self, values: Tensor, out: Tensor | None = None) -> Tensor:
        """(N, K) from (N, C), in `out` if it is given and contiguous."""
        if not self._ordered:
            if out is not None and self._bias is None:
                return torch.mm(values, self._matrix.t(), out=out)
            found = torch.nn.functional.linear(values, self._matrix, self._bias)
        else:
            found = torch.ops.mkldnn._linear_pointwise(values, self._matrix, self._bias, "none", [], "")
        return found if out is None else out.copy_(found)


def can_be_ordered() -> bool:
    return bool(torch.backends.mkldnn.is_available()) and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _ordered_is_faster(out_channels: int, in_channels: int) -> bool:
    channels = FEWEST_CHANNELS
    while channels < MOST_CHANNELS and 2 * channels * channels <= out_channels * in_channels:
        channels *= 2
    threads = torch.get_num_threads()
    with _lock:
        if (threads, channels) not in _chosen:
            facts = (
                torch.__version__,
                torch.backends.cpu.get_cpu_capability(),
                threads,
                TRIED_ROWS,
                channels,
            )
            key = store.key_of("", "matrix product", facts)
            found = store.find(key)
            if found is None:
                found = store.keep(key, {"ordered": _measured(channels)})
            _chosen[threads, channels] = bool(found["ordered"])
        return _chosen[threads, channels]


def _measured(channels: int) -> bool:
    values, matrix = torch.ones(TRIED_ROWS, channels), torch.ones(channels, channels)
    out = torch.empty(TRIED_ROWS, channels)
    best: dict[bool, float] = {}
    ways = {
        ordered: partial(PackedMatrix(matrix, ordered=ordered).times, values, out)
        for ordered in (True, False)
    }
    for turn in range(TRIED_TURNS + 1):
        for ordered, multiply in ways.items():
            began = time.perf_counter()
            multiply()
            if turn:  # the first pays for warming up
                seconds = time.perf_counter() - began
                best[ordered] = min(best.get(ordered, seconds), seconds)
    return best[True] < best[False]
