"""What Convoscope uses of PyTorch that is not promised to stay, each with what stands in for it."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.operator_schemas import get_signature_for_torch_op
from torch.utils._python_dispatch import (
    TorchDispatchMode as TorchDispatchMode,  # explained in PyTorch's notes
)


def state_versions(state: Mapping[Any, Any]) -> dict[str, int]:
    """The version of the format of each module in a state dict, by the module's name.

    PyTorch keeps them in an attribute of the dictionary. Where it is missing nothing is known of them, and a
    module that is loaded takes its own.
    """
    metadata = getattr(state, "_metadata", None)
    if not isinstance(metadata, Mapping):
        return {}
    found = {path: m.get("version") for path, m in metadata.items() if isinstance(m, Mapping)}
    return {path: v for path, v in found.items() if isinstance(path, str) and type(v) is int}


def set_state_versions(state: Mapping[Any, Any], versions: Mapping[str, int]) -> None:
    """Say in which version of its format the state of some modules is; the others keep theirs."""
    metadata = getattr(state, "_metadata", None)
    if metadata is not None:
        for path, version in versions.items():
            metadata.setdefault(path, {})["version"] = version


def version_of(tensor: Tensor) -> int:
    """A number that grows whenever the tensor is overwritten, to see whether what was made of it still holds.

    Where PyTorch has none, it is a hash of the contents: slower, and as good.
    """
    if not tensor.is_inference() and hasattr(tensor, "_version"):
        return tensor._version
    return hash(tensor.detach().cpu().contiguous().numpy().tobytes())


def is_watched() -> bool:
    """Whether somebody follows the operations of this thread: a trace, a transform, a dual number.

    What cannot be asked any more is taken for "nobody".
    """
    return _is_dispatched() or _is_transformed() or _has_duals()


def _is_dispatched() -> bool:
    try:
        from torch.utils._python_dispatch import _get_current_dispatch_mode
    except ImportError:
        return False
    return _get_current_dispatch_mode() is not None


def _is_transformed() -> bool:
    level = getattr(getattr(torch._C, "_functorch", None), "maybe_current_level", None)
    return level is not None and level() is not None


def _has_duals() -> bool:
    from torch.autograd import forward_ad

    return getattr(forward_ad, "_current_level", -1) >= 0


def operation_name(function: Any) -> str:
    """The name of an operation of ATen without its overload: "convolution", "relu_"."""
    return str(function.name()).split(".")[0].removeprefix("aten::")


def declared_defaults(function: Any) -> dict[str, object]:
    """The arguments in the declaration of an operation, in order, with their defaults; `NO_DEFAULT` without.

    Where the declaration cannot be read, `torch.fx` reads it; it calls the first one "input".
    """
    schema = getattr(function, "_schema", None)
    if schema is not None:
        return {a.name: a.default_value if a.has_default_value() else NO_DEFAULT for a in schema.arguments}
    signatures = get_signature_for_torch_op(function) or []
    declared = signatures[0].parameters.values() if signatures else ()
    return {
        "self" if p.name == "input" and not i else p.name: NO_DEFAULT if p.default is p.empty else p.default
        for i, p in enumerate(declared)
    }


NO_DEFAULT = object()


def base_written_by(function: Any, tensor: Tensor) -> Tensor | None:
    """The tensor that `tensor` is a part of, where the operation writes into it; None where it does not.

    Where PyTorch does not say which operations write, those do whose name ends with "_".
    """
    schema = getattr(function, "_schema", None)
    writes = operation_name(function).endswith("_") if schema is None else schema.is_mutable
    return getattr(tensor, "_base", None) if writes else None


_HOOKS = ("_forward_hooks", "_forward_pre_hooks")


def has_hooks(module: nn.Module) -> bool:
    """Whether somebody wants to be told of what the module or a part of it does, or changes it.

    What cannot be asked any more is taken for "nobody".
    """
    return any(getattr(part, name, None) for part in module.modules() for name in _HOOKS)


def forget_hooks(module: nn.Module) -> None:
    """Remove the hooks of a copy and its parts: those who watch the original must not hear of it."""
    for part in module.modules():
        for name in _HOOKS:
            if hasattr(part, name):
                setattr(part, name, OrderedDict())
