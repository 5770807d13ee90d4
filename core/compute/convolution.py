"""One place for the fast convolution: how each layer is computed is measured once and remembered.

    fast_convolutions(module)     # its convolutions choose for themselves from now on

Nothing else changes: names, weights, hooks, copies. A layer computes directly (what PyTorch does), as one
matrix product over its patches, or with Winograd's transform. Which is fastest depends on the processor, the
number of threads, the shapes and on which gradients are wanted. So the first time a layer meets a kind of
batch, the ways it could go are tried, and the answer is kept in Convoscope's cache. On a GPU and wherever the
conditions do not hold (groups, stride, dilation, few channels, a run that is being traced), it is PyTorch's
own convolution.

The same machine and shapes give the same choice, and each way gives the same numbers every time: a run that
is resumed goes on exactly as it began.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core import store
from core.compute.im2col import convolve_columns
from core.compute.own_forward import set_forward
from core.compute.torch_internals import is_watched, version_of
from core.compute.winograd import transformed_kernel, winograd

DIRECT, COLUMNS, WINOGRAD_2, WINOGRAD_4 = "direct", "columns", "winograd 2×2", "winograd 4×4"
FEWEST_CHANNELS = 64  # with fewer, changing the space costs more than it saves
LEAST_WORK = 1e8  # multiplications; below, a layer takes a millisecond or two whatever the way
MOST_BYTES = 2**30  # of intermediate results; a larger batch is computed in parts
LARGEST_TRIED = 64  # images
NEEDED_SPEEDUP = 1.15  # another way must be so many times faster than the direct one

_chosen: dict[str, str] = {}
_lock = threading.Lock()
_waited_for = 0  # how many blocks of `nothing_measured` are running, in whichever threads


@contextmanager
def nothing_measured() -> Iterator[None]:
    """In here what was measured before is used, and where nothing was, PyTorch's own convolution.

    To try the ways of all layers takes as long as ten passes or more: a few images that someone waits for are
    done sooner without.
    """
    global _waited_for
    with _lock:
        _waited_for += 1
    try:
        yield
    finally:
        with _lock:
            _waited_for -= 1


def fast_convolutions(module: nn.Module) -> nn.Module:
    """Let every convolution inside choose the fastest way for the shapes it meets; returns the module.

    Each gets a forward of its own: class, names, state dict and hooks stay.
    """
    for part in module.modules():
        if type(part) is nn.Conv2d and part.padding_mode == "zeros" and not isinstance(part.padding, str):
            set_forward(part, _chosen_forward)
    return module


def _chosen_forward(layer: nn.Conv2d, input: Tensor) -> Tensor:
    plain = layer.stride == layer.dilation == (1, 1) and layer.groups == 1
    if not plain or not _can_choose(input, layer.weight, layer.padding):  # type: ignore[arg-type]
        return nn.Conv2d.forward(layer, input)
    return convolve(input, layer.weight, layer.bias, layer.padding, owner=layer)  # type: ignore[arg-type]


def convolve(
    inputs: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    padding: tuple[int, int] = (0, 0),
    *,
    way: str | None = None,
    owner: nn.Module | None = None,
) -> Tensor:
    """The convolution of stride 1, in the way that is fastest here; under autocast in its 16-bit floats.

    Args:
        padding: Zeros above and below, left and right.
        way: One of the constants above; None takes the one that was measured to be the fastest.
        owner: Whose weight it is. While it needs no gradient its transform is kept as long as the owner
            lives, and computed anew when the weight is changed.
    Shape:
        inputs: (N, C, H, W)
        weight: (K, C, h, w)
        bias: (K,)
        returns: (N, K, H + 2·padding − h + 1, W + 2·padding − w + 1)
    """
    if way is None:
        can = _can_choose(inputs, weight, padding)
        way = choose(inputs, weight, padding, owner) if can else DIRECT
    if way == DIRECT:
        return F.conv2d(inputs, weight, bias, padding=padding)
    dtype = _dtype(inputs, weight)
    most = max(1, MOST_BYTES // _bytes_an_image(way, inputs, weight, dtype))
    if len(inputs) > most:
        parts = inputs.split(most)
        return torch.cat([convolve(p, weight, bias, padding, way=way, owner=owner) for p in parts])
    inputs, bias = inputs.to(dtype), None if bias is None else bias.to(dtype)
    if way == COLUMNS:
        return convolve_columns(inputs, weight.to(dtype), bias, padding)
    m = _tile(way)
    kernel = None if owner is None else _kept_kernel(owner, weight, dtype, m)
    return winograd(inputs, weight.to(dtype), bias, padding, m, kernel)


def choose(inputs: Tensor, weight: Tensor, padding: tuple[int, int], owner: nn.Module | None = None) -> str:
    """The fastest way for such inputs and weights with the gradients they ask for, measured once."""
    wanted = torch.is_grad_enabled()
    of_inputs, of_weight = wanted and inputs.requires_grad, wanted and weight.requires_grad
    # Batches of 1, 2 to 15, 16 to 127, and more: what is fixed for a batch weighs differently in each.
    size = (len(inputs).bit_length() + 1) // 3
    facts = (
        torch.__version__, torch.backends.cpu.get_cpu_capability(), torch.get_num_threads(),
        str(_dtype(inputs, weight)), size, list(inputs.shape[1:]), list(weight.shape), list(padding),
        of_inputs, of_weight, owner is None,
    )  # fmt: skip
    key = store.key_of("", "convolution 2", facts)
    if key not in _chosen:
        found = store.find(key)
        if found is None and _waited_for:
            return DIRECT
        if found is None:
            found = store.keep(key, {"way": _fastest(inputs, weight, padding, owner, of_inputs, of_weight)})
        _chosen[key] = found["way"]
    return _chosen[key]


def _fastest(
    inputs: Tensor, weight: Tensor, padding: tuple[int, int], owner: nn.Module | None,
    of_inputs: bool, of_weight: bool,
) -> str:  # fmt: skip
    inputs = inputs[:LARGEST_TRIED].detach().requires_grad_(of_inputs)
    weight = weight if not of_weight else weight.detach().requires_grad_()
    leaves = [tensor for tensor, asked in ((inputs, of_inputs), (weight, of_weight)) if asked]

    def seconds(way: str) -> float:
        began = time.perf_counter()
        output = convolve(inputs, weight, None, padding, way=way, owner=owner)
        if leaves:
            torch.autograd.grad(output, leaves, torch.ones_like(output))
        return time.perf_counter() - began

    ways = _ways(inputs, weight)
    if owner is not None:  # a transform that is kept is not part of what a batch costs
        for way in {WINOGRAD_2, WINOGRAD_4} & set(ways):
            _kept_kernel(owner, weight, _dtype(inputs, weight), _tile(way))
    best = {way: seconds(way) for way in ways}
    for _ in range(3):  # the first run of each paid for warming up; what is far behind is not run again
        for way in [way for way in best if best[way] < 2.5 * min(best.values())]:
            best[way] = min(best[way], seconds(way))
    best[DIRECT] /= NEEDED_SPEEDUP
    return min(best, key=lambda way: best[way])


def _ways(inputs: Tensor, weight: Tensor) -> list[str]:
    short = _dtype(inputs, weight) != torch.float32
    ways = [DIRECT, COLUMNS]
    if tuple(weight.shape[2:]) == (3, 3):
        ways.append(WINOGRAD_2 if short else WINOGRAD_4)
    return ways


def _can_choose(inputs: Tensor, weight: Tensor, padding: tuple[int, int]) -> bool:
    """Whether there is anything to gain, and nobody watches how the convolution is computed."""
    if inputs.device.type != "cpu" or weight.device.type != "cpu" or inputs.ndim != 4:
        return False
    k, c, h, w = weight.shape
    out = [e + 2 * p - s + 1 for e, p, s in zip(inputs.shape[2:], padding, (h, w), strict=True)]
    return (
        min(k, c) >= FEWEST_CHANNELS
        and inputs.shape[1] == c
        and min(out) > 0
        and inputs.shape[0] * out[0] * out[1] * weight.numel() >= LEAST_WORK
        and _dtype(inputs, weight) in (torch.float32, torch.bfloat16)
        and (inputs.dtype == weight.dtype or torch.is_autocast_enabled("cpu"))
        and type(inputs) in (Tensor, nn.Parameter)
        and not _is_watched()
    )


def _is_watched() -> bool:
    """Somebody traces, compiles or differentiates in another way than by one backward pass."""
    return is_watched() or torch.compiler.is_compiling() or torch.jit.is_tracing()


def _bytes_an_image(way: str, inputs: Tensor, weight: Tensor, dtype: torch.dtype) -> int:
    """About what a way allocates for each image besides its output."""
    k, c, h, w = weight.shape
    places = inputs.shape[2] * inputs.shape[3]
    if way == COLUMNS:
        return places * c * h * w * dtype.itemsize
    # Tiles and what they are multiplied to: 2.25 or 4 numbers for each place and channel.
    return int(places * (2 * c + k) * (2.25 if way == WINOGRAD_4 else 4) * dtype.itemsize)


def _dtype(inputs: Tensor, weight: Tensor) -> torch.dtype:
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else weight.dtype


def _tile(way: str) -> int:
    """Outputs along an axis of one of Winograd's tiles."""
    return 2 if way == WINOGRAD_2 else 4


_kernels: WeakKeyDictionary[nn.Module, tuple[Any, Tensor]] = WeakKeyDictionary()


def _kept_kernel(owner: nn.Module, weight: Tensor, dtype: torch.dtype, m: int) -> Tensor | None:
    """The weight's transform; None where the weight learns, so that it would be of use only once."""
    if weight.requires_grad or weight.is_inference():
        return None
    state = (weight.data_ptr(), version_of(weight), dtype, m)
    known = _kernels.get(owner)
    if known is None or known[0] != state:
        with torch.inference_mode(False), torch.no_grad():
            known = (state, transformed_kernel(weight.to(dtype), m))
        _kernels[owner] = known
    return known[1]
