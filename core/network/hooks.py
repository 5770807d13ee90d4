"""The only place that sets hooks on a network, and always takes them away again, after a failure too.

    with captured(module, ["layer4"]) as maps:
        logits = module(inputs)
    maps["layer4"]        # (N, C, H, W), part of the graph

A hook changes what everybody gets from a module, so nothing that calls back (a progress bar, another
analysis) may run inside one of these `with` blocks.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from core.errors import ConvoscopeError, UnknownName

Hook = Callable[[nn.Module, Any, Any], Any]

# Negative gradients are cut at these. A ReLU6 is a ReLU with a ceiling.
RELUS = (nn.ReLU, nn.ReLU6)

_lock = threading.Lock()
_left = 0


class NoTensor(ConvoscopeError):
    """A layer whose output is not one tensor, so that it can be neither shown nor changed."""

    def __init__(self, name: str, output: object) -> None:
        super().__init__(
            f"The layer {name!r} answers with a {type(output).__name__}, not with one tensor: "
            "choose a layer inside it."
        )


def hooks_left() -> int:
    """How many hooks of ours are set at this moment; 0 whenever no analysis is at a network."""
    return _left


@contextmanager
def captured(module: nn.Module, layers: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """Keep the outputs of some layers while the network runs.

    The network goes on with a copy of each, so that a later layer that works in place does not overwrite what
    is kept. The kept tensors are part of the graph: gradients can be taken with respect to them.
    A layer that runs several times counts with its last run.

    Args:
        layers: Names in `named_modules()`.
    Returns:
        The outputs by layer, filled by the runs inside the `with` block.
    Raises:
        UnknownName: There is no such layer.
        NoTensor: Its output is not one tensor.
    """
    outputs: dict[str, Tensor] = {}

    def keeper(name: str) -> Hook:
        def keep(part: nn.Module, inputs: Any, output: Any) -> Tensor:
            if not isinstance(output, Tensor):
                raise NoTensor(name, output)
            outputs[name] = output
            return output.clone()

        return keep

    with _hooked((part, keeper(name)) for name, part in _parts(module, layers)):
        yield outputs


@contextmanager
def captured_inputs(module: nn.Module, layers: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """Keep what some layers are given while the network runs: a copy of their first argument.

    Raises:
        UnknownName: There is no such layer.
        NoTensor: What it is given is not one tensor.
    """
    inputs: dict[str, Tensor] = {}

    def keeper(name: str) -> Hook:
        def keep(part: nn.Module, given: Any, output: Any) -> None:
            if not given or not isinstance(given[0], Tensor):
                raise NoTensor(name, given[0] if given else None)
            inputs[name] = given[0].clone()

        return keep

    with _hooked((part, keeper(name)) for name, part in _parts(module, layers)):
        yield inputs


@contextmanager
def observed(module: nn.Module, functions: Mapping[str, Callable[[Tensor], None]]) -> Iterator[None]:
    """Read some layers' outputs at the moment they are made, while they are in the cache: nothing is copied.

    A function must neither change what it is given nor keep it: a later layer may overwrite it.

    Raises:
        UnknownName: There is no such layer.
        NoTensor: Its output is not one tensor.
    """

    def reader(name: str, function: Callable[[Tensor], None]) -> Hook:
        def read(part: nn.Module, inputs: Any, output: Any) -> None:
            if not isinstance(output, Tensor):
                raise NoTensor(name, output)
            function(output)

        return read

    with _hooked((part, reader(name, functions[name])) for name, part in _parts(module, functions)):
        yield


@contextmanager
def altered(module: nn.Module, functions: Mapping[str, Callable[[Tensor], Tensor]]) -> Iterator[None]:
    """Put something else in the place of a layer's output: `{layer: function of its output}`.

    The function gets a copy and may change it in place. Skip connections around the layer still carry what
    they carry: what is altered is this output, not what the layer was given.

    Raises:
        UnknownName: There is no such layer.
        NoTensor: Its output is not one tensor.
        ValueError: A function changes the shape.
    """

    def changer(name: str, function: Callable[[Tensor], Tensor]) -> Hook:
        def change(part: nn.Module, inputs: Any, output: Any) -> Tensor:
            if not isinstance(output, Tensor):
                raise NoTensor(name, output)
            changed = function(output.clone())
            if changed.shape != output.shape:
                raise ValueError(
                    f"The output of {name!r} has the shape {tuple(output.shape)}, and what should take its "
                    f"place {tuple(changed.shape)}: keep the shape."
                )
            return changed

        return change

    with _hooked((part, changer(name, functions[name])) for name, part in _parts(module, functions)):
        yield


@contextmanager
def replaced(module: nn.Module, functions: Mapping[str, Callable[[Tensor], Tensor]]) -> Iterator[None]:
    """Let some layers compute something else: `{layer: function of its input}`. Their own code does not run.

    Raises:
        UnknownName: There is no such layer.
    """
    global _left
    changed: list[tuple[nn.Module, Any]] = []
    try:
        for name, part in _parts(module, functions):
            changed.append((part, part.__dict__.get("forward")))
            part.forward = functions[name]
            with _lock:
                _left += 1
        yield
    finally:
        for part, own in changed:
            if own is None:
                del part.forward  # that of its class is there again
            else:
                part.forward = own
            with _lock:
                _left -= 1


@contextmanager
def guided_relus(module: nn.Module) -> Iterator[int]:
    """Let every ReLU and ReLU6 pass back only gradients that are positive and belong to an active unit.

    Returns:
        How many of them the network has. Where there is none, nothing changes.
    Source:
        Springenberg, Dosovitskiy, Brox, Riedmiller 2015, "Striving for Simplicity", arXiv:1412.6806
    """
    relus = [part for part in module.modules() if isinstance(part, RELUS)]

    def guide(part: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return _GuidedReLU.apply(inputs[0], 6.0 if isinstance(part, nn.ReLU6) else float("inf"))

    with _not_in_place(relus), _hooked((part, guide) for part in relus):
        yield len(relus)


@contextmanager
def opened_relus(module: nn.Module) -> Iterator[int]:
    """Let every ReLU and ReLU6 pass back also the gradient that would bring a silent unit back to life.

    Where a unit is cut off at 0 and the gradient would raise it (or at the ceiling, and would lower it), the
    gradient goes through as if there were no activation. For gradient ascent that starts on dead ground.

    Returns:
        How many of them the network has. Where there is none, nothing changes.
    Source:
        Olah, Mordvintsev, Schubert 2017, "Feature Visualization", Distill, doi:10.23915/distill.00007
    """
    relus = [part for part in module.modules() if isinstance(part, RELUS)]

    def open_up(part: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return _OpenReLU.apply(inputs[0], 6.0 if isinstance(part, nn.ReLU6) else float("inf"))

    with _not_in_place(relus), _hooked((part, open_up) for part in relus):
        yield len(relus)


class _GuidedReLU(torch.autograd.Function):
    """A ReLU (with a ceiling) whose backward pass drops negative gradients."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, ceiling: float) -> Tensor:
        ctx.save_for_backward(values)
        ctx.ceiling = ceiling
        return values.clamp(0, ceiling)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (values,) = ctx.saved_tensors
        active = (values > 0) & (values < ctx.ceiling)
        return gradients[0].clamp(min=0) * active, None


