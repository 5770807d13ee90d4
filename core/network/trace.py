"""Watch a network run once, without its weights and without hooks: which layer, in which order, does what.

The run happens in a private copy on PyTorch's "meta" device, where tensors have a shape and no contents: it
costs milliseconds whatever the network, allocates nothing and cannot disturb the original.
"""

import copy
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from core.compute.device_faults import is_device_fault
from core.compute.torch_internals import TorchDispatchMode, forget_hooks
from core.errors import ConvoscopeError


class BadNetwork(ConvoscopeError):
    """A network that cannot run on what it is given."""


class Observer(Protocol):
    """Who wants to know what happens during the run."""

    def begin(self, inputs: Tensor) -> None:
        """The run is about to start on these inputs."""

    def operation(self, function: Any, arguments: tuple, settings: dict, output: Any, layer: str) -> None:
        """One operation of ATen is over; `layer` is the innermost module it ran in ("" for the network)."""

    def leave(self, layer: str, module: nn.Module, output: Any) -> None:
        """A module has answered."""


class _Operations(TorchDispatchMode):
    def __init__(self, tell: Callable[[Any, tuple, dict, Any], None]) -> None:
        super().__init__()
        self._tell = tell

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        self._tell(func, args, kwargs or {}, output)
        return output


def trace_layers(
    module: nn.Module, input_size: tuple[int, int], channels: int, observers: list[Observer]
) -> None:
    """Run the network once on an image of that size and tell the observers what happens, in order.

    Raises:
        BadNetwork: It does not take such an image; the message has PyTorch's own reason.
    """
    try:
        _run(module, "meta", input_size, channels, observers)
    except NotImplementedError:  # an operation without a meta version: run it for real
        _run(module, "cpu", input_size, channels, observers)


def _run(
    module: nn.Module, device: str, input_size: tuple[int, int], channels: int, observers: list[Observer]
) -> None:
    twin = twin_of(module, device)
    dtype = next((p.dtype for p in twin.parameters() if p.is_floating_point()), torch.float32)
    inputs = torch.zeros(1, channels, *input_size, device=device, dtype=dtype)
    inside: list[str] = [""]

    def watched(name: str, part: nn.Module) -> Callable[..., Any]:
        forward = part.forward

        def run(*args: Any, **kwargs: Any) -> Any:
            inside.append(name)
            try:
                output = forward(*args, **kwargs)
            finally:
                inside.pop()
            for observer in observers:
                observer.leave(name, part, output)
            return output

        return run

    for name, part in twin.named_modules():
        part.forward = watched(name, part)
    for observer in observers:
        observer.begin(inputs)

    def tell(function: Any, arguments: tuple, settings: dict, output: Any) -> None:
        for observer in observers:
            observer.operation(function, arguments, settings, output, inside[-1])

    try:
        with torch.no_grad(), _Operations(tell):
            twin(inputs)
    except NotImplementedError:
        raise
    except (RuntimeError, ValueError, AssertionError, TypeError, IndexError) as error:
        if is_device_fault(error):
            raise
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BadNetwork(
            f"The network takes no image of {channels} × {input_size[0]} × {input_size[1]} (channels × "
            f"height × width): {first}. Choose the size and channels it was made for."
        ) from error


def twin_of(module: nn.Module, device: str) -> nn.Module:
    """A copy whose tensors live on that device; on "meta" none of their contents is copied."""
    memo: dict[int, Any] = {}
    if device == "meta":
        for parameter in module.parameters():
            empty = torch.empty_like(parameter, device="meta")
            memo[id(parameter)] = nn.Parameter(empty, requires_grad=parameter.requires_grad)
        for buffer in module.buffers():
            memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    twin = copy.deepcopy(module, memo).to(device).eval()
    forget_hooks(twin)
    return twin
