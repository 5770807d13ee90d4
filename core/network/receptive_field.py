"""Receptive fields: the part of the image that a place of a layer sees, exactly."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from core.compute.torch_internals import base_written_by, operation_name
from core.errors import ConvoscopeError, UnknownName
from core.network.receptive_field_rules import EMPTY_INTERVAL, Axis, Grid, Unknown, follow, of_image
from core.network.trace import trace_layers, twin_of


class UnknownReceptiveField(ConvoscopeError):
    """A layer behind an operation whose receptive field cannot be worked out."""


@dataclass(frozen=True)
class Box:
    """A part of the image: image[top:bottom, left:right], so that `bottom` and `right` are not in it.

    Attributes:
        clipped: Whether the receptive field reaches over the border of the image, where only padding is.
    """

    top: int
    left: int
    bottom: int
    right: int
    clipped: bool = False

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left


@dataclass(frozen=True, eq=False)
class ReceptiveField:
    """Where every place of a layer looks.

    All channels of a place share one box; where branches meet (a skip connection, Inception), it is the
    smallest box around what each of them sees. Boxes end at the image's border, since padding is not a pixel.

    Attributes:
        layer: Name in `named_modules()`.
        input_size: (height, width) of the image.
        map_size: (height, width) of the layer's output; (1, 1) once the places are mixed.
    """

    layer: str
    input_size: tuple[int, int]
    map_size: tuple[int, int]
    rows: Axis
    columns: Axis

    def box(self, y: int, x: int) -> Box:
        """What the place in row `y` and column `x` of the layer's output sees.

        Raises:
            UnknownReceptiveField: The layer has no such place, or it sees nothing but padding.
        """
        if not (0 <= y < self.map_size[0] and 0 <= x < self.map_size[1]):
            raise UnknownReceptiveField(
                f"The place ({y}, {x}) is not in the output of {self.layer!r}: choose a row from 0 to "
                f"{self.map_size[0] - 1} and a column from 0 to {self.map_size[1] - 1}."
            )
        top, bottom = _interval(self.rows, y)
        left, right = _interval(self.columns, x)
        if top > bottom or left > right:
            raise UnknownReceptiveField(
                f"The place ({y}, {x}) of {self.layer!r} sees only padding, no pixel of the image."
            )
        clipped = _is_clipped(self.rows.grid, y, bottom - top) or _is_clipped(
            self.columns.grid, x, right - left
        )
        return Box(top, left, bottom + 1, right + 1, clipped)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels away from every border, or of the largest box where there is no such."""
        return _size(self.rows), _size(self.columns)

    @property
    def jump(self) -> tuple[float, float] | None:
        """Pixels from one place to the next; None where there are no places or no regular ones."""
        if self.rows.grid is None or self.columns.grid is None:
            return None
        return self.rows.grid.jump, self.columns.grid.jump

    @property
    def is_whole_image(self) -> bool:
        """Whether every place sees all of the image."""
        return all(
            bool((axis.low == 0).all() and (axis.high == size - 1).all())
            for axis, size in zip((self.rows, self.columns), self.input_size, strict=True)
        )


def receptive_fields(
    module: nn.Module, input_size: tuple[int, int], channels: int = 3
) -> dict[str, ReceptiveField | UnknownReceptiveField]:
    """Of every layer that answers with a tensor, in the order of execution.

    The network runs once without weights; strides, dilations, padding, pools and every branch are followed
    through its operations. Global pooling, squeeze-excite and attention see the whole image. Where a shape is
    taken apart in a way that mixes places (windows of a Swin transformer), or where one of several branches
    sees nothing but padding, the box may be too large, never too small. A layer that runs
    several times counts with its last run.

    Returns:
        By the layer's name; an error to raise for what lies behind an operation that cannot be followed.
    Raises:
        BadNetwork: It takes no such image.
    """
    observer = FootprintObserver(input_size)
    trace_layers(module, input_size, channels, [observer])
    return observer.fields


def receptive_field(
    module: nn.Module, layer: str, input_size: tuple[int, int], channels: int = 3
) -> ReceptiveField:
    """Of one layer.

    Raises:
        UnknownName: There is no such layer, or it takes no part.
        UnknownReceptiveField: An operation before it cannot be followed; `gradient_box` measures instead.
    """
    found = receptive_fields(module, input_size, channels)
    if layer not in found:
        raise UnknownName("layer", layer, found)
    field = found[layer]
    if isinstance(field, UnknownReceptiveField):
        raise field
    return field


