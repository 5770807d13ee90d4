"""Which steps of a network leave each channel to itself: what channel c gives depends on channel c alone."""

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

_MODULES = (
    nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveMaxPool2d, nn.AdaptiveAvgPool2d, nn.Dropout, nn.Dropout2d,
    nn.Identity, nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU,
    nn.SiLU, nn.Mish, nn.Hardswish, nn.Hardsigmoid, nn.Sigmoid, nn.LogSigmoid, nn.Tanh, nn.Softplus,
    nn.Softsign, nn.ZeroPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d,
)  # fmt: skip
_FUNCTIONS: set[Callable[..., Any]] = {
    F.relu, F.relu6, F.leaky_relu, F.elu, F.gelu, F.silu, F.mish, F.hardswish, F.hardsigmoid, F.hardtanh,
    F.softplus, torch.relu, torch.sigmoid, torch.tanh, F.dropout, F.dropout2d,
    F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d, F.adaptive_max_pool2d, F.pad,
}  # fmt: skip
_METHODS = {"relu", "sigmoid", "tanh", "contiguous", "clone"}
# With something that is the same whichever channel is off.
_SUMS = {operator.add, operator.iadd, torch.add, operator.sub, operator.mul, operator.imul, torch.mul}
_OVER_PLACES = {torch.mean, torch.amax, "mean", "amax"}


def keeps_channels_apart(node: fx.Node, part: nn.Module | None, channels: int) -> bool:
    """Whether a step gives each of the channels its own output, whatever the others are.

    Args:
        part: The module that it calls, if it calls one.
        channels: How many channels it is given.
    """
    if part is not None:
        if isinstance(part, nn.BatchNorm2d):
            inside = all(isinstance(held, _MODULES) for held in part.children())  # timm's hold an activation
            return inside and not part.training and bool(part.track_running_stats)
        if isinstance(part, nn.Conv2d):  # depthwise
            return bool(part.groups == part.in_channels == part.out_channels == channels)
        if isinstance(part, nn.Flatten):
            return part.start_dim == 1 and part.end_dim == -1
        return isinstance(part, _MODULES)
    if node.op == "call_method":
        return node.target in _METHODS or _over_places(node) or _flattens(node)
    if node.op == "call_function":
        return node.target in _FUNCTIONS | _SUMS or _over_places(node) or _flattens(node)
    return False


def _over_places(node: fx.Node) -> bool:
    """A mean or maximum over height and width."""
    dims = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else None)
    return bool(
        node.target in _OVER_PLACES and isinstance(dims, tuple | list) and set(dims) <= {2, 3, -1, -2}
    )


def _flattens(node: fx.Node) -> bool:
    if node.target not in (torch.flatten, "flatten"):
        return False
    start = node.kwargs.get("start_dim", node.args[1] if len(node.args) > 1 else 0)
    end = node.kwargs.get("end_dim", node.args[2] if len(node.args) > 2 else -1)
    return bool(start == 1 and end == -1)
