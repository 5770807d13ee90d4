"""What Convoscope uses of PyTorch that is not promised to stay, each with what stands in for it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


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
