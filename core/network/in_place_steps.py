"""Steps that can be done in the memory of the values they are given: batch norm and rectifiers."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

InPlace = Callable[[Tensor], object]


def in_place(node: fx.Node, part: nn.Module | None) -> InPlace | None:
    """The step on values (…, C); None where it needs memory of its own."""
    if isinstance(part, nn.BatchNorm2d):
        inside = getattr(part, "act", None)  # timm's norms have their activation inside
        activation = None if inside is None else _activation(inside)
        if inside is not None and activation is None:
            return None
        return partial(_normalize, part, activation)
    if part is not None:
        return _activation(part)
    return _rectify if node.target in (F.relu, torch.relu, "relu") else None


def _activation(part: nn.Module) -> InPlace | None:
    if type(part) is nn.Identity:
        return _leave
    if type(part) is nn.ReLU:
        return _rectify
    return _rectify_to_6 if type(part) is nn.ReLU6 else None


def _leave(values: Tensor) -> None:
    pass


def _rectify(values: Tensor) -> None:
    values.clamp_(min=0)


def _rectify_to_6(values: Tensor) -> None:
    values.clamp_(0, 6)


def scale_and_shift(part: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """What a batch norm in evaluation multiplies by and adds, of the weights as they are now.

    Shape:
        returns: (C,), (C,)
    """
    assert part.running_mean is not None
    assert part.running_var is not None
    scale = torch.rsqrt(part.running_var + part.eps)
    if part.weight is not None:
        scale = scale * part.weight
    shift = -part.running_mean * scale
    if part.bias is not None:
        shift = shift + part.bias
    return scale, shift


def _normalize(part: nn.BatchNorm2d, activation: InPlace | None, values: Tensor) -> None:
    scale, shift = scale_and_shift(part)
    torch.addcmul(shift, values, scale, out=values)
    if activation is not None:
        activation(values)
