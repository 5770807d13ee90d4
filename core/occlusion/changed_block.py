"""The part of a map that a window changes: a block of one size for every window, at its own place.

Windows are products of intervals and stay so through convolution and pooling: so rows and columns can be
reckoned apart, and one block (N, n, m, C) with N places holds all that N windows change.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from core.occlusion.local_layers import Reach


@dataclass(frozen=True, eq=False)
class Span:
    """Along one axis: what each of N windows changes, and the interval of one length that is kept of it.

    Attributes:
        first: (N,) first place that changes; `last` < `first` where nothing does.
        last: (N,) last place that changes.
        start: (N,) first place that is kept; the interval lies inside the map and holds what changes.
        length: Places that are kept, the same for every window.
        size: Places of the whole map.
    """

    first: Tensor
    last: Tensor
    start: Tensor
    length: int
    size: int

    @property
    def whole(self) -> bool:
        """The whole axis is kept."""
        return self.length == self.size

    @property
    def changed(self) -> Tensor:
        """(N, length) whether a place that is kept changes."""
        places = self.start[:, None] + torch.arange(self.length)
        return (places >= self.first[:, None]) & (places <= self.last[:, None])


def span(first: Tensor, last: Tensor, size: int) -> Span:
    """The shortest interval of one length that holds what each window changes."""
    first, last = first.clamp(min=0), last.clamp(max=size - 1)
    length = max(1, int((last - first).max()) + 1)
    return Span(first, last, first.clamp(min=0, max=size - length), length, size)


def outputs_of(before: Span, reach: Reach) -> Span:
    """What changes behind a layer."""
    first, last = reach.touched(before.first, before.last)
    # Where nothing changes before, nothing does behind.
    last = torch.where(before.last < before.first, first - 1, last)
    return span(first, last, reach.size_out)


def union(spans: list[Span]) -> Span:
    """What changes in any of several maps of one size."""
    if all(s is spans[0] for s in spans):
        return spans[0]
    lows = torch.stack([torch.where(s.last < s.first, s.size, s.first) for s in spans]).amin(0)
    highs = torch.stack([torch.where(s.last < s.first, -1, s.last) for s in spans]).amax(0)
    return span(lows, highs, spans[0].size)


def rows_of(rows: Span, columns: Span, width: int) -> Tensor:
    """(N, n, m) int64: which row of a (H · width, C) map each place of the block is."""
    down = rows.start[:, None] + torch.arange(rows.length)
    along = columns.start[:, None] + torch.arange(columns.length)
    return down[:, :, None] * width + along[:, None, :]


@dataclass(frozen=True, eq=False)
class Block:
    """What N windows change in one map.

    Attributes:
        values: (N, n, m, C) float32: the map under each window, at the rows and columns of the spans.
    """

    values: Tensor
    rows: Span
    columns: Span

    @property
    def whole(self) -> bool:
        """The block is the map."""
        return self.rows.whole and self.columns.whole

    @property
    def changed(self) -> Tensor:
        """(N, n, m) whether a place changes; the others are kept for the sake of one shape."""
        return self.rows.changed[:, :, None] & self.columns.changed[:, None, :]


def cut(map: Tensor, starts: tuple[Tensor, Tensor], size: tuple[int, int]) -> Tensor:
    """The same map at N places.

    Shape:
        map: (H, W, C)
        starts: (N,) first rows and first columns
        returns: (N, *size, C)
    """
    return cut_rows(map, starts, size)[:-1].view(-1, *size, map.shape[-1])


def cut_rows(map: Tensor, starts: tuple[Tensor, Tensor], size: tuple[int, int]) -> Tensor:
    """(N · h · w + 1, C): the same, one place a row, and a row to spare behind them."""
    height, width, channels = map.shape
    down = starts[0][:, None] + torch.arange(size[0])
    along = starts[1][:, None] + torch.arange(size[1])
    places = (down[:, :, None] * width + along[:, None, :]).flatten()  # (N · h · w,)
    return map.reshape(height * width, channels).index_select(0, F.pad(places, (0, 1)))


def paste(block: Block, into: Tensor, starts: tuple[Tensor, Tensor]) -> None:
    """Put what a block has into crops that begin elsewhere; what lies outside of them is left out.

    Shape:
        into: (N, h, w, C)
        starts: (N,) row and column of the map at which each crop begins
    """
    down, along = block.rows.start - starts[0], block.columns.start - starts[1]
    offsets = torch.stack([down, along], 1).tolist()
    alike = offsets.count(offsets[0]) == len(offsets)  # as windows that lie alike to strides and borders do
    for i, (y, x) in enumerate(offsets[:1] if alike else offsets):
        to_rows, from_rows = _overlap(y, block.rows.length, into.shape[1])
        to_columns, from_columns = _overlap(x, block.columns.length, into.shape[2])
        which = slice(None) if alike else i
        into[which, ..., to_rows, to_columns, :] = block.values[which, ..., from_rows, from_columns, :]


def _overlap(offset: int, length: int, room: int) -> tuple[slice, slice]:
    low, high = max(0, offset), min(room, offset + length)
    return slice(low, max(low, high)), slice(low - offset, max(low, high) - offset)


def moved(block: Block, rows: Span, columns: Span, base: Tensor) -> Block:
    """The same block with more of the map around, or at other places.

    Shape:
        base: (H, W, C), the map without a window
    """
    if rows is block.rows and columns is block.columns:
        return block
    around = cut(base, (rows.start, columns.start), (rows.length, columns.length))
    paste(block, around, (rows.start, columns.start))
    return Block(around, rows, columns)


def whole_map(block: Block, base: Tensor) -> Tensor:
    """(N, C, H, W), channels last in memory: the map under each window."""
    if block.whole:
        return block.values.permute(0, 3, 1, 2)
    maps = base.expand(len(block.values), *base.shape).clone()
    zero = torch.zeros_like(block.rows.start)
    paste(block, maps, (zero, zero))
    return maps.permute(0, 3, 1, 2)