class FootprintObserver:
    """Follows footprints during `trace_layers`, and keeps those of the layers' outputs."""

    def __init__(self, input_size: tuple[int, int]) -> None:
        self.fields: dict[str, ReceptiveField | UnknownReceptiveField] = {}
        self._input_size = input_size
        # The tensors are kept, so that none gets the identity of one that is gone.
        self._known: dict[int, tuple[Tensor, Any]] = {}

    def begin(self, inputs: Tensor) -> None:
        self._known[id(inputs)] = (inputs, of_image(*self._input_size))

    def operation(self, function: Any, arguments: tuple, settings: dict, output: Any, layer: str) -> None:
        outputs = output if isinstance(output, list | tuple) else (output,)
        for position, tensor in enumerate(outputs):
            if not isinstance(tensor, Tensor):
                continue
            footprint = follow(function, arguments, settings, tensor, position, self._look_up)
            self._doubt_base(function, tensor, footprint)
            if footprint is not None:
                self._known[id(tensor)] = (tensor, footprint)

    def leave(self, layer: str, module: nn.Module, output: Any) -> None:
        while isinstance(output, list | tuple | dict) and output:
            output = next(iter(output.values())) if isinstance(output, dict) else output[0]
        footprint = self._look_up(output) if isinstance(output, Tensor) else None
        if footprint is None:
            return
        self.fields.pop(layer, None)
        if isinstance(footprint, Unknown):
            self.fields[layer] = UnknownReceptiveField(
                f"The receptive field of {layer!r} cannot be worked out: before it, {footprint.reason}. "
                "Measure it with gradient_box."
            )
            return
        rows, columns = footprint
        # Where the places are mixed, all of a map's places see the same.
        shape = output.shape[2:] if output.ndim == 4 else (1, 1)
        size = [shape[i] if axis.dim is None else len(axis.low) for i, axis in enumerate(footprint)]
        self.fields[layer] = ReceptiveField(layer, self._input_size, (size[0], size[1]), rows, columns)

    def _doubt_base(self, function: Any, tensor: Tensor, footprint: Any) -> None:
        """What is written into a part of a tensor changes the whole, which no longer is what it was."""
        base = base_written_by(function, tensor)
        if base is None or base.shape == tensor.shape:
            return
        if footprint is not None or self._look_up(base) is not None:
            name = operation_name(function)
            self._known[id(base)] = (base, Unknown(f"{name!r} writes into a part of a tensor"))

    def _look_up(self, tensor: Tensor) -> Any:
        found = self._known.get(id(tensor))
        return found[1] if found else None


def box_or_measure(module: nn.Module, layer: str, inputs: Tensor, y: int, x: int) -> tuple[Box, str]:
    """The exact box of one place, or the measured one with the reason why it is not exact.

    Shape:
        inputs: (1, C, H, W), normalized; looked at only where it must be measured
    Returns:
        The box, and "" or the reason.
    """
    height, width = inputs.shape[2:]
    try:
        return receptive_field(module, layer, (height, width), inputs.shape[1]).box(y, x), ""
    except UnknownReceptiveField as error:
        return gradient_box(module, layer, inputs, y, x), str(error)


def gradient_box(module: nn.Module, layer: str, inputs: Tensor, y: int, x: int) -> Box:
    """The box measured: where the gradient of one place of a layer's output is not zero.

    It shows what these weights and this image let through: a dead ReLU or a maximum taken elsewhere makes it
    smaller than `ReceptiveField.box`, which holds for every image. The network is copied for it.

    Shape:
        inputs: (1, C, H, W), normalized
    Raises:
        UnknownName: There is no such layer.
        UnknownReceptiveField: Its output is not a map, has no such place, or its gradient is zero everywhere.
    """
    twin = twin_of(module, str(inputs.device))
    parts = dict(twin.named_modules())
    if layer not in parts:
        raise UnknownName("layer", layer, parts)
    outputs: list[Any] = []
    forward = parts[layer].forward

    def keep(*args: Any, **kwargs: Any) -> Any:
        outputs.append(forward(*args, **kwargs))
        return outputs[-1]

    parts[layer].forward = keep
    inputs = inputs.detach().clone().requires_grad_()
    with torch.enable_grad():
        twin(inputs)
        output = outputs[-1] if outputs else None
        if not isinstance(output, Tensor) or output.ndim != 4:
            raise UnknownReceptiveField(f"The output of {layer!r} is not a map with rows and columns.")
        if not (0 <= y < output.shape[2] and 0 <= x < output.shape[3]):
            raise UnknownReceptiveField(
                f"The place ({y}, {x}) is not in the output of {layer!r}, which has {output.shape[2]} rows "
                f"and {output.shape[3]} columns."
            )
        # Weighed at random: behind a norm over the channels their plain sum is the same for every image.
        place = output[0, :, y, x]
        weights = torch.randn(place.shape, generator=torch.Generator().manual_seed(0)).to(place)
        (gradient,) = torch.autograd.grad((place * weights).sum(), inputs)
    seen = gradient[0].abs().sum(0) > 0
    if not bool(seen.any()):
        raise UnknownReceptiveField(
            f"The gradient of the place ({y}, {x}) of {layer!r} is zero everywhere: it is silent there on "
            f"this image. Choose another image or place."
        )
    rows = torch.nonzero(seen.any(1)).flatten().tolist()
    columns = torch.nonzero(seen.any(0)).flatten().tolist()
    return Box(rows[0], columns[0], rows[-1] + 1, columns[-1] + 1)


def _interval(axis: Axis, index: int) -> tuple[int, int]:
    at = 0 if axis.dim is None else index
    return int(axis.low[at]), int(axis.high[at])


def _is_clipped(grid: Grid | None, index: int, extent: int) -> bool:
    return grid is not None and grid.size > extent + 1


def _size(axis: Axis) -> int:
    if axis.grid is not None:
        return round(axis.grid.size)
    present = axis.low != EMPTY_INTERVAL[0]
    return int((axis.high - axis.low)[present].max() + 1) if present.any() else 0
