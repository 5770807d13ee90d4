"""The oracle of the convolution playground: which products make a cell, and which cells nobody reads."""

from dataclasses import dataclass

import numpy as np

from core.by_hand.conv_layer import Layer, Pair, output_size


@dataclass(frozen=True)
class Term:
    """One product that goes into an output cell.

    Attributes:
        channel: The input channel, or of a transposed convolution too.
        tap: (row, column) in the kernel.
        source: (row, column) in the input whose value this is; None where the padding's zero is read.
    """

    channel: int
    tap: Pair
    source: Pair | None
    value: float
    weight: float

    @property
    def product(self) -> float:
        return self.value * self.weight


def terms(layer: Layer, x: np.ndarray, weight: np.ndarray | None, out_channel: int, cell: Pair) -> list[Term]:
    """The products that make one output cell, channel by channel, each in reading order.

    In pooling the weight is 1, and padding has no term: max pooling ignores it, average pooling adds 0.
    """
    ins, outs = layer.in_channels // layer.groups, layer.out_channels // layer.groups
    group = out_channel // outs
    channels = [out_channel] if layer.is_pooling else range(group * ins, (group + 1) * ins)
    found = []
    for channel in channels:
        for ky in range(layer.kernel_size[0]):
            for kx in range(layer.kernel_size[1]):
                row = _source(layer, cell[0], ky, x.shape[1], 0)
                column = _source(layer, cell[1], kx, x.shape[2], 1)
                inside = row is not None and column is not None
                if not inside and (layer.is_pooling or layer.kind == "conv_transpose"):
                    continue
                if layer.is_pooling:
                    factor = 1.0
                elif layer.kind == "conv_transpose":
                    assert weight is not None
                    factor = float(weight[channel, out_channel - group * outs, ky, kx])
                else:
                    assert weight is not None
                    factor = float(weight[out_channel, channel - group * ins, ky, kx])
                value = float(x[channel, row, column]) if inside else 0.0
                source = (row, column) if row is not None and column is not None else None
                found.append(Term(channel, (ky, kx), source, value, factor))
    return found


def fed_by(layer: Layer, size: Pair, source: Pair) -> list[tuple[Pair, Pair]]:
    """The output cells that an input cell goes into, as ((row, column), kernel tap), in reading order."""
    height, width = output_size(layer, size)
    rows = [
        (i, k)
        for i in range(height)
        for k in range(layer.kernel_size[0])
        if _source(layer, i, k, size[0], 0) == source[0]
    ]
    columns = [
        (j, k)
        for j in range(width)
        for k in range(layer.kernel_size[1])
        if _source(layer, j, k, size[1], 1) == source[1]
    ]
    return [((i, j), (ky, kx)) for i, ky in rows for j, kx in columns]


def unread(layer: Layer, size: Pair) -> tuple[list[int], list[int]]:
    """Rows and columns of the padded input that no window reads: what a stride leaves over.

    Counted from the padding's first row; of a transposed convolution, whose input has no padding, none.
    """
    if layer.kind == "conv_transpose":
        return [], []
    left_over = []
    for axis, out in enumerate(output_size(layer, size)):
        stride, dilation, kernel = layer.stride[axis], layer.dilation[axis], layer.kernel_size[axis]
        read = {o * stride + k * dilation for o in range(out) for k in range(kernel)}
        left_over.append([r for r in range(size[axis] + sum(layer.paddings[axis])) if r not in read])
    return left_over[0], left_over[1]


def _source(layer: Layer, out: int, tap: int, length: int, axis: int) -> int | None:
    """The input row or column that one tap reads for one output row or column, or None."""
    before = layer.paddings[axis][0]
    if layer.kind == "conv_transpose":
        at, rest = divmod(out + before - tap * layer.dilation[axis], layer.stride[axis])
        return at if rest == 0 and 0 <= at < length else None
    at = out * layer.stride[axis] + tap * layer.dilation[axis] - before
    if 0 <= at < length:
        return at
    match layer.padding_mode if layer.kind == "conv" else "zeros":
        case "replicate":
            return min(max(at, 0), length - 1)
        case "circular":
            return at % length
        case "reflect":
            return -at if at < 0 else 2 * (length - 1) - at
    return None
