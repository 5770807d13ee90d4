"""An exercise on one layer: its settings and all its numbers, as the browser's JSON and as an address.

In an address the numbers of a row are separated by spaces, rows by "~", channels by "~~", filters by "~~~":
`conv_x=1 1~1 1~~2 2~2 2` is an input of two channels.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from core.by_hand.conv_arithmetic import check_arrays
from core.by_hand.conv_layer import BadLayer, Layer, as_kind, output_size, pair
from core.settings import JsonObject

LARGEST_SIDE = 16
LARGEST_KERNEL = 7
MOST_CHANNELS = 8
LARGEST_OUTPUT = 40
# The address has these beside conv_x, conv_w, conv_b, conv_at and conv_predict.
_NUMBERS = ("stride", "padding", "dilation", "output_padding", "groups")


@dataclass(frozen=True, eq=False)
class Exercise:
    """A layer with the numbers in it.

    Attributes:
        weight: None in pooling.
        at: (out channel, row, column) of the output cell that is looked at.
        predict: The answer stays hidden until the viewer has typed one.
    """

    layer: Layer
    x: np.ndarray
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    at: tuple[int, int, int] = (0, 0, 0)
    predict: bool = False

    def __post_init__(self) -> None:
        if self.x.ndim == 3 and max(self.x.shape[1:]) > LARGEST_SIDE:
            raise BadLayer(
                "input",
                f"The input has {self.x.shape[1]} × {self.x.shape[2]} cells: by hand "
                f"up to {LARGEST_SIDE} × {LARGEST_SIDE}.",
            )
        if max(self.layer.in_channels, self.layer.out_channels) > MOST_CHANNELS:
            raise BadLayer(
                "in_channels",
                f"{max(self.layer.in_channels, self.layer.out_channels)} channels: by "
                f"hand up to {MOST_CHANNELS}.",
            )
        if max(self.layer.kernel_size) > LARGEST_KERNEL:
            raise BadLayer(
                "kernel_size",
                f"A kernel of {self.layer.kernel_size[0]} × {self.layer.kernel_size[1]}: "
                f"by hand up to {LARGEST_KERNEL} × {LARGEST_KERNEL}.",
            )
        check_arrays(self.layer, self.x, self.weight, self.bias)
        height, width = output_size(self.layer, (self.x.shape[1], self.x.shape[2]))
        if max(height, width) > LARGEST_OUTPUT:
            raise BadLayer(
                "stride",
                f"The output would have {height} × {width} cells: by hand up to "
                f"{LARGEST_OUTPUT} × {LARGEST_OUTPUT}.",
            )


def to_json(exercise: Exercise) -> JsonObject:
    """What the component in the browser takes, and sends back."""
    numbers = {name: _listed(getattr(exercise, name)) for name in ("x", "weight", "bias")}
    return {
        **asdict(exercise.layer),
        **numbers,
        "bias_on": exercise.layer.bias,
        "at": list(exercise.at),
        "predict": exercise.predict,
    }


def from_json(data: Mapping[str, Any]) -> Exercise:
    """The exercise a browser has sent.

    Raises:
        BadLayer: It is not one, or larger than is allowed.
    """
    x, weight, bias = (_array(data.get(name), name) for name in ("x", "weight", "bias"))
    if x is None or x.ndim != 3:
        raise BadLayer("input", "The exercise has no input of the shape (channels, rows, columns).")
    kind = str(data.get("kind", "conv"))
    pooling = kind in ("max_pool", "avg_pool")
    groups = _whole(data.get("groups", 1), "groups")
    if pooling:
        kernel_size, out_channels, weight, bias = pair(data.get("kernel_size", 2)), len(x), None, None
    elif weight is None or weight.ndim != 4:
        raise BadLayer(
            "weight", "The exercise has no kernel of the shape (filters, channels, rows, columns)."
        )
    else:
        kernel_size = pair(list(weight.shape[2:]))
        out_channels = weight.shape[1] * groups if kind == "conv_transpose" else weight.shape[0]
    padding = data.get("padding", 0)
    layer = Layer(
        kind,
        len(x),
        out_channels,
        kernel_size,
        pair(data.get("stride", 1), "stride"),
        padding if isinstance(padding, str) else pair(padding, "padding"),
        str(data.get("padding_mode", "zeros")),
        pair(data.get("dilation", 1), "dilation"),
        groups,
        bias is not None,
        data.get("ceil_mode") is True,
        pair(data.get("output_padding", 0), "output_padding"),
        data.get("count_include_pad", True) is not False,
    )
    at = data.get("at", (0, 0, 0))
    if not (isinstance(at, list | tuple) and len(at) == 3 and all(isinstance(v, int) and v >= 0 for v in at)):
        at = (0, 0, 0)
    return Exercise(layer, x, weight, bias, (at[0], at[1], at[2]), data.get("predict") is True)


def to_address(exercise: Exercise, start: Exercise | None = None) -> dict[str, str]:
    """The exercise as parameters of an address, without what is PyTorch's default or as in `start`.

    `start` is a convolution with PyTorch's defaults, the same that `from_address` gets as `default`.
    """
    layer, default = exercise.layer, as_kind(Layer(), exercise.layer.kind)
    address = {} if layer.kind == "conv" else {"conv_kind": layer.kind}
    if start is None or not np.array_equal(exercise.x, start.x):
        address["conv_x"] = numbers_to_text(exercise.x)
    if exercise.weight is None:
        address["conv_kernel"] = _pair_text(layer.kernel_size)
    elif start is None or start.weight is None or not np.array_equal(exercise.weight, start.weight):
        address["conv_w"] = numbers_to_text(exercise.weight)
    if exercise.bias is not None:
        address["conv_b"] = numbers_to_text(exercise.bias)
    for name in _NUMBERS:
        if getattr(layer, name) != getattr(default, name):
            address[f"conv_{name}"] = _pair_text(getattr(layer, name))
    if layer.padding_mode != "zeros":
        address["conv_mode"] = layer.padding_mode
    if layer.ceil_mode:
        address["conv_ceil"] = "1"
    if not layer.count_include_pad:
        address["conv_count_pad"] = "0"
    if exercise.at != (0, 0, 0):
        address["conv_at"] = " ".join(map(str, exercise.at))
    if exercise.predict:
        address["conv_predict"] = "1"
    return address


def from_address(address: Mapping[str, str], default: Exercise) -> Exercise:
    """The exercise of an address; without `conv_x`, `default` with the address's settings put in.

    Raises:
        BadLayer: A parameter is not what it should be; the message names it.
    """
    data = to_json(default)
    if "conv_x" in address or "conv_kind" in address:
        data = {"kind": address.get("conv_kind", "conv"), "x": data["x"], "weight": data["weight"]}
    for name, field, dimensions in (("conv_x", "x", 3), ("conv_w", "weight", 4), ("conv_b", "bias", 1)):
        if name in address:
            data[field] = numbers_from_text(address[name], dimensions, name)
    if "conv_kernel" in address:
        data["kernel_size"] = _pair_from(address["conv_kernel"], "conv_kernel")
    for name in _NUMBERS:
        text = address.get(f"conv_{name}")
        if text is not None:
            words = name == "padding" and text in ("same", "valid")
            data[name] = text if words else _pair_from(text, f"conv_{name}")
    if "conv_mode" in address:
        data["padding_mode"] = address["conv_mode"]
    if "conv_at" in address:
        data["at"] = [int(v) for v in address["conv_at"].split() if v.isdigit()]
    if "conv_ceil" in address:
        data["ceil_mode"] = address["conv_ceil"] == "1"
    if "conv_count_pad" in address:
        data["count_include_pad"] = address["conv_count_pad"] != "0"
    if "conv_predict" in address:
        data["predict"] = address["conv_predict"] == "1"
    return from_json(data)


def numbers_to_text(values: np.ndarray) -> str:
    """An array of one to four dimensions as the text of an address."""
    if values.ndim == 1:
        return " ".join(map(_number_text, values))
    return ("~" * (values.ndim - 1)).join(numbers_to_text(part) for part in values)


def numbers_from_text(text: str, dimensions: int, name: str) -> list[Any]:
    """The array of an address's text, as lists.

    Raises:
        BadLayer: A cell is not a number, or the rows are not equally long.
    """
    if dimensions == 1:
        return [_number(word, name) for word in text.replace(",", " ").split()]
    parts = [p for p in text.split("~" * (dimensions - 1)) if p.strip("~ ")]
    rows = [numbers_from_text(part.strip("~"), dimensions - 1, name) for part in parts]
    if not rows or len({len(row) for row in rows}) != 1:
        raise BadLayer(
            name,
            f"{name} is {text[:60]!r}: write rows of equally many numbers, with spaces between "
            "numbers, ~ between rows, ~~ between channels and ~~~ between filters.",
        )
    return rows


def with_settings(exercise: Exercise, **changes: Any) -> Exercise:
    """The same numbers under other settings of the layer."""
    return replace(exercise, layer=replace(exercise.layer, **changes))


def _number(word: str, name: str) -> float:
    try:
        over, _, under = word.partition("/")  # 1/9 is a number too
        value = float(over) / float(under or 1)
    except (ValueError, ZeroDivisionError, OverflowError):
        value = math.nan
    if not abs(value) < 1e9:
        raise BadLayer(name, f"{name} holds {word[:20]!r}: write a number like 2, -0.5 or 1/9 in every cell.")
    return value


def _number_text(value: float) -> str:
    """The shortest text that reads back as the same number: 2, -0.5, 1/9."""
    plain = repr(float(value)).removesuffix(".0")
    fraction = Fraction(float(value)).limit_denominator(999)
    return str(fraction) if len(plain) > 7 and float(fraction) == value else plain


def _array(value: Any, name: str) -> np.ndarray | None:
    if value is None:
        return None
    try:
        array = np.array(value, np.float64)
    except (TypeError, ValueError):
        array = np.array(np.nan)
    if array.size == 0 or array.size > 8 * 8 * 49 * 4 or not (np.abs(array) < 1e9).all():
        raise BadLayer(name, f"{name} is not a block of numbers: every cell needs one between −1e9 and 1e9.")
    return array


def _whole(value: Any, name: str) -> int:
    if isinstance(value, list | tuple):
        value = value[0]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise BadLayer(name, f"{name} is {value!r}: choose a whole number, 1 or more.")
    return value


def _pair_from(text: str, name: str) -> list[int]:
    words = text.replace(",", " ").replace("x", " ").split()
    if not 1 <= len(words) <= 2 or not all(word.isdigit() and len(word) < 4 for word in words):
        raise BadLayer(name, f"{name} is {text[:20]!r}: write a whole number, or two for rows and columns.")
    return [int(word) for word in words]


def _pair_text(value: Any) -> str:
    if isinstance(value, tuple):
        return str(value[0]) if value[0] == value[1] else f"{value[0]} {value[1]}"
    return str(value)


def _listed(array: np.ndarray | None) -> Any:
    return None if array is None else array.tolist()
