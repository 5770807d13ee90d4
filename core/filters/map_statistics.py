"""Figures of every channel's map, read while the map is still in the processor's cache."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

# Bytes of maps that are read several times in a row. About the size of a core's second cache: smaller parts
# cost more calls than they save memory traffic.
CHUNK_BYTES = 2**20


class Figures(NamedTuple):
    """Of each image and channel: the map's largest value and where it is, sum, sum of squares, zeros.

    The place is y · width + x, of equal values the first: int32. All others float32; each is (N, C).
    """

    largest: Tensor
    places: Tensor
    total: Tensor
    squares: Tensor
    zeros: Tensor


def on_cpu(figures: Mapping[str, Figures]) -> dict[str, Figures]:
    """The figures of several layers on the CPU, copied together: a GPU is waited for once."""
    every = [one for layer in figures.values() for one in layer]
    if all(one.device.type == "cpu" for one in every):
        return dict(figures)
    here = torch.cat([one.contiguous().view(torch.int32).flatten() for one in every]).cpu()
    parts = iter(here.split([one.numel() for one in every]))
    return {
        name: Figures(*(next(parts).view(one.dtype).view(one.shape) for one in layer))
        for name, layer in figures.items()
    }


def figures_of(maps: Tensor) -> Figures:
    """One pass over each map where Numba can compile it; else, and on a GPU, PyTorch's reductions.

    Shape:
        maps: (N, C, H, W), in either memory format
    """
    maps = maps.detach().float()
    if _can_loop(maps):
        try:
            from core.filters.map_statistics_numba import figures_loop
        except ImportError:
            return reduced(maps)
        # What is contiguous is put into order first; the figures are then made at several times its speed.
        rows = maps.permute(0, 2, 3, 1).contiguous().flatten(1, 2)  # (N, places, C)
        none = np.empty(0, np.float32)
        return _looped(figures_loop, rows, none, none, -np.inf, np.inf)
    return reduced(maps)


def passed(maps: Tensor, factors: tuple[Tensor, Tensor] | None, low: float, high: float) -> Figures | None:
    """Turn each value into min(max(scale · value + shift, low), high), in place, and return the new figures.

    Args:
        factors: Scale and shift of each channel; None leaves the values as they are.
    Shape:
        maps: (N, C, H, W) float32
        factors: (C,), (C,)
    Returns:
        None where that is not possible, and nothing was changed: the maps are on a GPU, in another order than
        channels last or of other numbers, or there is no Numba.
    """
    rows = maps.permute(0, 2, 3, 1)
    if maps.dtype != torch.float32 or not _can_loop(maps) or not rows.is_contiguous():
        return None
    try:
        from core.filters.map_statistics_numba import passing_loop
    except ImportError:
        return None
    channels = maps.shape[1]
    scale, shift = factors or (torch.ones(channels), torch.zeros(channels))
    return _looped(passing_loop, rows.flatten(1, 2), scale.numpy(), shift.numpy(), low, high)


def _can_loop(maps: Tensor) -> bool:
    return maps.device.type == "cpu" and min(maps.shape[1:]) > 0


def _looped(
    loop: Any, rows: Tensor, scale: np.ndarray, shift: np.ndarray, low: float, high: float
) -> Figures:
    out = _empty(rows)
    bounds = np.float32(low), np.float32(high)
    loop(rows.numpy(), scale, shift, *bounds, *(figure.numpy() for figure in out))
    return out


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
    size = max(1, CHUNK_BYTES // (4 * max(1, rows[0].numel()))) if maps.device.type == "cpu" else n
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
