"""Following a network's code with `torch.fx` without disturbing anybody else.

While `torch.fx` traces, it replaces `nn.Module.__call__` and `__getattr__` for the whole process. Two things
follow, and `Tracer` takes care of both: a forward pass in another thread goes on as if nothing had happened,
and two traces wait for each other (each would put back what the other had replaced).

What is traced is run with proxies instead of tensors, and a network that remembers something during its
forward pass (the attention biases of LeViT) would keep them. So trace `copy_for_tracing(module)`, never the
module that people work with.
"""

import copy
import inspect
import threading
from collections.abc import Callable
from typing import Any

from torch import Tensor, fx, nn

from core.compute.own_forward import own_forward
from core.compute.torch_internals import forget_hooks
from core.settings import SettingValue

_one_at_a_time = threading.RLock()


class Tracer(fx.Tracer):
    """A tracer that follows only the thread that called `trace`, one trace at a time in this process."""

    _thread: int | None = None

    def trace(
        self, root: nn.Module | Callable[..., Any], concrete_args: dict[str, Any] | None = None
    ) -> fx.Graph:
        with _one_at_a_time:
            self._thread = threading.get_ident()
            return super().trace(root, concrete_args)

    def create_args_for_root(
        self,
        root_fn: Callable[..., Any],
        is_module: bool,
        concrete_args: dict[str, Any] | tuple[Any, ...] | None = None,
    ) -> tuple[Any, list[Any]]:
        own = own_forward(self.root) if is_module else None  # `torch.fx` looks at the class alone
        return super().create_args_for_root(own or root_fn, is_module, concrete_args)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if threading.get_ident() != self._thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if threading.get_ident() != self._thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)


def copy_for_tracing(module: nn.Module) -> nn.Module:
    """A copy that may keep proxies: with the same parameters, and buffers and attributes of its own."""
    memo: dict[int, Any] = {id(parameter): parameter for parameter in module.parameters()}
    memo |= {id(buffer): buffer.detach().clone() for buffer in module.buffers()}
    twin = copy.deepcopy(module, memo)
    forget_hooks(twin)
    return twin


def settings_left_alone(forward: Callable[..., Any]) -> dict[str, SettingValue]:
    """The optional arguments of a forward, at their defaults: they stay as they are while it is traced.

    Without them a network that asks `if mask is not None` could not be followed. What is not a plain value is
    left out.
    """
    plain = (bool, int, float, str, type(None))
    parameters = inspect.signature(forward).parameters.values()
    return {
        p.name: p.default
        for p in parameters
        if p.default is not p.empty and isinstance(p.default, plain) and not isinstance(p.default, Tensor)
    }
