"""Figures of every channel's map, read while the map is still in the processor's cache."""

from typing import NamedTuple

import torch
from torch import Tensor

# Bytes of maps that are read several times in a row. About the size of a core's second cache: smaller parts
# cost more calls than they save memory traffic.
CHUNK = 2**20


class Figures(NamedTuple):
    """Of each image and channel: the map's largest value and where it is, sum, sum of squares, zeros.

    The place is y · width + x, of equal values the first: int32. All others float32; each is (N, C).
    """

    largest: Tensor
    places: Tensor
    total: Tensor
    squares: Tensor
    zeros: Tensor


def figures_of(maps: Tensor) -> Figures:
    """One pass over each map where Numba can compile it; else, and on a GPU, PyTorch's reductions.

    Shape:
        maps: (N, C, H, W), in either memory format
    """
    maps = maps.detach().float()
    if maps.device.type == "cpu" and maps.shape[2] * maps.shape[3] and maps.shape[1]:
        try:
            from core.map_loops import figures_loop
        except ImportError:
            return reduced(maps)
        # What is contiguous is put into order first; the figures are then made at several times its speed.
        rows = maps.permute(0, 2, 3, 1).contiguous().flatten(1, 2)  # (N, places, C)
        out = _empty(rows)
        figures_loop(rows.numpy(), *(figure.numpy() for figure in out))
        return out
    return reduced(maps)


def reduced(maps: Tensor) -> Figures:
    """The same by PyTorch: several passes over each map, a few images at a time.

    Shape:
        maps: (N, C, H, W) float32, in either memory format
    """
    n = len(maps)
    if maps.is_contiguous(memory_format=torch.channels_last):
        rows, dim = maps.permute(0, 2, 3, 1).flatten(1, 2), 1  # (N, places, C)
    else:
        rows, dim = maps.flatten(2), 2  # (N, C, places)
    out = _empty(maps.flatten(2).transpose(1, 2))
    size = max(1, CHUNK // (4 * max(1, rows[0].numel()))) if maps.device.type == "cpu" else n
    buffer = torch.empty_like(rows[:size])
    for start in range(0, n, size):
        part = rows[start : start + size]
        into = Figures(*(figure[start : start + size] for figure in out))
        room = buffer[: len(part)]
        largest, places = torch.max(part, dim)
        into.largest.copy_(largest)
        into.places.copy_(places)
        torch.sum(part, dim, out=into.total)
        torch.sum(torch.mul(part, part, out=room), dim, out=into.squares)
        torch.sum(torch.eq(part, 0, out=room), dim, out=into.zeros)
    return out


def _empty(rows: Tensor) -> Figures:
    """For maps of the shape (N, places, C)."""
    n, _, channels = rows.shape
    number = dict.fromkeys(Figures._fields, torch.float32) | {"places": torch.int32}
    return Figures(*(torch.empty((n, channels), dtype=t, device=rows.device) for t in number.values()))
