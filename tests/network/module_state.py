"""All that a module is at a moment, to be compared with what it is later."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


def state_of(module: nn.Module) -> dict[str, Any]:
    """The class, tensors, attributes, caches and hooks of every part, by their names."""
    return {
        f"{name} {attribute}": _seen(value)
        for name, part in module.named_modules()
        for attribute, value in {"class": type(part), **vars(part)}.items()
        if attribute != "_modules"
    } | {f"{name} children": tuple(part._modules) for name, part in module.named_modules()}


def _seen(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return (
            "tensor",
            value.data_ptr(),
            None if value.is_inference() else value._version,
            tuple(value.shape),
            value.stride(),
            value.requires_grad,
        )
    if isinstance(value, Mapping):
        return {str(key): _seen(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return [_seen(inner) for inner in value]
    return id(value) if isinstance(value, nn.Module) or callable(value) else repr(value)
