"""What a network is made of, as far as every place of a map depends on few places of the map before.

The network is followed once and fused (`core.network.fused_classifier`); each step is either a `LocalLayer`
or left as it is. Nothing goes by the name of a network: a convolution is an `nn.Conv2d`, whatever holds it.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from core.network.fused_classifier import FusedNetwork, fused_network, outputs_of
from core.network.fused_graph import ByPlace
from core.network.graph import NetworkGraph
from core.network.in_place_steps import InPlace, in_place

# One value in, one value out, place by place: batch norm in evaluation mode, activations, what does nothing.
_POINTWISE = (
    nn.BatchNorm2d, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU,
    nn.Mish, nn.Sigmoid, nn.LogSigmoid, nn.Tanh, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.Softplus,
    nn.Softsign, nn.Identity, nn.Dropout, nn.Dropout2d, ByPlace,
)  # fmt: skip
_POINTWISE_FUNCTIONS = {
    F.relu, F.relu6, F.leaky_relu, F.elu, F.selu, F.gelu, F.silu, F.mish, F.hardtanh, F.hardswish,
    F.hardsigmoid, F.softplus, F.sigmoid, torch.relu, torch.sigmoid, torch.tanh,
}  # fmt: skip
_POINTWISE_METHODS = {"relu", "sigmoid", "tanh", "contiguous", "clone"}
# Several maps of one size in, one out, place by place.
_JOINS = {operator.add, operator.sub, operator.mul, torch.add, torch.sub, torch.mul, torch.cat, torch.concat}
_JOIN_METHODS = {"add", "sub", "mul"}


@dataclass(frozen=True)
class Reach:
    """Along one axis: output o looks at the inputs o · stride − before + dilation · (0 … kernel − 1).

    Attributes:
        before: Places of padding before the first input.
        size_in: Inputs along the axis.
        size_out: Outputs along the axis.
    """

    kernel: int
    stride: int
    dilation: int
    before: int
    size_in: int
    size_out: int

    @property
    def after(self) -> int:
        """Places of padding behind the last input, as far as an output looks at them."""
        return max(0, self.inputs(self.size_out) - self.size_in - self.before)

    @property
    def place_by_place(self) -> bool:
        """Every output looks at the input at its own place only."""
        return self.kernel == self.stride == 1 and self.before == 0

    def inputs(self, outputs: int) -> int:
        """How many inputs that many neighboring outputs look at."""
        return (outputs - 1) * self.stride + self.dilation * (self.kernel - 1) + 1

    def touched(self, first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        """First and last output that looks at an input of `first` … `last`, borders left aside."""
        low = first + self.before - self.dilation * (self.kernel - 1)
        return -((-low).div(self.stride, rounding_mode="floor")), (last + self.before).div(
            self.stride, rounding_mode="floor"
        )


@dataclass(frozen=True)
class LocalLayer:
    """A step whose outputs look at a window of the inputs.

    Attributes:
        reach: Of the rows and of the columns.
        run: From padded input (N, C, h, w) to output, without padding of its own.
        padding: What stands in the padding: 0, or −∞ before a maximum.
        convolution: The module, where it is a convolution.
    """

    reach: tuple[Reach, Reach]
    run: Callable[[Tensor], Tensor]
    padding: float = 0.0
    convolution: nn.Conv2d | None = None


@dataclass(frozen=True)
class NetworkDescription:
    """A network as steps, in order, with their outputs for one input.

    Attributes:
        graph: Its steps, fused.
        layers: The steps that look at a window.
        pointwise: The steps that work place by place, on one map or on several of one size.
        in_place: Those of them that can be done in the memory of a map (…, C).
        changing: The steps that depend on the input.
        outputs: The output of every step for the input it was described with.
        proven: The windows with which answers from blocks were compared with those of whole passes.
    """

    graph: NetworkGraph
    layers: dict[fx.Node, LocalLayer]
    pointwise: frozenset[fx.Node]
    in_place: dict[fx.Node, InPlace]
    changing: frozenset[fx.Node]
    outputs: dict[fx.Node, Any]
    proven: set[int]


# What was found out about a network, as long as it is fused in the same way.
_known: WeakKeyDictionary[FusedNetwork, NetworkDescription] = WeakKeyDictionary()


def describe(module: nn.Module, inputs: Tensor) -> NetworkDescription | None:
    """Describe a network by one run on (1, C, H, W) inputs; None where its code cannot be followed.

    Code that decides by the colors it sees cannot be; nor is a network that someone watches by hooks, who
    would not be told of what happens in parts of maps.
    """
    network = fused_network(module, inputs)
    if network is None:
        return None
    outputs = outputs_of(network.graph, inputs)
    if network not in _known:
        _known[network] = replace(_described(network.graph, outputs), outputs={})
    return replace(_known[network], outputs=outputs)


def _described(graph: NetworkGraph, outputs: dict[fx.Node, Any]) -> NetworkDescription:
    changing: set[fx.Node] = set()
    layers: dict[fx.Node, LocalLayer] = {}
    pointwise: set[fx.Node] = set()
    overwriting: dict[fx.Node, InPlace] = {}
    for node in graph.nodes:
        if node is graph.images or any(source in changing for source in node.all_input_nodes):
            changing.add(node)
        if node.op in ("placeholder", "output", "get_attr") or node not in changing:
            continue
        maps = [outputs[source] for source in node.all_input_nodes if source in changing]
        if not (_is_map(outputs[node]) and maps and all(_is_map(map) for map in maps)):
            continue
        part = graph.part(node)
        layer = _layer(part, maps[0], outputs[node])
        if layer is not None:
            layers[node] = layer
        elif _is_pointwise(node, part, maps, outputs):
            pointwise.add(node)
            overwrite = _in_place(node, part, maps, outputs[node])
            if overwrite is not None:
                overwriting[node] = overwrite
    return NetworkDescription(
        graph, layers, frozenset(pointwise), overwriting, frozenset(changing), outputs, set()
    )


def _is_map(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim == 4 and value.is_floating_point()


def _is_pointwise(node: fx.Node, part: nn.Module | None, maps: list[Tensor], outputs: dict) -> bool:
    sizes = {tuple(map.shape[2:]) for map in (*maps, outputs[node])}
    if len(sizes) != 1:
        return False
    if part is not None:
        batch_statistics = isinstance(part, nn.BatchNorm2d) and part.running_mean is None
        return isinstance(part, _POINTWISE) and not part.training and not batch_statistics
    if node.target in _POINTWISE_FUNCTIONS or node.target in _POINTWISE_METHODS:
        return len(node.all_input_nodes) == 1
    if node.target not in _JOINS and node.target not in _JOIN_METHODS:
        return False
    if node.target in (torch.cat, torch.concat):
        along = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
        return along in (1, -3) and len(maps) == len(node.args[0])  # type: ignore[arg-type]
    # What does not change may be one number or one number a channel, not a map of its own.
    tensors = [outputs[source] for source in node.all_input_nodes if isinstance(outputs[source], Tensor)]
    still = [value for value in tensors if not any(value is map for map in maps)]
    return all(value.numel() == 1 or tuple(value.shape[-2:]) == (1, 1) for value in still)


def _in_place(node: fx.Node, part: nn.Module | None, maps: list[Tensor], after: Tensor) -> InPlace | None:
    overwrite = in_place(node, part) if len(maps) == len(node.all_input_nodes) == 1 else None
    if overwrite is None:
        return None
    # A norm that does more than was read off it shows here.
    again = maps[0].permute(0, 2, 3, 1).clone()
    overwrite(again)
    return overwrite if _close(again.permute(0, 3, 1, 2), after) else None


def _close(found: Tensor, expected: Tensor) -> bool:
    alike = found.shape == expected.shape
    return alike and torch.allclose(found, expected, rtol=1e-4, atol=1e-4 * _size(expected))


def _layer(part: nn.Module | None, before: Tensor, after: Tensor) -> LocalLayer | None:
    if isinstance(part, nn.Conv2d):
        layer = _convolution(part, before, after)
    elif type(part) is nn.MaxPool2d:
        layer = _max_pool(part, before, after)
    elif type(part) is nn.AvgPool2d:
        layer = _average_pool(part, before, after)
    else:
        return None
    if layer is None:
        return None
    # Padding that is not what was read off the module (timm's "same" is computed on the way) shows here.
    return layer if _close(layer.run(padded(before, layer)), after) else None


def padded(maps: Tensor, layer: LocalLayer) -> Tensor:
    """(N, C, H, W) with the layer's padding around, cut where no output looks."""
    rows, columns = layer.reach
    around = (columns.before, columns.after, rows.before, rows.after)
    return F.pad(maps, around, value=layer.padding) if any(around) else maps


