"""Figures of every channel's map, read while the map is still in the processor's cache."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

# Bytes of maps that are read several times in a row. About the size of a core's second cache: smaller parts
# cost more calls than they save memory traffic.
CHUNK = 2**20


class Figures(NamedTuple):
    """Of each image and channel: largest value, sum, sum of squares, number of zeros. Each (N, C) float32."""

    largest: Tensor
    total: Tensor
    squares: Tensor
    zeros: Tensor


def figures_of(maps: Tensor) -> Figures:
    """Four passes over each map, a few images at a time: reductions along memory run at the cache's speed.

    Shape:
        maps: (N, C, H, W), in either memory format
    """
    maps = maps.detach().float()
    n, c = maps.shape[:2]
    if maps.is_contiguous(memory_format=torch.channels_last):
        rows, dim = maps.permute(0, 2, 3, 1).reshape(n, -1, c), 1  # (N, places, C)
    else:
        rows, dim = maps.flatten(2), 2  # (N, C, places)
    out = Figures(*(torch.empty((n, c), device=maps.device) for _ in Figures._fields))
    size = max(1, CHUNK // (4 * max(1, rows[0].numel()))) if maps.device.type == "cpu" else n
    buffer = torch.empty_like(rows[:size])
    for start in range(0, n, size):
        part = rows[start : start + size]
        into = Figures(*(figure[start : start + size] for figure in out))
        room = buffer[: len(part)]
        torch.amax(part, dim, out=into.largest)
        torch.sum(part, dim, out=into.total)
        torch.sum(torch.mul(part, part, out=room), dim, out=into.squares)
        torch.sum(torch.eq(part, 0, out=room), dim, out=into.zeros)
    return out


def places_of(maps: Tensor, images: Tensor, channels: Tensor) -> Tensor:
    """Where the largest value of some maps is, y · width + x; the first of equal ones.

    Shape:
        maps: (N, C, H, W); images, channels: (P,) int64
        returns: (P,) int64
    """
    maps = maps.detach().float()
    if len(images) * 16 < len(maps) * maps.shape[1]:
        return maps[images, channels].flatten(1).argmax(1)
    # Most of what is in a line of the cache is wanted: pooling finds the places of all channels at once.
    wanted, inverse = torch.unique(images, return_inverse=True)
    some = maps if len(wanted) == len(maps) else maps[wanted]
    found = F.max_pool2d(some, some.shape[2:], return_indices=True)[1].flatten(1)
    return found[inverse, channels]
