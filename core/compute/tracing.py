"""Following a network's code with `torch.fx` without disturbing anybody else.

While `torch.fx` traces, it replaces `nn.Module.__call__` and `__getattr__` for the whole process. Two things
follow, and `Tracer` takes care of both: a forward pass in another thread goes on as if nothing had happened,
and two traces wait for each other (each would put back what the other had replaced).

What is traced is run with proxies instead of tensors, and a network that remembers something during its
forward pass (the attention biases of LeViT) would keep them. So trace `copy_for_tracing(module)`, never the
module that people work with.

Where the code decides by what it computes, a trace in advance ends. `Tracer.watch` then follows one run on an
example: what is asked about sizes, types and tuples is answered as in that run. What depends on the colors of
the image still ends the trace, since another image may go another way.
"""

import copy
import inspect
import operator
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, fx, nn

from core.compute.own_forward import own_forward
from core.compute.torch_internals import forget_hooks
from core.settings import SettingValue

_one_at_a_time = threading.RLock()


class Watched(fx.Proxy):
    """A value in a trace that follows one run: its number can be asked for; of a tuple, its length."""

    tracer: "Tracer"

    def __index__(self) -> int:
        return int(self.tracer.number(self))

    def __int__(self) -> int:
        return int(self.tracer.number(self))

    def __float__(self) -> float:
        return float(self.tracer.number(self))

    def __len__(self) -> int:
        return len(self.tracer.items(self))


class Tracer(fx.Tracer):
    """A tracer that follows only the thread that called `trace`, one trace at a time in this process."""

    _thread: int | None = None
    _example: Tensor | None = None
    _values: dict[fx.Node, Any]
    _twin: nn.Module

    def watch(self, module: nn.Module, example: Tensor) -> "Tracer":
        """Follow one run of the network on this (N, C, H, W) example, N above 1; returns the tracer.

        The run needs sizes only: it is one on the device "meta", and costs next to nothing.
        """
        memo = {id(p): nn.Parameter(p.to("meta"), p.requires_grad) for p in module.parameters()}
        self._twin = copy_for_tracing(module, memo | {id(b): b.to("meta") for b in module.buffers()})
        self._example, self._values = example.to("meta"), {}
        return self

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

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return fx.Proxy(node, self) if self._example is None else Watched(node, self)

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any, *more: Any, **named: Any) -> Any:
        proxy = super().create_proxy(kind, target, args, kwargs, *more, **named)
        if self._example is not None and threading.get_ident() == self._thread:
            self._thread = None  # what is computed now is not part of the trace
            try:
                with torch.no_grad():
                    self._values[proxy.node] = self._computed(proxy.node)
            finally:
                self._thread = threading.get_ident()
        return proxy

    def _computed(self, node: fx.Node) -> Any:
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), self._values.__getitem__)
        match node.op:
            case "placeholder":
                return args[0] if args else self._example
            case "get_attr":
                try:
                    return operator.attrgetter(str(node.target))(self._twin)
                except AttributeError:  # a constant that tracing has put into the network
                    return operator.attrgetter(str(node.target))(self.root).to("meta")
            case "call_module":
                return self._twin.get_submodule(str(node.target))(*args, **kwargs)
            case "call_method":
                return getattr(args[0], str(node.target))(*args[1:], **kwargs)
            case "call_function":
                return node.target(*args, **kwargs)  # type: ignore[operator]
        return args[0]

    def number(self, proxy: fx.Proxy) -> Any:
        """The number that a value was in the run that is watched."""
        value = self._values.get(proxy.node)
        if isinstance(value, bool | int | float):
            return value
        raise fx.proxy.TraceError(f"what {proxy.node} is depends on the image")

    def items(self, proxy: fx.Proxy) -> tuple[Any, ...]:
        """The parts of a value that was a tuple or a list in the run that is watched."""
        value = None if self._example is None else self._values.get(proxy.node)
        if isinstance(value, tuple | list):
            return tuple(proxy[i] for i in range(len(value)))  # type: ignore[index]
        raise fx.proxy.TraceError(f"how many parts {proxy.node} has depends on the image")

    def to_bool(self, obj: fx.Proxy) -> bool:
        if self._example is None:
            return super().to_bool(obj)
        return bool(self.number(obj))

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        if self._example is None:
            return super().iter(obj)
        return iter(self.items(obj))


def copy_for_tracing(module: nn.Module, instead: dict[int, Any] | None = None) -> nn.Module:
    """A copy that may keep proxies: with the same parameters, and buffers and attributes of its own.

    Args:
        instead: What stands in the copy for each parameter and buffer, by its `id`.
    """
    if instead is None:
        instead = {id(parameter): parameter for parameter in module.parameters()}
        instead |= {id(buffer): buffer.detach().clone() for buffer in module.buffers()}
    twin = copy.deepcopy(module, instead)
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