def _size(values: Tensor) -> float:
    return max(1e-6, float(values.abs().max()))


def _convolution(part: nn.Conv2d, before: Tensor, after: Tensor) -> LocalLayer | None:
    if part.padding_mode != "zeros" or isinstance(part, nn.LazyConv2d):
        return None
    reach = tuple(
        _reach(
            part.kernel_size[axis], part.stride[axis], part.dilation[axis],
            part.padding[axis] if isinstance(part.padding, tuple) else None,
            before.shape[2 + axis], after.shape[2 + axis],
        )
        for axis in (0, 1)
    )  # fmt: skip

    def run(inputs: Tensor) -> Tensor:
        return F.conv2d(inputs, part.weight, part.bias, part.stride, 0, part.dilation, part.groups)

    return LocalLayer((reach[0], reach[1]), run, convolution=part)


def _reach(
    kernel: int, stride: int, dilation: int, padding: int | None, size_in: int, size_out: int
) -> Reach:
    extent = dilation * (kernel - 1) + 1
    if padding is None or (size_in + 2 * padding - extent) // stride + 1 != size_out:
        # "same": as much before as behind, the odd one behind.
        padding = max(0, (size_out - 1) * stride + extent - size_in) // 2
    return Reach(kernel, stride, dilation, padding, size_in, size_out)


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _max_pool(part: nn.MaxPool2d, before: Tensor, after: Tensor) -> LocalLayer | None:
    if part.return_indices:
        return None
    kernel, stride = _pair(part.kernel_size), _pair(part.stride)
    dilation, padding = _pair(part.dilation), _pair(part.padding)
    reach = tuple(
        Reach(kernel[i], stride[i], dilation[i], padding[i], before.shape[2 + i], after.shape[2 + i])
        for i in (0, 1)
    )

    def run(inputs: Tensor) -> Tensor:
        return F.max_pool2d(inputs, kernel, stride, 0, dilation)

    return LocalLayer((reach[0], reach[1]), run, padding=float("-inf"))


def _average_pool(part: nn.AvgPool2d, before: Tensor, after: Tensor) -> LocalLayer | None:
    kernel, stride, padding = _pair(part.kernel_size), _pair(part.stride), _pair(part.padding)
    if part.divisor_override is not None or (any(padding) and not part.count_include_pad):
        return None
    reach = tuple(
        Reach(kernel[i], stride[i], 1, padding[i], before.shape[2 + i], after.shape[2 + i]) for i in (0, 1)
    )

    def run(inputs: Tensor) -> Tensor:
        return F.avg_pool2d(inputs, kernel, stride, 0)

    return LocalLayer((reach[0], reach[1]), run)
