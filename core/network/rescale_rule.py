"""DeepLIFT's multipliers instead of gradients, and where a network has parts without a rule for them."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from core.compute.torch_internals import operation_name
from core.network.trace import trace_layers

# Each output depends on one input only, so that the multiplier is a quotient of two differences. These are
# the names of functions, of methods, and of what the modules of torch.nn call.
_ELEMENTWISE = {
    "relu", "relu6", "hardtanh", "leaky_relu", "prelu", "elu", "selu", "celu", "gelu", "silu", "mish",
    "hardswish", "hardsigmoid", "sigmoid", "logsigmoid", "log_sigmoid", "tanh", "softplus", "softsign",
    "clamp",
    "clamp_min", "clamp_max", "threshold", "rrelu",
}  # fmt: skip
_MAX_POOLS = {
    "max_pool1d", "max_pool2d", "max_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d",
    "adaptive_max_pool3d",
}  # fmt: skip
SMALLEST_DIFFERENCE = 1e-6  # differences of inputs below which the quotient is the derivative

# The same for operations of ATen, as they are seen in a traced run.
_WITH_RULE = _ELEMENTWISE | _MAX_POOLS | {
    "log_sigmoid_forward", "_prelu_kernel", "max_pool2d_with_indices", "max_pool3d_with_indices",
    "adaptive_max_pool2d", "adaptive_max_pool3d",
}  # fmt: skip
_LINEAR = {
    "mean", "sum", "cumsum", "cat", "stack", "avg_pool1d", "avg_pool2d", "avg_pool3d", "_adaptive_avg_pool2d",
    "adaptive_avg_pool2d", "adaptive_avg_pool1d", "_adaptive_avg_pool3d", "upsample_nearest2d",
    "upsample_bilinear2d", "upsample_bicubic2d", "add", "sub", "rsub", "neg", "clone", "alias", "detach",
    "_to_copy", "copy", "dropout", "lift_fresh", "view", "_unsafe_view", "reshape", "flatten", "unflatten",
    "squeeze", "unsqueeze", "permute", "transpose", "t", "expand", "select", "slice", "split",
    "split_with_sizes", "chunk", "unbind", "repeat", "flip", "roll", "narrow", "constant_pad_nd",
    "reflection_pad2d", "replication_pad2d", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle",
    "native_channel_shuffle", "movedim", "index", "index_select", "gather", "im2col", "unfold", "as_strided",
    "native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm", "contiguous",
    "_reshape_alias", "empty_like", "zeros_like", "ones_like", "new_zeros", "new_empty", "fill", "zero",
}  # fmt: skip
_PRODUCTS = {"mul", "bmm", "mm", "addmm", "baddbmm", "convolution", "mv", "dot", "linear"}
_WORDS = {
    "_softmax": "softmax", "_log_softmax": "softmax", "_safe_softmax": "softmax",
    "native_layer_norm": "layer norm", "native_group_norm": "group norm", "_fused_rms_norm": "RMS norm",
    "_native_batch_norm_legit": "instance norm",
}  # fmt: skip


@contextmanager
def rescaled() -> Iterator[None]:
    """Backpropagate DeepLIFT's multipliers (rescale rule) instead of gradients, in this thread.

    A network must be run on the image and its baseline, one after the other in a batch of two halves. Then
    the gradient of a score of the first half with respect to its input is the multiplier, and multiplier
    times (image − baseline) adds up to the difference of the two scores, as far as the network is made of
    linear layers, activations and max pooling, be they modules, functions or methods of a tensor.

    Source:
        Shrikumar, Greenside, Kundaje 2017, "Learning Important Features Through Propagating Activation
        Differences", arXiv:1704.02685
    """
    with _Rules():
        yield


class _Rules(TorchFunctionMode):
    """Puts the rules in the place of the functions of PyTorch that have one."""

    def __init__(self) -> None:
        super().__init__()
        self._at_rest = False  # while a rule itself asks for a derivative

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        settings = dict(kwargs or {})
        name = str(getattr(func, "__name__", ""))
        overwrites = settings.get("inplace") is True or (name.endswith("_") and not name.endswith("__"))
        name = name.removesuffix("_")
        known = name in _ELEMENTWISE or (name in _MAX_POOLS and not settings.get("return_indices"))
        values = args[0] if args else settings.get("input")
        if not known or self._at_rest or not _is_a_pair(values):
            return func(*args, **settings)
        others = args[1:]
        settings = {key: value for key, value in settings.items() if key not in ("input", "inplace")}
        if name in _MAX_POOLS:
            settings.pop("return_indices", None)
            return _RescaledMaxPool.apply(
                values, lambda given: getattr(F, name)(given, *others, **settings, return_indices=True)
            )
        plain = _without_overwriting(func, name) if overwrites else func

        def function(given: Tensor) -> Tensor:
            self._at_rest = True
            try:
                answer: Tensor = plain(given, *others, **settings)
                return answer
            finally:
                self._at_rest = False

        assert values is not None
        if not overwrites:
            return _Rescaled.apply(values, function)
        return values.copy_(_Rescaled.apply(values.clone(), function))


def _without_overwriting(func: Any, name: str) -> Any:
    """The function that does the same with memory of its own."""
    if not str(func.__name__).endswith("_"):
        return func
    return getattr(F, name, None) or getattr(torch, name)


def _is_a_pair(values: Any) -> bool:
    """Whether this is something of an image and of a baseline."""
    return (
        isinstance(values, Tensor) and values.requires_grad and values.ndim > 0 and len(values) % 2 == 0
        and torch.is_grad_enabled()
    )  # fmt: skip


class _Rescaled(torch.autograd.Function):
    """An activation whose derivative is (difference of outputs) / (difference of inputs)."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        output = function(values)
        ctx.save_for_backward(values, output)
        ctx.function = function
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        values, output = ctx.saved_tensors
        image, baseline = values.chunk(2)
        image_output, baseline_output = output.chunk(2)
        gradient = gradients[0].chunk(2)[0]
        difference = image - baseline
        with torch.enable_grad():  # where the inputs are as good as equal, the quotient is the derivative
            point = image.detach().clone().requires_grad_()
            (derivative,) = torch.autograd.grad(ctx.function(point.clone()).sum(), point)
        near = difference.abs() < SMALLEST_DIFFERENCE
        slope = torch.where(
            near, derivative, (image_output - baseline_output) / difference.masked_fill(near, 1.0)
        )
        return torch.cat([gradient * slope, torch.zeros_like(gradient)]), None


