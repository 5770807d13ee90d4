"""One layer with the settings and the rules of PyTorch: what it may be, and how large its output is."""

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
        raise BadLayer("input", f"The input has {length} {side}: it needs at least 1.")
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
            f"{side}, since it wraps around once.",
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


def _check_whole(field: str, values: tuple[Any, ...], least: int) -> None:
    for value in values:
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
            raise BadLayer(field, f"{field} is {value!r}: choose a whole number, {least} or more.")


def _words(values: Pair) -> str:
    return str(values[0]) if values[0] == values[1] else f"{values[0]} × {values[1]}"
