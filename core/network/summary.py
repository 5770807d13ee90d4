"""A network layer by layer, in the order of execution: shapes, parameters, MACs, receptive fields."""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import flop_registry

from core.network.receptive_field import FootprintObserver, ReceptiveField
from core.network.trace import trace_layers

# What PyTorch's counter does not list: a matrix times a vector (and which argument is the matrix), and the
# names under which a CPU does what it lists.
_WITH_A_VECTOR = {torch.ops.aten.mv: 0, torch.ops.aten.dot: 0, torch.ops.aten.addmv: 1}
_SAME_COST = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: (
        torch.ops.aten._scaled_dot_product_flash_attention
    ),
}


@dataclass(frozen=True)
class LayerSummary:
    """One layer.

    Attributes:
        name: In `named_modules()`; "" for what the network does outside of its layers.
        type: The module's class.
        output_shape: Without the batch: (C, H, W) or (F,); None for a layer that takes no part.
        trainable: Parameters that training changes.
        frozen: Parameters that it does not.
        macs: Multiplications with an addition, for one image.
        receptive_field: (height, width) in pixels, away from every border; None where it is not known.
        whole_image: Whether every place sees the whole image.
        jump: Pixels of the image from one place to the next; None where the layer has no places.
        calls: How often it runs; MACs are of all of them, shapes of the last.
    """

    name: str
    type: str
    output_shape: tuple[int, ...] | None
    trainable: int
    frozen: int
    macs: int
    receptive_field: tuple[int, int] | None = None
    whole_image: bool = False
    jump: tuple[float, float] | None = None
    calls: int = 1

    @property
    def parameters(self) -> int:
        return self.trainable + self.frozen


@dataclass(frozen=True)
class ModelSummary:
    """All layers, in the order in which they first answer; then those that take no part."""

    input_shape: tuple[int, int, int]
    layers: tuple[LayerSummary, ...]

    @property
    def trainable(self) -> int:
        return sum(layer.trainable for layer in self.layers)

    @property
    def frozen(self) -> int:
        return sum(layer.frozen for layer in self.layers)

    @property
    def parameters(self) -> int:
        return self.trainable + self.frozen

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)

    @property
    def activations(self) -> int:
        """Numbers that all layers put out for one image."""
        return sum(math.prod(layer.output_shape) for layer in self.layers if layer.output_shape)


def summarize(module: nn.Module, input_size: tuple[int, int], channels: int = 3) -> ModelSummary:
    """The summary of any module for images of one size. It runs once, without its weights, in milliseconds.

    Layers are the modules without children, and those with parameters or multiplications of their own. A
    parameter that two layers share counts in the first.

    Raises:
        BadNetwork: It takes no such image.
    """
    footprints, counter = FootprintObserver(input_size), _Counter()
    trace_layers(module, input_size, channels, [footprints, counter])
    own = _own_parameters(module)
    leaves = {name for name, part in module.named_modules() if not any(True for _ in part.children())}
    layers = []
    for name, seen in counter.layers.items():
        if name in leaves or seen.macs or any(own[name]):
            found = footprints.fields.get(name)
            known = found if isinstance(found, ReceptiveField) else None
            layers.append(
                LayerSummary(
                    name, seen.type, seen.output_shape, *own[name], seen.macs,
                    known.size if known else None,
                    known.is_whole_image if known else False,
                    known.jump if known else None,
                    seen.calls,
                )
            )  # fmt: skip
    for name, part in module.named_modules():
        if name not in counter.layers and any(own[name]):
            layers.append(LayerSummary(name, type(part).__name__, None, *own[name], 0, calls=0))
    return ModelSummary((channels, *input_size), tuple(layers))


@dataclass
class _Seen:
    type: str
    output_shape: tuple[int, ...] | None = None
    macs: int = 0
    calls: int = 0


@dataclass
class _Counter:
    """Counts multiplications by the layer they happen in."""

    layers: dict[str, _Seen] = field(default_factory=dict)
    _pending: dict[str, int] = field(default_factory=dict)

    def begin(self, inputs: Tensor) -> None:
        pass

    def operation(self, function: Any, arguments: tuple, settings: dict, output: Any, layer: str) -> None:
        macs = macs_of(function, arguments, settings, output)
        if macs:
            self._pending[layer] = self._pending.get(layer, 0) + macs

    def leave(self, layer: str, module: nn.Module, output: Any) -> None:
        seen = self.layers.setdefault(layer, _Seen(type(module).__name__))
        seen.calls += 1
        seen.macs += self._pending.pop(layer, 0)
        while isinstance(output, list | tuple) and output:
            output = output[0]
        if isinstance(output, Tensor):
            seen.output_shape = tuple(output.shape[1:])


def macs_of(function: Any, arguments: tuple, settings: dict, output: Any) -> int:
    """Multiplications with an addition that one operation of ATen costs; additions of a bias are free.

    Padding is counted as if it were multiplied, as everybody counts it.

    Source:
        PyTorch's own `torch.utils.flop_counter`, which counts both, so twice as much.
    """
    packet = function.overloadpacket
    if packet in _WITH_A_VECTOR:
        matrix = arguments[_WITH_A_VECTOR[packet]]
        return math.prod(matrix.shape)
    formula = flop_registry.get(_SAME_COST.get(packet, packet))
    return int(formula(*arguments, **settings, out_val=output)) // 2 if formula else 0


def _own_parameters(module: nn.Module) -> dict[str, tuple[int, int]]:
    """(trainable, frozen) of each module without its children; a shared parameter counts once."""
    counted: set[int] = set()
    found = {}
    for name, part in module.named_modules():
        counts = [0, 0]
        for parameter in part.parameters(recurse=False):
            if id(parameter) not in counted:
                counted.add(id(parameter))
                counts[0 if parameter.requires_grad else 1] += parameter.numel()
        found[name] = (counts[0], counts[1])
    return found


def short(count: float) -> str:
    """A count for people: 28_031_234 is "28.0 M"."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            value = count / size
            return f"{value:.1f} {unit}" if value < 100 else f"{value:.0f} {unit}"
    return f"{count:.0f}"