class _RescaledMaxPool(torch.autograd.Function):
    """Max pooling whose gradient shares the difference of outputs among the inputs that made it.

    What lifts the output over that of the baseline belongs to the image's largest input, what lowers it to
    the baseline's. Windows that overlap add up.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, pool: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Tensor:
        output, places = pool(values)
        ctx.save_for_backward(values, output, places)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        values, output, places = ctx.saved_tensors
        image, baseline = values.chunk(2)
        image_output, baseline_output = output.chunk(2)
        image_places, baseline_places = places.chunk(2)
        gradient = gradients[0].chunk(2)[0]
        larger = torch.maximum(image_output, baseline_output)
        share = torch.zeros_like(image, memory_format=torch.contiguous_format).flatten(2)
        share.scatter_add_(2, image_places.flatten(2), (gradient * (larger - baseline_output)).flatten(2))
        share.scatter_add_(2, baseline_places.flatten(2), (gradient * (image_output - larger)).flatten(2))
        difference = image - baseline
        none = difference == 0
        multiplier = share.reshape(image.shape).masked_fill(none, 0.0) / difference.masked_fill(none, 1.0)
        return torch.cat([multiplier, torch.zeros_like(multiplier)]), None


def layers_without_rule(
    module: nn.Module, input_size: tuple[int, int], channels: int
) -> dict[str, tuple[str, ...]]:
    """The layers in which something is done that the rescale rule does not cover, by what that is.

    Returns:
        `{"softmax": ("blocks.0.attn", …), …}`, empty for a network that the rule covers wholly.
    """
    watcher = _Watcher()
    trace_layers(module, input_size, channels, [watcher])
    return {what: tuple(layers) for what, layers in watcher.found.items()}


class _Watcher:
    def __init__(self) -> None:
        self.found: dict[str, dict[str, None]] = {}
        # The tensors are kept, so that none gets the identity of one that is gone.
        self._from_image: dict[int, Tensor] = {}

    def begin(self, inputs: Tensor) -> None:
        self._from_image[id(inputs)] = inputs

    def operation(self, function: Any, arguments: tuple, settings: dict, output: Any, layer: str) -> None:
        given = [t for t in _tensors((arguments, settings)) if id(t) in self._from_image]
        if not given:
            return
        self._from_image.update({id(tensor): tensor for tensor in _tensors(output)})
        what = _uncovered(function, arguments, given)
        if what and any(t.is_floating_point() for t in _tensors(output)):
            self.found.setdefault(what, {})[layer or "the network itself"] = None

    def leave(self, layer: str, module: nn.Module, output: Any) -> None:
        pass


def _uncovered(function: Any, arguments: tuple, given: list[Tensor]) -> str:
    """What an operation on values of the image is, where the rule does not cover it; else an empty word."""
    full = operation_name(function)
    name = full if full in _WORDS else full.removesuffix("_")
    if name in _WITH_RULE or name in _LINEAR:
        return ""
    if name in _PRODUCTS:
        return "products of activations" if len(given) > 1 else ""
    if name == "div":
        return "" if len(given) == 1 and given[0] is arguments[0] else "quotients of activations"
    if name.startswith("_scaled_dot_product"):
        return "attention"
    if name in _WORDS:
        return _WORDS[name]
    return f"“{name}”"


def _tensors(values: Any) -> Iterable[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, dict):
        yield from _tensors(list(values.values()))
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _tensors(value)
