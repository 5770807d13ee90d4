"""A second device that is none: it computes on the CPU, and refuses to be mixed with it, as a GPU would.

    def test_something(pretend):
        asked = classifier("small_cnn", "pretend")
        ...                       # every operation that is given a tensor of each device raises DeviceMixed
        assert pretend.waits == {}

A tensor of the device is a wrapper around one of the CPU's. PyTorch sends every operation of the device here,
those of the backward pass too: it is checked, unwrapped, computed and wrapped again. So the values are real,
and what is not there on a real device (`.numpy()`, float64 on Apple's) is not there either.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "pretend"
KEY = "PrivateUse1"
CORE = str(Path(__file__).resolve().parent.parent / "core")
# What may be given tensors of both devices: copies, and indices, which PyTorch moves by itself.
COPIES = ("aten::copy_", "aten::_to_copy")
INDEXED = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")
# What a GPU's host waits for: a number that is read, or a shape that depends on values.
READS = (
    "aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::_unique2", "aten::bincount",
    "aten::unique_consecutive", "aten::unique_dim", "aten::equal", "aten::repeat_interleave",
)  # fmt: skip
TF32_BITS = 10  # digits of a factor that a convolution in TF32 keeps, of 23


class DeviceMixed(AssertionError):
    """An operation was given tensors of both devices."""


@dataclass
class PretendDevice:
    """The device's switches, and what was counted.

    Attributes:
        tf32: Convolutions keep 10 of the 23 digits of their factors, while cuDNN is allowed to.
        float64: Whether there are 64-bit floats. Apple's GPUs have none.
        waits: How often the host waited for the device, by file and line of core.
        copies: How often something was copied to the device, by file and line of core.
        operations: How many operations the device was given.
    """

    tf32: bool = False
    float64: bool = True
    waits: Counter[str] = field(default_factory=Counter)
    copies: Counter[str] = field(default_factory=Counter)
    operations: int = 0

    def forget(self) -> None:
        """Count anew."""
        self.waits.clear()
        self.copies.clear()
        self.operations = 0


_switches = PretendDevice()


class _PretendTensor(Tensor):
    """A tensor on the device."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "_PretendTensor":
        if held.dtype == torch.float64 and not _switches.float64:
            raise TypeError("Cannot convert a tensor to float64: this device has no 64-bit floats.")
        with torch.inference_mode(False):  # a wrapper that is an inference tensor could not be overwritten
            made = Tensor._make_wrapper_subclass(
                cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(),
                dtype=held.dtype, device=torch.device(NAME, 0),
            )  # fmt: skip
        made.held = held
        return made

    def __repr__(self) -> str:
        return f"pretended {self.held!r}"

    def tolist(self) -> Any:
        _count(_switches.waits)
        return self.held.tolist()

    @property
    def data(self) -> Tensor:
        return Tensor.data.__get__(self)

    @data.setter
    def data(self, other: "_PretendTensor") -> None:  # `module.to(memory_format=…)` puts others in its place
        Tensor.data.__set__(self, other)
        self.held = other.held

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.held.__reduce_ex__(protocol)  # a file holds values, and is read on any device

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.is_inference_mode_enabled():  # there what is made of other operations is not taken apart
            found = func.decompose(*args, **kwargs)
            if found is not NotImplemented:
                return found
        _switches.operations += 1
        name = func._schema.name
        given = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        _refuse_mixed(name, args, given)
        _watch(name, args, kwargs, given)
        wrappers = {id(value.held): value for value in given if isinstance(value, cls)}
        args, kwargs_inside = tree_map(_unwrapped, args), tree_map(_unwrapped, kwargs)
        if name.startswith("aten::convolution") and _switches.tf32 and torch.backends.cudnn.allow_tf32:
            args = tree_map(_in_tf32, args)
        with torch.inference_mode(False):
            found = func(*args, **kwargs_inside)
        device = kwargs.get("device")
        if device is not None and torch.device(device).type != NAME:
            return found
        plain = {id(value) for value in given if not isinstance(value, cls)}

        def wrapped(value: Any) -> Any:
            if not isinstance(value, Tensor) or id(value) in plain:
                return value
            return wrappers[id(value)] if id(value) in wrappers else cls(value)

        return tree_map(wrapped, found)


def _refuse_mixed(name: str, args: tuple, given: list[Tensor]) -> None:
    if name in COPIES:
        return
    others = [value for value in given if not isinstance(value, _PretendTensor) and value.ndim]
    if name in INDEXED:
        others = [value for value in (args[0], *args[2:3]) if any(value is other for other in others)]
    if others:
        shapes = [tuple(value.shape) for value in others]
        raise DeviceMixed(f"{name} on {NAME}:0 was given tensors of the CPU with the shapes {shapes}")


