"""What can be told of an operation of ATen by its declaration."""

from typing import Any

import torch

from core.compute.torch_internals import NO_DEFAULT, declared_defaults

# Operations that give every index what stood at that index, or a constant.
_POINTWISE = {
    "native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm", "clone", "detach",
    "alias", "_to_copy", "contiguous", "dropout", "native_dropout", "lift_fresh", "copy",
    "hardswish", "hardsigmoid", "hardtanh", "relu", "leaky_relu", "elu", "silu", "mish", "gelu", "softplus",
    "prelu", "threshold", "log_sigmoid_forward", "_prelu_kernel",
}  # fmt: skip


def is_pointwise(function: Any, name: str) -> bool:
    """Whether every element of the output depends only on the elements at its own place.

    Args:
        name: The operation's name without its namespace.
    """
    if name.removesuffix("_") in _POINTWISE or torch.Tag.pointwise in function.tags:
        return True
    if not name.endswith("_"):
        return False
    # In-place versions carry no tag of their own.
    plain = getattr(torch.ops.aten, name.removesuffix("_"), None)
    return plain is not None and any(
        torch.Tag.pointwise in getattr(plain, overload).tags for overload in plain.overloads()
    )


def arguments_by_name(function: Any, arguments: tuple, settings: dict) -> dict[str, Any]:
    """What an operation is given, by the names in its declaration; with the defaults of what is not given."""
    declared = declared_defaults(function)
    values = {name: default for name, default in declared.items() if default is not NO_DEFAULT}
    values.update(zip(declared, arguments, strict=False))
    return {**values, **settings}
