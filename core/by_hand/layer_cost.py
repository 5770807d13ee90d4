"""What one layer costs: parameters, MACs and memory; its size as a formula, and itself as code."""

from dataclasses import dataclass

import numpy as np

from core.by_hand.conv_layer import Layer, Pair, output_size

WORDS = {"conv": "conv", "max": "max_pool", "avg": "avg_pool", "up": "conv_transpose"}


@dataclass(frozen=True)
class Cost:
    """What one layer costs for one image.

    Attributes:
        macs: Multiply-accumulate operations; 0 in pooling, which has none.
        output_bytes: The output in float32.
    """

    parameters: int
    macs: int
    output_bytes: int


def cost(layer: Layer, size: Pair) -> Cost:
    """Parameters, MACs and memory of a layer on an input of `size`."""
    height, width = output_size(layer, size)
    output_bytes = 4 * layer.out_channels * height * width
    if layer.is_pooling:
        return Cost(0, 0, output_bytes)
    weights = int(np.prod(layer.weight_shape))
    # A transposed convolution multiplies once for every input cell, a convolution for every output cell.
    places = size[0] * size[1] if layer.kind == "conv_transpose" else height * width
    return Cost(weights + (layer.out_channels if layer.bias else 0), weights * places, output_bytes)


def formula(layer: Layer, size: Pair, axis: int) -> str:
    """The output's rows (axis 0) or columns (axis 1) in LaTeX, with the numbers put in."""
    out, length = output_size(layer, size)[axis], size[axis]
    kernel, stride, dilation = layer.kernel_size[axis], layer.stride[axis], layer.dilation[axis]
    before, after = layer.paddings[axis]
    name = "HW"[axis] + r"_\text{out}"
    pads = rf"2 \cdot {before}" if before == after else f"({before} + {after})"
    reach = rf"{dilation} \cdot ({kernel} - 1)"
    if layer.kind == "conv_transpose":
        added = layer.output_padding[axis]
        return rf"{name} = ({length} - 1) \cdot {stride} - {pads} + {reach} + {added} + 1 = {out}"
    bracket = "ceil" if layer.is_pooling and layer.ceil_mode else "floor"
    return (
        rf"{name} = \left\l{bracket} \frac{{{length} + {pads} - {reach} - 1}}{{{stride}}} "
        rf"\right\r{bracket} + 1 = {out}"
    )


def code(layer: Layer) -> str:
    """The layer as a line of PyTorch, with what differs from the defaults."""
    names = {
        "conv": "Conv2d",
        "conv_transpose": "ConvTranspose2d",
        "max_pool": "MaxPool2d",
        "avg_pool": "AvgPool2d",
    }
    parts = [] if layer.is_pooling else [str(layer.in_channels), str(layer.out_channels)]
    parts.append(f"kernel_size={_plain(layer.kernel_size)}")
    if layer.stride != (layer.kernel_size if layer.is_pooling else (1, 1)):
        parts.append(f"stride={_plain(layer.stride)}")
    if layer.padding not in ((0, 0), "valid"):
        parts.append(
            f'padding="{layer.padding}"'
            if isinstance(layer.padding, str)
            else f"padding={_plain(layer.padding)}"
        )
    for name, value, default in (
        ("output_padding", _plain(layer.output_padding), "0"),
        ("groups", str(layer.groups), "1"),
        ("bias", str(layer.bias), "False" if layer.is_pooling else "True"),
        ("dilation", _plain(layer.dilation), "1"),
        ("padding_mode", f'"{layer.padding_mode}"', '"zeros"'),
        ("ceil_mode", str(layer.ceil_mode), "False"),
        ("count_include_pad", str(layer.count_include_pad), "True" if layer.kind == "avg_pool" else None),
    ):
        if default is not None and value != default:
            parts.append(f"{name}={value}")
    return f"torch.nn.{names[layer.kind]}({', '.join(parts)})"


def describe(layer: Layer) -> str:
    """The layer in the words of a stack: conv 64 k3 s2 p1."""
    word = {kind: name for name, kind in WORDS.items()}[layer.kind]
    parts = [word] if layer.is_pooling else [word, str(layer.out_channels)]
    parts.append(f"k{layer.kernel_size[0]}")
    if layer.stride[0] != (layer.kernel_size[0] if layer.is_pooling else 1):
        parts.append(f"s{layer.stride[0]}")
    if layer.padding == "same":
        parts.append("same")
    elif not isinstance(layer.padding, str) and layer.padding[0]:
        parts.append(f"p{layer.padding[0]}")
    if layer.dilation[0] > 1:
        parts.append(f"d{layer.dilation[0]}")
    if layer.groups > 1:
        parts.append(f"g{layer.groups}")
    return " ".join(parts)


def _plain(values: Pair) -> str:
    return str(values[0]) if values[0] == values[1] else str(values)
