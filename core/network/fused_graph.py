"""A network with less to do for the same answer: what training needed several layers for is one.

In evaluation a batch norm is a factor and a sum for each channel, and so belongs into the weights of the
convolution before it; weights that are standardized anew in every pass are standardized once; parallel
convolutions whose outputs are added (RepVGG, MobileOne) are one convolution with the sum of their kernels;
layers between two permutations that work on the channels of each place (ConvNeXt) are one step on maps; what
leaves its input as it is goes. All of it follows from the steps alone, not from names of networks, and is
compared with what the network gave. The answers differ from the network's by rounding.
"""

import operator
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode

from core.compute.convolution import fast_convolutions
from core.compute.torch_internals import version_of
from core.network.graph import NetworkGraph
from core.network.in_place_steps import scale_and_shift

_NOTHING = (nn.Identity, nn.Dropout, nn.Dropout2d, nn.AlphaDropout)  # in evaluation
# On (N, H, W, C) these work on each place alone.
_BY_PLACE = (
    nn.Linear, nn.LayerNorm, nn.GELU, nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish, nn.Sigmoid, nn.Tanh,
    nn.LeakyReLU, nn.ELU, nn.Mish,
)  # fmt: skip
_TO_LAST, _TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)
Outputs = dict[fx.Node, Any]


class ByPlace(nn.Sequential):
    """Layers that work on the channels of each place, on maps (N, C, H, W)."""

    def forward(self, maps: Tensor) -> Tensor:
        values = maps.permute(*_TO_LAST)
        for layer in self:
            values = layer(values)
        return values.permute(*_TO_FIRST)

    @property
    def multiplications(self) -> int:
        """Of one place."""
        return sum(layer.weight.numel() for layer in self if isinstance(layer, nn.Linear))


class PaddedConv2d(nn.Conv2d):
    """A convolution that puts more zeros on one side than on the other.

    Attributes:
        around: Zeros left, right, above, below.
    """

    around: tuple[int, int, int, int] = (0, 0, 0, 0)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(F.pad(input, self.around))


def weights_state(module: nn.Module) -> tuple[Any, ...]:
    """What changes when any weight or statistic of a network does."""
    tensors = [*module.parameters(), *module.buffers()]
    return tuple((tensor.data_ptr(), version_of(tensor)) for tensor in tensors)


@torch.no_grad()
def fuse(graph: NetworkGraph, outputs: Outputs) -> None:
    """Rewrite a graph, which nobody else uses, into one with fewer steps.

    Args:
        outputs: The output of every step in one run.
    """
    for node in list(graph.nodes):
        if _does_nothing(graph, node, outputs):
            graph.put(node, [], node.all_input_nodes[0])
    for node in list(graph.nodes):
        if isinstance(graph.part(node), nn.Conv2d) and len(node.args) == 1 and not node.kwargs:
            _fold(graph, node, outputs)
    for node in list(graph.nodes):
        if node in graph.nodes and node.target in (operator.add, operator.iadd, torch.add):
            _add_up(graph, node, outputs)
    for node in list(graph.nodes):
        if node in graph.nodes:
            _join_by_place(graph, node, outputs)


def _does_nothing(graph: NetworkGraph, node: fx.Node, outputs: Outputs) -> bool:
    part = graph.part(node)
    if part is None or part.training or len(node.all_input_nodes) != 1 or len(node.args) != 1:
        return False
    before, after = outputs[node.all_input_nodes[0]], outputs[node]
    return isinstance(after, Tensor) and (type(part) in _NOTHING or after is before)


def _put(
    graph: NetworkGraph, node: fx.Node, parts: Sequence[nn.Module], source: fx.Node, outputs: Outputs
) -> None:
    """Parts instead of a step, if they give the same."""
    value = outputs[source]
    found = []
    for part in parts:
        value = part.eval()(value)
        found.append(value)
    expected = outputs[node]
    if value.shape != expected.shape or not _close(value, expected):
        return
    for made, output in zip(graph.put(node, parts, source), found, strict=True):
        outputs[made] = output


def _close(found: Tensor, expected: Tensor) -> bool:
    return torch.allclose(found, expected, rtol=1e-4, atol=1e-5 * max(1e-6, float(expected.abs().max())))


def _next(node: fx.Node) -> fx.Node | None:
    """The one step that reads a step's output, as its only argument."""
    users = list(node.users)
    if len(users) != 1 or users[0].args[:1] != (node,) or len(users[0].all_input_nodes) != 1:
        return None
    return users[0]