class _OpenReLU(torch.autograd.Function):
    """A ReLU (with a ceiling) that blocks a gradient only where it would push further out of range."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, ceiling: float) -> Tensor:
        ctx.save_for_backward(values)
        ctx.ceiling = ceiling
        return values.clamp(0, ceiling)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (values,) = ctx.saved_tensors
        out = ((values <= 0) & (gradients[0] < 0)) | ((values >= ctx.ceiling) & (gradients[0] > 0))
        return gradients[0].masked_fill(out, 0.0), None


@contextmanager
def _hooked(pairs: Iterable[tuple[nn.Module, Hook]]) -> Iterator[None]:
    global _left
    handles = []
    try:
        for part, hook in pairs:
            handles.append(part.register_forward_hook(hook))
            with _lock:
                _left += 1
        yield
    finally:
        for handle in handles:
            handle.remove()
            with _lock:
                _left -= 1


@contextmanager
def _not_in_place(parts: Iterable[nn.Module]) -> Iterator[None]:
    """An activation that overwrites its input leaves nothing to compare its output with."""
    changed = [part for part in parts if getattr(part, "inplace", False) is True]
    try:
        for part in changed:
            part.inplace = False  # type: ignore[assignment]
        yield
    finally:
        for part in changed:
            part.inplace = True  # type: ignore[assignment]


def _parts(module: nn.Module, layers: Iterable[str]) -> list[tuple[str, nn.Module]]:
    parts = dict(module.named_modules())
    layers = list(layers)
    for name in layers:
        if name not in parts:
            raise UnknownName("layer", name, [part for part in parts if part])
    return [(name, parts[name]) for name in layers]