def _watch(name: str, args: tuple, kwargs: dict[str, Any], given: list[Tensor]) -> None:
    """Count what the host waits for, and what is copied to the device."""
    if name == "aten::_to_copy":
        device = kwargs.get("device")
        before, after = given[0].device.type, given[0].device.type if device is None else device.type
        if before != after:
            _count(_switches.copies if after == NAME else _switches.waits)
    elif name == "aten::copy_":
        if isinstance(args[0], _PretendTensor) and not isinstance(args[1], _PretendTensor):
            _count(_switches.copies)
        elif not isinstance(args[0], _PretendTensor):
            _count(_switches.waits)
    elif name in READS or (name in INDEXED and any(_is_mask(index) for index in args[1])):
        _count(_switches.waits)


def _is_mask(index: Tensor | None) -> bool:
    return index is not None and index.dtype in (torch.bool, torch.uint8)


def _count(counter: Counter[str]) -> None:
    """For the innermost line of core on the stack; nothing where a test itself reads a value."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename.startswith(CORE):
            counter[f"{Path(frame.f_code.co_filename).relative_to(CORE)}:{frame.f_lineno}"] += 1
            return
        frame = frame.f_back


def _unwrapped(value: Any) -> Any:
    if isinstance(value, _PretendTensor):
        return value.held
    return torch.device("cpu") if isinstance(value, torch.device) and value.type == NAME else value


def _in_tf32(value: Any) -> Any:
    if not isinstance(value, Tensor) or value.dtype != torch.float32:
        return value
    fraction, exponent = torch.frexp(value.detach())
    return torch.ldexp(torch.round(fraction * 2 ** (TF32_BITS + 1)) / 2 ** (TF32_BITS + 1), exponent)


class _Module:
    """What PyTorch asks of `torch.pretend`."""

    def is_initialized(self) -> bool:
        return True

    def is_available(self) -> bool:
        return True

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return 1

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        pass

    def get_rng_state(self, device: Any = None) -> Tensor:
        return torch.zeros(0, dtype=torch.uint8)  # nothing is random there: our generators are on the CPU

    def set_rng_state(self, state: Tensor, device: Any = None) -> None:
        pass

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]


_registered: list[torch.library.Library] = []  # for the whole process: PyTorch forgets them with the object


def _register() -> None:
    _setup_privateuseone_for_python_backend(NAME, _Module())
    library = torch.library.Library("aten", "IMPL")

    def empty(size: Any, **settings: Any) -> Tensor:
        settings |= {"device": "cpu", "pin_memory": False}
        return _PretendTensor(torch.empty(size, **{k: v for k, v in settings.items() if v is not None}))

    def empty_strided(size: Any, stride: Any, **settings: Any) -> Tensor:
        return _PretendTensor(torch.empty_strided(size, stride, dtype=settings.get("dtype")))

    def copy_from(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
        _count(_switches.copies)  # from here on PyTorch asks nobody: `torch.tensor(…, device=…)`
        _unwrapped(target).copy_(_unwrapped(source))
        return target

    library.impl("empty.memory_format", empty, KEY)
    library.impl("empty_strided", empty_strided, KEY)
    library.impl("_copy_from", copy_from, KEY)
    for name in ("conv2d", "linear", "matmul"):
        library.impl(name, _cast(getattr(torch.ops.aten, name).default), f"Autocast{KEY}")
    others = torch.library.Library("_", "IMPL")
    others.fallback(torch.library.fallthrough_kernel, f"Autocast{KEY}")
    _registered.extend((library, others))


def _cast(operation: Any) -> Any:
    """The operation in autocast's 16-bit floats."""
    keys = torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, f"Autocast{KEY}"))

    def run(*args: Any) -> Any:
        dtype = torch.get_autocast_dtype(NAME)

        def short(value: Any) -> Any:
            floats = isinstance(value, Tensor) and value.dtype == torch.float32
            return value.to(dtype) if floats else value

        with torch._C._ExcludeDispatchKeyGuard(keys):
            return operation(*tree_map(short, args))

    return run


@pytest.fixture
def pretend() -> Iterator[PretendDevice]:
    """The device, with its switches as they are at first and nothing counted."""
    if not _registered:
        _register()
    _switches.tf32, _switches.float64 = False, True
    _switches.forget()
    allowed = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    yield _switches
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = allowed
    _switches.tf32, _switches.float64 = False, True