def _fold(graph: NetworkGraph, node: fx.Node, outputs: Outputs) -> None:
    """A convolution with the batch norm behind it."""
    part, source = graph.part(node), node.all_input_nodes[0]
    assert isinstance(part, nn.Conv2d)
    plain = _plain_convolution(part, outputs[source])
    if plain is None:
        return
    behind = _next(node)
    norm = None if behind is None else graph.part(behind)
    if behind is None or not isinstance(norm, nn.BatchNorm2d) or norm.training or norm.running_mean is None:
        if plain is not part:
            _put(graph, node, [plain], source, outputs)
        return
    scale, shift = scale_and_shift(norm)
    bias = shift if plain.bias is None else shift + plain.bias * scale
    parts: list[nn.Module] = [_like(plain, plain.weight * scale.view(-1, 1, 1, 1), bias)]
    inside = getattr(norm, "act", None)  # timm's norms have their activation inside
    if inside is not None and type(inside) is not nn.Identity:
        parts.append(inside)
    _put(graph, behind, parts, source, outputs)


def _like(old: nn.Conv2d, weight: Tensor, bias: Tensor | None, padding: Any = None) -> nn.Conv2d:
    """A convolution with other weights."""
    around = getattr(old, "around", (0, 0, 0, 0))
    kind = PaddedConv2d if any(around) else nn.Conv2d
    k, c, *size = weight.shape
    settings: dict[str, Any] = {
        "stride": old.stride, "padding": old.padding if padding is None else padding,
        "dilation": old.dilation, "groups": old.groups, "bias": bias is not None,
    }  # fmt: skip
    new = kind(c * old.groups, k, (size[0], size[1]), device="meta", **settings)
    new.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last), requires_grad=False)
    if bias is not None:
        new.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    if isinstance(new, PaddedConv2d):
        new.around = around
    fast_convolutions(new.eval())
    return new


