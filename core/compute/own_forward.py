"""A forward for one module alone, in place of the one of its class."""

import copy
from collections.abc import Callable
from typing import Any
from weakref import ref

from torch import nn


class OwnForward:
    """Calls `function(module, …)`. `set_forward` puts it into the module, where PyTorch looks first.

    The class, the names, the state dict and the hooks stay. A deep copy of the module has one too. It is
    pickled as Python pickles a method, by its name: what is read back has the forward of its class.
    The module is held weakly, so that a network that is no longer used is freed at once.
    """

    def __init__(self, module: nn.Module, function: Callable[..., Any]) -> None:
        self.function, self._module = function, ref(module)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(self._module(), *args, **kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> "OwnForward":
        return OwnForward(copy.deepcopy(self._module(), memo), self.function)  # type: ignore[arg-type]

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self._module(), "forward")


def set_forward(module: nn.Module, function: Callable[..., Any]) -> None:
    """Let this module run `function(module, …)` from now on."""
    module.forward = OwnForward(module, function)


def own_forward(module: nn.Module) -> Callable[..., Any] | None:
    """The function that `set_forward` was given; None where the module runs the forward of its class."""
    own = vars(module).get("forward")
    return own.function if isinstance(own, OwnForward) else None
