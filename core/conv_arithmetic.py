"""Convolution by hand: what comes out of a layer, cell by cell, and why, in NumPy and the standard library.

A `Layer` is a convolution, a transposed convolution or a pooling with PyTorch's own settings and rules. The
tests compare `forward` with `torch.nn.functional` over random shapes and settings.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from core.errors import ConvoscopeError, one_of

KINDS = {
    "conv": "Convolution",
    "conv_transpose": "Transposed convolution",
    "max_pool": "Max pooling",
    "avg_pool": "Average pooling",
}
PADDING_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}

Pair = tuple[int, int]


class BadLayer(ConvoscopeError):
    """A setting that a layer cannot have; `field` is the name of that setting."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class Layer:
    """One layer with the settings of `torch.nn.Conv2d`, `ConvTranspose2d`, `MaxPool2d` or `AvgPool2d`.

    Attributes:
        kind: A key of `KINDS`.
        padding: (rows, columns) on each side, or "same" or "valid" (convolution only).
        padding_mode: What stands in the padding of a convolution: a key of `PADDING_MODES`.
        output_padding: Rows and columns a transposed convolution adds at the end.
        count_include_pad: Average pooling divides by the padding's cells too.
    """

    kind: str = "conv"
    in_channels: int = 1
    out_channels: int = 1
    kernel_size: Pair = (3, 3)
    stride: Pair = (1, 1)
    padding: Pair | str = (0, 0)
    padding_mode: str = "zeros"
    dilation: Pair = (1, 1)
    groups: int = 1
    bias: bool = False
    ceil_mode: bool = False
    output_padding: Pair = (0, 0)
    count_include_pad: bool = True

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise BadLayer("kind", f"There is no layer of the kind {self.kind!r}. {one_of(KINDS)}")
        for field, least in (("in_channels", 1), ("out_channels", 1), ("groups", 1)):
            _check_whole(field, (getattr(self, field),), least)
        for field, least in (("kernel_size", 1), ("stride", 1), ("dilation", 1), ("output_padding", 0)):
            _check_whole(field, getattr(self, field), least)
        if not isinstance(self.padding, str):
            _check_whole("padding", self.padding, 0)
        if self.is_pooling:
            self._check_pooling()
        else:
            self._check_convolution()

    @property
    def is_pooling(self) -> bool:
        return self.kind in ("max_pool", "avg_pool")

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """The shape of PyTorch's `weight`: filters first, but input channels first when transposed."""
        if self.kind == "conv_transpose":
            return (self.in_channels, self.out_channels // self.groups, *self.kernel_size)
        return (self.out_channels, self.in_channels // self.groups, *self.kernel_size)

    @property
    def extent(self) -> Pair:
        """Rows and columns from the first to the last cell the kernel reads: dilation (kernel − 1) + 1."""
        (kh, kw), (dh, dw) = self.kernel_size, self.dilation
        return dh * (kh - 1) + 1, dw * (kw - 1) + 1

    @property
    def paddings(self) -> tuple[Pair, Pair]:
        """((top, bottom), (left, right)) in cells; "same" puts the odd one at the end, as PyTorch does."""
        if self.padding == "valid":
            return (0, 0), (0, 0)
        if self.padding == "same":
            spare = [extent - 1 for extent in self.extent]
            return (spare[0] // 2, spare[0] - spare[0] // 2), (spare[1] // 2, spare[1] - spare[1] // 2)
        assert not isinstance(self.padding, str)
        return (self.padding[0], self.padding[0]), (self.padding[1], self.padding[1])

    def _check_convolution(self) -> None:
        for field in ("in_channels", "out_channels"):
            if getattr(self, field) % self.groups:
                raise BadLayer(
                    "groups",
                    f"groups is {self.groups}, but {field} = {getattr(self, field)} is not a "
                    f"multiple of it: choose a divisor of both {self.in_channels} and {self.out_channels}.",
                )
        if self.padding_mode not in PADDING_MODES:
            raise BadLayer("padding_mode", f"padding_mode is {self.padding_mode!r}. {one_of(PADDING_MODES)}")
        if isinstance(self.padding, str):
            if self.padding not in ("same", "valid") or self.kind != "conv":
                words = 'a whole number, "same" or "valid"' if self.kind == "conv" else "a whole number"
                raise BadLayer("padding", f"padding is {self.padding!r}: write {words}.")
            if self.padding == "same" and self.stride != (1, 1):
                raise BadLayer(
                    "padding",
                    f'padding "same" with stride {_words(self.stride)}: PyTorch allows "same" '
                    "with stride 1 only. Write a number, or set the stride to 1.",
                )
        if self.kind == "conv_transpose":
            if self.padding_mode != "zeros":
                raise BadLayer(
                    "padding_mode",
                    f"padding_mode is {self.padding_mode!r}: a transposed convolution has zeros only.",
                )
            for added, stride, dilation in zip(self.output_padding, self.stride, self.dilation, strict=True):
                if added >= max(stride, dilation):
                    raise BadLayer(
                        "output_padding",
                        f"output_padding is {added}: it must be smaller than the stride "
                        f"({stride}) or the dilation ({dilation}).",
                    )

    def _check_pooling(self) -> None:
        if self.out_channels != self.in_channels:
            raise BadLayer(
                "out_channels",
                f"out_channels is {self.out_channels}: pooling keeps the "
                f"{self.in_channels} channels it gets.",
            )
        if isinstance(self.padding, str):
            raise BadLayer("padding", f"padding is {self.padding!r}: pooling takes a whole number.")
        if self.kind == "avg_pool" and self.dilation != (1, 1):
            raise BadLayer(
                "dilation", f"dilation is {_words(self.dilation)}: average pooling has none, write 1."
            )
        for padding, kernel in zip(self.padding, self.kernel_size, strict=True):
            if padding > kernel // 2:
                raise BadLayer(
                    "padding",
                    f"padding is {padding}: in pooling at most half of the kernel ({kernel}), which is "
                    f"{kernel // 2}, or a window could lie in the padding alone.",
                )


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


def output_size(layer: Layer, size: Pair) -> Pair:
    """Rows and columns that come out of an input of `size`.

    Raises:
        BadLayer: The kernel is larger than the padded input, or the padding more than its mode allows.
    """
    height, width = (_output_length(layer, size, axis) for axis in (0, 1))
    return height, width


def _output_length(layer: Layer, size: Pair, axis: int) -> int:
    length, extent, stride = size[axis], layer.extent[axis], layer.stride[axis]
    side = ("rows", "columns")[axis]
    if length < 1:
        raise BadLayer("input", f"The input has {length} {side}: it needs 1 or more.")
    before, after = layer.paddings[axis]
    if layer.kind == "conv_transpose":
        out = (length - 1) * stride - before - after + extent + layer.output_padding[axis]
        if out < 1:
            raise BadLayer(
                "padding",
                f"padding {before} cuts away all {out + before + after} {side} of the output: "
                "choose a smaller one.",
            )
        return out
    if layer.padding_mode == "reflect" and max(before, after) >= length:
        raise BadLayer(
            "padding",
            f"padding is {max(before, after)} with reflect: it must be smaller than the input's "
            f"{length} {side}, since the edge itself is not repeated.",
        )
    if layer.padding_mode == "circular" and max(before, after) > length:
        raise BadLayer(
            "padding",
            f"padding is {max(before, after)} with circular: at most the input's {length} "
            f"{side}, since it goes round once.",
        )
    room = length + before + after - extent
    ceil = layer.is_pooling and layer.ceil_mode
    out = (room + (stride - 1 if ceil else 0)) // stride + 1
    if out < 1:
        raise BadLayer(
            "kernel_size",
            f"The kernel needs {extent} {side}, but the padded input has {length + before + after}: "
            "choose a smaller kernel or dilation, or more padding.",
        )
    # A window that would begin in the padding behind the input is left out.
    return out - 1 if ceil and (out - 1) * stride >= length + before else out


def forward(
    layer: Layer, x: np.ndarray, weight: np.ndarray | None = None, bias: np.ndarray | None = None
) -> np.ndarray:
    """The layer's output.

    Shape:
        x: (C, H, W)
        weight: `layer.weight_shape`; None for pooling
        bias: (out_channels,) or None
        returns: (out_channels, H_out, W_out) float64
    Raises:
        BadLayer: The shapes do not fit the layer.
    """
    x = np.asarray(x, np.float64)
    check_arrays(layer, x, weight, bias)
    height, width = output_size(layer, (x.shape[1], x.shape[2]))
    if layer.is_pooling:
        return _pool(layer, x, (height, width))
    assert weight is not None
    weight = np.asarray(weight, np.float64)
    out = np.zeros((layer.out_channels, height, width))
    if bias is not None:
        out += np.asarray(bias, np.float64)[:, None, None]
    if layer.kind == "conv_transpose":
        return out + _conv_transpose(layer, x, weight, (height, width))
    ins, outs = layer.in_channels // layer.groups, layer.out_channels // layer.groups
    padded = _padded(layer, x)
    for (ky, kx), (rows, columns) in _tap_slices(layer, (height, width)):
        read = padded[:, rows, columns]
        for g in range(layer.groups):
            group = slice(g * outs, (g + 1) * outs)
            out[group] += np.tensordot(weight[group, :, ky, kx], read[g * ins : (g + 1) * ins], axes=1)
    return out


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


def divisor(layer: Layer, size: Pair, cell: Pair) -> int:
    """What average pooling divides the sum of a window by: its cells, with or without the padding's."""
    count = 1
    for axis in (0, 1):
        before, after = layer.paddings[axis]
        start = cell[axis] * layer.stride[axis] - before
        # Rows that only ceil_mode reaches are never counted, those of the padding where asked for.
        stop = min(start + layer.kernel_size[axis], size[axis] + after)
        if not layer.count_include_pad:
            start, stop = max(start, 0), min(stop, size[axis])
        count *= stop - start
    return count


def check_arrays(layer: Layer, x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None) -> None:
    """Raise `BadLayer` unless input, weight and bias have the layer's shapes."""
    if x.ndim != 3 or x.shape[0] != layer.in_channels:
        raise BadLayer(
            "input", f"The input has the shape {x.shape}: the layer takes ({layer.in_channels}, H, W)."
        )
    if layer.is_pooling:
        return
    if weight is None or weight.shape != layer.weight_shape:
        shape = None if weight is None else weight.shape
        raise BadLayer("weight", f"The weight has the shape {shape}: the layer needs {layer.weight_shape}.")
    if bias is not None and bias.shape != (layer.out_channels,):
        raise BadLayer(
            "bias", f"The bias has the shape {bias.shape}: the layer needs ({layer.out_channels},)."
        )


def pair(value: Any, field: str = "value") -> Pair:
    """A number or two as (rows, columns).

    Raises:
        BadLayer: It is neither.
    """
    values = tuple(value) if isinstance(value, list | tuple) else (value, value)
    if len(values) == 1:
        values *= 2
    if len(values) != 2 or not all(isinstance(v, int) and not isinstance(v, bool) for v in values):
        raise BadLayer(field, f"{field} is {value!r}: write a whole number, or two for rows and columns.")
    return values


def as_kind(layer: Layer, kind: str) -> Layer:
    """The same settings for another kind of layer, without those that it does not have."""
    pooling = kind in ("max_pool", "avg_pool")
    return replace(
        layer,
        kind=kind,
        out_channels=layer.in_channels if pooling else layer.out_channels,
        padding=(0, 0) if kind != "conv" and isinstance(layer.padding, str) else layer.padding,
        padding_mode=layer.padding_mode if kind == "conv" else "zeros",
        dilation=(1, 1) if kind == "avg_pool" else layer.dilation,
        groups=1 if pooling else layer.groups,
        bias=layer.bias and not pooling,
        output_padding=layer.output_padding if kind == "conv_transpose" else (0, 0),
        ceil_mode=layer.ceil_mode and pooling,
    )


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


def _padded(layer: Layer, x: np.ndarray) -> np.ndarray:
    if layer.padding_mode == "zeros":
        return np.pad(x, ((0, 0), *layer.paddings))
    return np.pad(x, ((0, 0), *layer.paddings), mode=PADDING_MODES[layer.padding_mode])  # type: ignore[call-overload]


def _tap_slices(layer: Layer, out: Pair) -> list[tuple[Pair, tuple[slice, slice]]]:
    """For every tap of the kernel, the part of the padded input that it reads for all output cells."""
    (kh, kw), (sh, sw), (dh, dw) = layer.kernel_size, layer.stride, layer.dilation
    return [
        (
            (ky, kx),
            (
                slice(ky * dh, ky * dh + (out[0] - 1) * sh + 1, sh),
                slice(kx * dw, kx * dw + (out[1] - 1) * sw + 1, sw),
            ),
        )
        for ky in range(kh)
        for kx in range(kw)
    ]


def _conv_transpose(layer: Layer, x: np.ndarray, weight: np.ndarray, out: Pair) -> np.ndarray:
    """Every input cell stamps the kernel, times its value, onto the output; the padding is then cut off."""
    ins, outs = layer.in_channels // layer.groups, layer.out_channels // layer.groups
    (top, bottom), (left, right) = layer.paddings
    canvas = np.zeros((layer.out_channels, out[0] + top + bottom, out[1] + left + right))
    for (ky, kx), (rows, columns) in _tap_slices(layer, (x.shape[1], x.shape[2])):
        for g in range(layer.groups):
            group = slice(g * ins, (g + 1) * ins)
            canvas[g * outs : (g + 1) * outs, rows, columns] += np.tensordot(
                weight[group, :, ky, kx].T, x[group], axes=1
            )
    return canvas[:, top : top + out[0], left : left + out[1]]


def _pool(layer: Layer, x: np.ndarray, out: Pair) -> np.ndarray:
    fill = -np.inf if layer.kind == "max_pool" else 0.0
    pads = [(0, 0)]
    for axis in (0, 1):
        before, after = layer.paddings[axis]
        reached = (out[axis] - 1) * layer.stride[axis] + layer.extent[axis]
        pads.append((before, max(after, reached - before - x.shape[axis + 1])))
    padded = np.pad(x, pads, constant_values=fill)
    windows = np.stack([padded[:, rows, columns] for _, (rows, columns) in _tap_slices(layer, out)])
    if layer.kind == "max_pool":
        return windows.max(axis=0)
    size = (x.shape[1], x.shape[2])
    divisors = [[divisor(layer, size, (i, j)) for j in range(out[1])] for i in range(out[0])]
    return windows.sum(axis=0) / np.array(divisors)


def _check_whole(field: str, values: tuple[Any, ...], least: int) -> None:
    for value in values:
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
            raise BadLayer(field, f"{field} is {value!r}: choose a whole number, {least} or more.")


def _words(values: Pair) -> str:
    return str(values[0]) if values[0] == values[1] else f"{values[0]} × {values[1]}"
