"""Layers in a row: sizes, parameters, MACs, memory, and what of the image one unit sees.

A stack is written one layer a line, which can be typed, sent in an address and read aloud:

    conv 64 k7 s2 p3          64 filters of 7 × 7, stride 2, padding 3
    max k3 s2 p1              also: avg
    conv 64 k3 p1 x4          four times
    residual: conv 64 k3 p1; conv 64 k3 p1         added to what went in
    branches: conv 64 k1 | conv 96 k1; conv 128 k5 p2      next to each other, joined by channels
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from core.conv_arithmetic import BadLayer, Layer, Pair, output_size
from core.errors import ConvoscopeError

_KINDS = {"conv": "conv", "max": "max_pool", "avg": "avg_pool", "up": "conv_transpose"}
_LONGEST = 200


class BadStack(ConvoscopeError):
    """A line of a stack that is no layer, or that does not fit the one before."""


@dataclass(frozen=True)
class Paths:
    """Stacks next to each other: joined by channels, or one of them added to its own input."""

    stacks: tuple[tuple["Layer | Paths", ...], ...]
    residual: bool = False


Stack = tuple[Layer | Paths, ...]


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


@dataclass(frozen=True)
class Row:
    """One layer of a stack with what goes in and comes out.

    Attributes:
        field: Rows of the image that one unit of the output sees.
        jump: Pixels of the image from one unit to the next.
    """

    text: str
    path: str
    layer: Layer
    size: Pair
    cost: Cost
    field: int
    jump: float


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


def parse_stack(text: str, in_channels: int) -> Stack:
    """The stack of a text, one layer a line; `#` begins a remark.

    Raises:
        BadStack: A line is none; the message has its number.
    """
    stack: list[Layer | Paths] = []
    channels = in_channels
    for number, line in enumerate(text.splitlines(), 1):
        line = line.split("#")[0].strip()
        if not line:
            continue
        try:
            new, channels = _parse_line(line, channels)
        except ConvoscopeError as error:
            raise BadStack(f"Line {number}, {line[:60]!r}: {error}") from None
        stack.extend(new)
        if len(stack) > _LONGEST:
            raise BadStack(f"Line {number}: the stack has more than {_LONGEST} layers; write fewer.")
    if not stack:
        raise BadStack("The stack is empty: write one layer a line, such as `conv 64 k3 p1`.")
    return tuple(stack)


def stack_rows(stack: Stack, size: Pair) -> list[Row]:
    """Every layer of the stack, the parallel ones one after the other, with sizes, cost and receptive field.

    Raises:
        BadStack: A layer does not fit the size it gets, or paths that are joined have different sizes.
    """
    return list(_rows(stack, size, (1.0, 0.0, 0.0), ""))


def receptive_field(stack: Stack, size: Pair) -> tuple[float, float, float]:
    """(jump, first, last): unit i of the output sees the image's rows from i · jump + first to i · jump + last.

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
    """Side of the smallest square around the heaviest pixel that holds `part` of all paths."""
    row, column = np.unravel_index(int(shares.argmax()), shares.shape)
    total = shares.sum()
    for half in range(max(shares.shape)):
        inside = shares[max(0, row - half) : row + half + 1, max(0, column - half) : column + half + 1].sum()
        if inside >= part * total - 1e-12:
            return 2 * half + 1
    return 2 * max(shares.shape) + 1


