"""A network before it is built: its names, shapes and size, without one number in memory."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import psutil
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from core.errors import ConvoscopeError, OutOfMemory, SettingError

# What makes tensors from nothing. Numbers that a constructor computes with come from the last three.
_WEIGHT_MAKERS = {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.eye}
_WEIGHT_MAKERS |= {torch.empty_strided, torch.randint, torch.normal}
# What sets the numbers of a tensor and leaves its shape: nothing to do where there are none.
_FILLERS = {torch.Tensor.uniform_, torch.Tensor.normal_, torch.Tensor.erfinv_, torch.Tensor.clamp_}
_FILLERS |= {torch.Tensor.mul_, torch.Tensor.add_, torch.Tensor.zero_, torch.Tensor.fill_, torch.Tensor.div_}
_NUMBER_MAKERS = {torch.tensor, torch.arange, torch.linspace}


class _OnMeta(TorchFunctionMode):
    """New tensors have a shape and no numbers. It holds for this thread only, unlike a default device."""

    def __init__(self, makers: set[Any]) -> None:
        super().__init__()
        self.makers = makers

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _FILLERS and args and args[0].is_meta:
            return args[0]
        if func in self.makers and kwargs.get("device") is None:
            kwargs = {**kwargs, "device": "meta"}
        return func(*args, **kwargs)


def without_numbers(make: Callable[[], nn.Module]) -> nn.Module:
    """What `make` returns, with every weight on the device "meta".

    Raises:
        SettingError: It cannot be built.
    """
    # Some constructors read the numbers that they compute shapes from: these are then made for real.
    for makers in (_WEIGHT_MAKERS | _NUMBER_MAKERS, _WEIGHT_MAKERS):
        try:
            with _OnMeta(makers):
                return make()
        except ConvoscopeError as error:
            failure: Exception = error
        except Exception as error:  # noqa: BLE001 - constructors of other libraries fail in their own ways
            failure = error
    if isinstance(failure, ConvoscopeError):
        raise failure
    raise SettingError(f"The network cannot be built: {str(failure).strip().partition(chr(10))[0][:300]}.")


def check_memory(module: nn.Module, name: str) -> None:
    """Refuse a network whose weights would take most of the memory that is free.

    Raises:
        OutOfMemory: They would; the message has both figures.
    """
    state: Mapping[str, torch.Tensor] = module.state_dict()
    needed = sum(value.numel() * value.element_size() for value in state.values())
    free = psutil.virtual_memory().available
    if needed > 0.8 * free:
        raise OutOfMemory(
            f"The network of {name!r} has {needed / 2**30:,.1f} GB of weights, and this machine has "
            f"{free / 2**30:,.1f} GB of memory free: choose a smaller network."
        )