class _Calls(TorchFunctionMode):
    """Keeps what the convolutions inside are called with."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, ...]] = []

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if func in (torch.conv2d, F.conv2d):
            names = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
            given = dict(zip(names, args, strict=False)) | (kwargs or {})
            self.calls.append((given, output))
        return output


def _plain_convolution(part: nn.Conv2d, given: Tensor) -> nn.Conv2d | None:
    """A convolution with constant weights that gives what `part` gives; itself where it is one.

    timm's subclasses standardize their weights in every pass, or pad as TensorFlow does: one run is watched,
    and what it convolved with is put to the test on another input.
    """
    if part.padding_mode != "zeros" or isinstance(part, nn.LazyConv2d) or not isinstance(given, Tensor):
        return None
    if type(part).forward is nn.Conv2d.forward:
        return part
    with _Calls() as seen:
        output = part(given)
    if len(seen.calls) != 1 or seen.calls[0][1] is not output:
        return None
    call = seen.calls[0][0]
    weight, inner, padding = call["weight"], call["input"], call.get("padding", 0)
    if not (isinstance(weight, Tensor) and weight.shape == part.weight.shape) or isinstance(padding, str):
        return None
    more = [inner.shape[axis] - given.shape[axis] for axis in (-1, -2)]
    around = [side for extra in more for side in (extra // 2, extra - extra // 2)]
    kind = PaddedConv2d if any(around) else nn.Conv2d
    settings: dict[str, Any] = {
        "kernel_size": tuple(weight.shape[2:]), "padding": padding, "stride": call.get("stride", 1),
        "dilation": call.get("dilation", 1), "groups": call.get("groups", 1),
    }  # fmt: skip
    frame = kind(part.in_channels, part.out_channels, device="meta", **settings)
    if isinstance(frame, PaddedConv2d):
        frame.around = (around[0], around[1], around[2], around[3])
    plain = _like(frame, weight.detach().clone(), call.get("bias"))
    other = torch.rand_like(given)
    found, expected = plain(other), part(other)
    return plain if found.shape == expected.shape and _close(found, expected) else None


def _add_up(graph: NetworkGraph, node: fx.Node, outputs: Outputs) -> None:
    """Convolutions of the same maps, added, as one."""
    if len(node.args) != 2 or node.kwargs or not all(isinstance(a, fx.Node) for a in node.args):
        return
    terms = [graph.part(term) for term in node.all_input_nodes]
    if len(terms) != 2 or any(len(term.users) > 1 for term in node.all_input_nodes):
        return
    sources = [term.all_input_nodes for term in node.all_input_nodes]
    if len(sources[0]) != 1 or sources[0] != sources[1]:
        return
    merged = _sum(*terms)
    if merged is not None:
        _put(graph, node, [merged], sources[0][0], outputs)


def _sum(one: nn.Module | None, other: nn.Module | None) -> nn.Conv2d | None:
    """The convolution that gives the sum of what two give; one may be a batch norm."""
    if isinstance(one, nn.BatchNorm2d):
        one, other = other, one
    if isinstance(other, nn.BatchNorm2d) and isinstance(one, nn.Conv2d):
        other = _norm_as_convolution(other, one)
    if not (isinstance(one, nn.Conv2d) and isinstance(other, nn.Conv2d)):
        return None
    both = (one, other)
    if any(type(part).forward is not nn.Conv2d.forward or isinstance(part.padding, str) for part in both):
        return None
    if (one.stride, one.groups, one.dilation, one.out_channels) != (
        other.stride, other.groups, other.dilation, other.out_channels,
    ) or one.dilation != (1, 1):  # fmt: skip
        return None
    padding = [max(int(part.padding[axis]) for part in both) for axis in (0, 1)]
    behind = [
        max(part.kernel_size[axis] - int(part.padding[axis]) for part in both) for axis in (0, 1)
    ]  # how far each kernel goes from the place it is at
    size = [before + after for before, after in zip(padding, behind, strict=True)]
    weight = one.weight.new_zeros(*one.weight.shape[:2], *size)
    if weight.numel() > one.weight.numel() + other.weight.numel():
        return None  # a row and a column are not a square
    bias = None
    for part in both:
        top, left = (padding[axis] - int(part.padding[axis]) for axis in (0, 1))
        weight[:, :, top : top + part.kernel_size[0], left : left + part.kernel_size[1]] += part.weight
        if part.bias is not None:
            bias = part.bias if bias is None else bias + part.bias
    return _like(one, weight, bias, tuple(padding))


def _norm_as_convolution(norm: nn.BatchNorm2d, beside: nn.Conv2d) -> nn.Conv2d | None:
    """A batch norm as a 1×1 convolution with as many groups as the one it is added to."""
    if norm.training or norm.running_mean is None or beside.in_channels != beside.out_channels:
        return None
    if getattr(norm, "act", None) is not None and type(norm.act) is not nn.Identity:
        return None
    if beside.stride != (1, 1):
        return None
    scale, shift = scale_and_shift(norm)
    channels = torch.arange(norm.num_features)
    weight = scale.new_zeros(norm.num_features, norm.num_features // beside.groups, 1, 1)
    weight[channels, channels % weight.shape[1], 0, 0] = scale
    return _like(beside, weight, shift, (0, 0))


def _join_by_place(graph: NetworkGraph, node: fx.Node, outputs: Outputs) -> None:
    """From the step that brings the channels to the end to the one that brings them back."""
    part = graph.part(node)
    if isinstance(part, nn.LayerNorm) and len(node.all_input_nodes) == 1 and outputs[node].ndim == 4:
        # timm's and torchvision's norms of maps permute inside.
        if type(part).forward is not nn.LayerNorm.forward and len(part.normalized_shape) == 1:
            norm = nn.LayerNorm(part.normalized_shape, part.eps, part.elementwise_affine, device="meta")
            norm.weight, norm.bias = part.weight, part.bias
            _put(graph, node, [ByPlace(norm)], node.all_input_nodes[0], outputs)
        return
    if not _permutes(graph, node, _TO_LAST):
        return
    layers: list[nn.Module] = []
    last = _next(node)
    while last is not None and isinstance(layer := graph.part(last), _BY_PLACE):
        if isinstance(layer, nn.LayerNorm) and len(layer.normalized_shape) > 1:
            return
        layers.append(layer)
        last = _next(last)
    if last is not None and layers and _permutes(graph, last, _TO_FIRST):
        _put(graph, last, [ByPlace(*layers)], node.all_input_nodes[0], outputs)


def _permutes(graph: NetworkGraph, node: fx.Node, order: tuple[int, ...]) -> bool:
    if node.op == "call_module":
        return getattr(graph.part(node), "dims", None) in (order, list(order))
    if node.target not in ("permute", torch.permute):
        return False
    given = node.args[1:]
    return given == order or (len(given) == 1 and tuple(given[0]) == order)  # type: ignore[arg-type]