def gradient_norms(depth: int, gain: float, residual: bool, *, width: int = 64, seed: int = 0) -> np.ndarray:
    """Length of the loss's gradient at the input of each of `depth` random layers x → relu(W x) [+ x].

    The weights are He's, times `gain`; the gradient at the output has length 1, the mean of 8 inputs is taken.

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


def _parse_line(line: str, channels: int) -> tuple[list[Layer | Paths], int]:
    word, colon, rest = line.partition(":")
    if not colon:
        layers = list(_parse_layers(line, channels))
        return [*layers], layers[-1].out_channels
    word = word.strip().lower()
    if word not in ("residual", "branches"):
        raise BadLayer("stack", f"{word!r} before the colon: write residual: or branches:.")
    stacks = []
    for path in rest.split("|"):
        layers = []
        for part in filter(str.strip, path.split(";")):
            layers.extend(_parse_layers(part.strip(), layers[-1].out_channels if layers else channels))
        if not layers:
            raise BadLayer("stack", "one of the paths is empty: write layers with ; between them.")
        stacks.append(tuple(layers))
    outs = [layers[-1].out_channels for layers in stacks]
    if word == "branches":
        return [Paths(tuple(stacks))], sum(outs)
    if len(stacks) != 1 or outs[0] != channels:
        raise BadLayer(
            "stack",
            f"a residual path adds to its input: it must be one path that ends with {channels} "
            f"channels, and it ends with {outs[0]}.",
        )
    return [Paths(tuple(stacks), residual=True)], channels


def _parse_layers(text: str, channels: int) -> Iterator[Layer]:
    word, *options = text.lower().split()
    if word not in _KINDS:
        raise BadLayer("stack", f"{word!r} is no layer: begin with conv, max, avg or up.")
    kind = _KINDS[word]
    pooling = kind in ("max_pool", "avg_pool")
    numbers: dict[str, int] = {}
    padding: Pair | str | None = None
    for option in options:
        found = re.fullmatch(r"([kspdgx]?)(\d{1,5})", option)
        if option in ("same", "psame"):
            padding = "same"
        elif found and found[1] not in numbers:
            numbers[found[1]] = int(found[2])
        else:
            raise BadLayer(
                "stack",
                f"{option!r} is no setting: write filters as a number and k3, s2, p1, d2, g4, "
                "same or x5 (five times), each once.",
            )
    filters = numbers.get("", channels if pooling else 0)
    if pooling and "" in numbers and filters != channels:
        raise BadLayer("stack", f"pooling keeps its {channels} channels: leave the number {filters} out.")
    if filters < 1:
        raise BadLayer("stack", "how many filters? Write them behind the name: conv 64 k3.")
    kernel = numbers.get("k", 2 if pooling else 3)
    stride = numbers.get("s", kernel if pooling else 1)
    padding = padding or (numbers.get("p", 0),) * 2
    times = numbers.get("x", 1)
    if not 1 <= times <= 100:
        raise BadLayer("stack", f"x{times}: repeat a layer 1 to 100 times.")
    for _ in range(times):
        yield Layer(
            kind,
            channels,
            filters,
            (kernel, kernel),
            (stride, stride),
            padding,
            dilation=(numbers.get("d", 1),) * 2,
            groups=numbers.get("g", 1),
            bias=not pooling,
        )
        channels = filters


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
    (top, _), (left, _) = layer.paddings
    (sh, sw), (dh, dw) = layer.stride, layer.dilation
    taps = [(ky * dh, kx * dw) for ky in range(layer.kernel_size[0]) for kx in range(layer.kernel_size[1])]
    share = out / len(taps)
    if layer.kind == "conv_transpose":
        wide = np.zeros((size[0] * sh + layer.extent[0] + top, size[1] * sw + layer.extent[1] + left))
        wide[top : top + out.shape[0], left : left + out.shape[1]] = share[: wide.shape[0], : wide.shape[1]]
        found = np.zeros(size)
        for ky, kx in taps:
            found += wide[ky : ky + size[0] * sh : sh, kx : kx + size[1] * sw : sw]
        return found * sh * sw
    padded = np.zeros(
        (
            max(size[0] + 2 * layer.extent[0], out.shape[0] * sh + layer.extent[0]),
            max(size[1] + 2 * layer.extent[1], out.shape[1] * sw + layer.extent[1]),
        )
    )
    for ky, kx in taps:
        padded[ky : ky + out.shape[0] * sh : sh, kx : kx + out.shape[1] * sw : sw] += share
    return padded[top : top + size[0], left : left + size[1]]


def describe(layer: Layer) -> str:
    """The layer in the words of a stack: conv 64 k3 s2 p1."""
    word = {kind: name for name, kind in _KINDS.items()}[layer.kind]
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


STACKS: dict[str, tuple[str, str, str]] = {
    # name: (title, text, what to see)
    "vgg": (
        "Three 3 × 3 against one 7 × 7",
        "conv 64 k3 p1 x3",
        "Three 3 × 3 see 7 × 7 as one 7 × 7 does, with 27 weights a channel pair and not 49, and with two "
        "nonlinearities more. Replace the line by `conv 64 k7 p3` and compare.",
    ),
    "pointwise": (
        "Why 1 × 1: the bottleneck",
        "conv 256 k1\nconv 64 k1\nconv 64 k3 p1\nconv 256 k1",
        "1 × 1 to 64 channels, 3 × 3 there, 1 × 1 back to 256: from 256 to 256 channels with an eighth of the "
        "weights of one `conv 256 k3 p1`.",
    ),
    "inception": (
        "Why several branches: inception",
        "conv 192 k3 p1\nbranches: conv 64 k1 | conv 96 k1; conv 128 k3 p1 | conv 16 k1; conv 32 k5 p2 "
        "| max k3 s1 p1; conv 32 k1",
        "The same place is looked at in 1 × 1, 3 × 3 and 5 × 5 at once, and the next layer chooses. The 1 × 1 "
        "in front keeps the 5 × 5 cheap.",
    ),
    "residual": (
        "A residual path",
        "conv 64 k3 p1\nresidual: conv 64 k3 p1; conv 64 k3 p1\nresidual: conv 64 k3 p1; conv 64 k3 p1",
        "What goes in is added to what comes out, so a short way through 1 + f' stays open for the gradient: "
        "many paths lead straight to the middle pixel.",
    ),
    "pyramid": (
        "The pyramid that pooling makes",
        "conv 32 k3 p1\nmax k2\nconv 64 k3 p1\nmax k2\nconv 128 k3 p1\nmax k2\nconv 256 k3 p1\nmax k2",
        "Each pooling halves the rows and columns and doubles the jump, so that every later 3 × 3 sees twice as "
        "much of the image.",
    ),
    "dilated": (
        "Dilation without pooling",
        "conv 16 k3 p1\nconv 16 k3 p2 d2\nconv 16 k3 p4 d4\nconv 16 k3 p8 d8",
        "The receptive field doubles with every layer, the size and the number of weights a layer stay.",
    ),
}
