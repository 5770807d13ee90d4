"""Layers in a row: sizes, cost, and how much of the image one unit behind them sees."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from core.by_hand.conv_layer import BadLayer, Layer, Pair, output_size
from core.by_hand.layer_cost import Cost, cost, describe
from core.errors import ConvoscopeError


class BadStack(ConvoscopeError):
    """A line of a stack that is not a layer, or that does not fit the one before."""


@dataclass(frozen=True)
class Paths:
    """Stacks next to each other: joined by channels, or one of them added to its own input."""

    stacks: tuple[tuple["Layer | Paths", ...], ...]
    residual: bool = False


Stack = tuple[Layer | Paths, ...]


@dataclass(frozen=True)
class Row:
    """One layer of a stack with what goes in and comes out.

    Attributes:
        field: Rows of the image that one unit of the output sees.
        jump: The pixels of the image from one unit to the next.
    """

    text: str
    path: str
    layer: Layer
    size: Pair
    cost: Cost
    field: int
    jump: float


def stack_rows(stack: Stack, size: Pair) -> list[Row]:
    """Every layer of the stack, the parallel ones one after the other, with sizes, cost and receptive field.

    Raises:
        BadStack: A layer does not fit the size it gets, or paths that are joined have different sizes.
    """
    return list(_rows(stack, size, (1.0, 0.0, 0.0), ""))


def receptive_field(stack: Stack, size: Pair) -> tuple[float, float, float]:
    """(jump, first, last): unit i of the output sees the rows i · jump + first to i · jump + last.

    Source:
        Araujo, Norris, Sim 2019, "Computing Receptive Fields of Convolutional Neural Networks", Distill.
    """
    return _through(stack, size, (1.0, 0.0, 0.0))[1]


def path_shares(stack: Stack, size: Pair) -> np.ndarray:
    """How much of what reaches the middle unit of the output comes from each pixel, all weights being equal.

    This is the expected gradient of a linear network with equal weights: the share of all paths that begin
    at the pixel. The middle of a receptive field has many more of them than its edge.

    Shape:
        returns: `size` float64, summing to 1 where no path ends in padding
    Source:
        Luo, Li, Urtasun, Zemel 2016, "Understanding the Effective Receptive Field", arXiv:1701.04128
    """
    height, width = _through(stack, size, (1.0, 0.0, 0.0))[0]
    out = np.zeros((height, width))
    out[(height - 1) // 2, (width - 1) // 2] = 1
    return _back(stack, out, size)


def effective_side(shares: np.ndarray, part: float = 0.9545) -> int:
    """Side of the smallest square that holds `part` of all paths; 0.9545 is two deviations of a bell."""
    sums = np.pad(shares, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    low, high = 1, max(shares.shape)
    while low < high:
        side = (low + high) // 2
        rows, columns = min(side, shares.shape[0]), min(side, shares.shape[1])
        held = (
            sums[rows:, columns:] - sums[:-rows, columns:] - sums[rows:, :-columns] + sums[:-rows, :-columns]
        )
        if held.max() >= part * sums[-1, -1]:
            high = side
        else:
            low = side + 1
    return low


def gradient_norms(depth: int, gain: float, residual: bool, *, width: int = 64, seed: int = 0) -> np.ndarray:
    """Length of the loss's gradient at the input of each of `depth` random layers x → relu(W x) [+ x].

    The weights are He's, times `gain`; the gradient at the output has length 1; the mean of 8 inputs.

    Shape:
        returns: (depth + 1,), from the network's input to its output
    Source:
        He, Zhang, Ren, Sun 2016, "Identity Mappings in Deep Residual Networks", arXiv:1603.05027
    """
    rng = np.random.default_rng(seed)
    weights = rng.normal(0, gain * np.sqrt(2 / width), (depth, width, width))
    x = rng.normal(size=(8, width))
    open_units = []
    for weight in weights:
        before = x @ weight.T
        open_units.append(before > 0)
        x = np.maximum(before, 0) + (x if residual else 0)
    gradient = rng.normal(size=(8, width))
    gradient /= np.linalg.norm(gradient, axis=1, keepdims=True)
    norms = [1.0]
    for weight, is_open in zip(weights[::-1], open_units[::-1], strict=True):
        gradient = (gradient * is_open) @ weight + (gradient if residual else 0)
        norms.append(float(np.linalg.norm(gradient, axis=1).mean()))
    return np.array(norms[::-1])


def _rows(stack: Stack, size: Pair, seen: tuple[float, float, float], path: str) -> Iterator[Row]:
    for part in stack:
        if isinstance(part, Paths):
            for number, inner in enumerate(part.stacks, 1):
                yield from _rows(inner, size, seen, "residual" if part.residual else f"branch {number}")
        after, field = _through((part,), size, seen)
        if isinstance(part, Layer):
            yield Row(
                describe(part), path, part, after, cost(part, size), round(field[2] - field[1]) + 1, field[0]
            )
        size, seen = after, field


def _through(
    stack: Stack, size: Pair, seen: tuple[float, float, float]
) -> tuple[Pair, tuple[float, float, float]]:
    """Size and receptive field behind the stack, from those before it."""
    for part in stack:
        if isinstance(part, Paths):
            ends = [_through(inner, size, seen) for inner in part.stacks]
            if part.residual:
                ends.append((size, seen))
            if len({end[0] for end in ends}) > 1:
                sizes = " and ".join(f"{h} × {w}" for h, w in dict.fromkeys(end[0] for end in ends))
                raise BadStack(
                    f"Paths that are joined have the sizes {sizes}: pad them to be equal (k3 with p1, "
                    "k5 with p2), with the same strides."
                )
            size = ends[0][0]
            seen = (ends[0][1][0], min(end[1][1] for end in ends), max(end[1][2] for end in ends))
            continue
        try:
            after = output_size(part, size)
        except BadLayer as error:
            raise BadStack(f"{describe(part)} on {size[0]} × {size[1]}: {error}") from None
        jump, first, last = seen
        reach, stride, padding = part.extent[0] - 1, part.stride[0], part.paddings[0][0]
        if part.kind == "conv_transpose":
            seen = (jump / stride, first + jump * (padding - reach) / stride, last + jump * padding / stride)
        else:
            seen = (jump * stride, first - jump * padding, last + jump * (reach - padding))
        size = after
    return size, seen


def _back(stack: Stack, out: np.ndarray, size: Pair) -> np.ndarray:
    """Shares at the input of the stack from those at its output."""
    sizes = [size]
    for part in stack:
        sizes.append(_through((part,), sizes[-1], (1.0, 0.0, 0.0))[0])
    for part, before in zip(stack[::-1], sizes[-2::-1], strict=True):
        if isinstance(part, Paths):
            ways = [_back(inner, out, before) for inner in part.stacks] + ([out] if part.residual else [])
            out = np.mean(ways, axis=0)
        else:
            out = _back_through(part, out, before)
    return out


def _back_through(layer: Layer, out: np.ndarray, size: Pair) -> np.ndarray:
    # With equal weights rows and columns can be taken one after the other.
    rows, columns = (_taps(layer, out.shape[axis], size[axis], axis) for axis in (0, 1))
    return rows @ out @ columns.T


def _taps(layer: Layer, out: int, length: int, axis: int) -> np.ndarray:
    """(length, out): the share of each input row (axis 0) or column in each output row or column."""
    kernel, stride, dilation = layer.kernel_size[axis], layer.stride[axis], layer.dilation[axis]
    before = layer.paddings[axis][0]
    shares = np.zeros((length, out))
    for tap in range(kernel):
        if layer.kind == "conv_transpose":
            inside = np.arange(length)
            outside = inside * stride + tap * dilation - before
            good = (outside >= 0) & (outside < out)
            shares[inside[good], outside[good]] += stride / kernel
        else:
            outside = np.arange(out)
            inside = outside * stride + tap * dilation - before
            good = (inside >= 0) & (inside < length)
            shares[inside[good], outside[good]] += 1 / kernel
    return shares
