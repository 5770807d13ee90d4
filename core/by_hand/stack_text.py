"""Stacks of layers as text, and stacks to begin with.

A stack is written one layer a line, which can be typed, sent in an address and read aloud:

    conv 64 k7 s2 p3          64 filters of 7 × 7, stride 2, padding 3
    max k3 s2 p1              also: avg
    conv 64 k3 p1 x4          four times
    residual: conv 64 k3 p1; conv 64 k3 p1         added to what went in
    branches: conv 64 k1 | conv 96 k1; conv 128 k5 p2      next to each other, joined by channels
"""

import re
from collections.abc import Iterator

from core.by_hand.conv_layer import BadLayer, Layer, Pair
from core.by_hand.conv_stack import BadStack, Paths, Stack
from core.by_hand.layer_cost import WORDS
from core.errors import ConvoscopeError

_LONGEST = 100
_LARGEST = 64


def parse_stack(text: str, in_channels: int) -> Stack:
    """The stack of a text, one layer a line; `#` begins a remark.

    Raises:
        BadStack: A line is not a layer; the message has its number.
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
    if word not in WORDS:
        raise BadLayer("stack", f"{word!r} is not a layer: begin with conv, max, avg or up.")
    kind = WORDS[word]
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
                f"{option!r} is not a setting: write filters as a number and k3, s2, p1, d2, g4, "
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
    for name in "kspd":
        if numbers.get(name, 0) > _LARGEST:
            raise BadLayer("stack", f"{name}{numbers[name]} is too large: write at most {name}{_LARGEST}.")
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
        "1 × 1 to 64 channels, 3 × 3 there, 1 × 1 back to 256: from 256 to 256 channels with an eighth "
        "of the "
        "weights of one `conv 256 k3 p1`.",
    ),
    "inception": (
        "Why several branches: inception",
        "conv 192 k3 p1\nbranches: conv 64 k1 | conv 96 k1; conv 128 k3 p1 | conv 16 k1; conv 32 k5 p2 "
        "| max k3 s1 p1; conv 32 k1",
        "The same place is looked at in 1 × 1, 3 × 3 and 5 × 5 at once, and the next layer chooses. The "
        "1 × 1 "
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
        "Each pooling halves the rows and columns and doubles the jump, so that every later 3 × 3 sees "
        "twice as "
        "much of the image.",
    ),
    "dilated": (
        "Dilation without pooling",
        "conv 16 k3 p1\nconv 16 k3 p2 d2\nconv 16 k3 p4 d4\nconv 16 k3 p8 d8",
        "The receptive field doubles with every layer, the size and the number of weights a layer stay.",
    ),
}
