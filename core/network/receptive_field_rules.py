"""Which part of the image each place of a tensor depends on, followed through one operation after another.

Along each of the image's two axes a tensor has an interval of pixels for every index of one of its own
dimensions. A convolution joins the intervals under its taps, an addition those of both sides, a mean over
all places all of them: places reached through different branches are joined to one interval. Nothing is
estimated, and no gradient is needed.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.compute.torch_internals import operation_name
from core.network.operations import arguments_by_name, is_pointwise

EMPTY_INTERVAL = (np.iinfo(np.int64).max, -1)  # first and last pixel of an interval that is empty


@dataclass(frozen=True)
class Grid:
    """Where windows would lie if the image went on for ever: that of index i begins at `first + i · jump`.

    Attributes:
        jump: Pixels from one place to the next.
        first: First pixel of the window of index 0; below 0 where it begins in the padding.
        size: Pixels of each window.
    """

    jump: float
    first: float
    size: float


@dataclass(frozen=True)
class Axis:
    """One axis of the image, as a tensor sees it.

    Attributes:
        dim: The tensor's dimension whose index matters; None where every index has the same interval.
        low: First pixel of each index's interval, clipped to the image.
        high: Last pixel, included; below `low` where the interval is empty.
        grid: The same without clipping; None where the windows are on no regular grid.
        place: Which window of the grid each index has; None where index i has window i.
    """

    dim: int | None
    low: np.ndarray
    high: np.ndarray
    grid: Grid | None
    place: np.ndarray | None = None


@dataclass(frozen=True)
class Unknown:
    """Instead of a footprint, behind an operation that cannot be followed."""

    reason: str


Footprint = tuple[Axis, Axis]


def of_image(height: int, width: int) -> Footprint:
    """The footprint of the image itself, (N, C, H, W)."""

    def axis(dim: int, size: int) -> Axis:
        places = np.arange(size)
        return Axis(dim, places, places, Grid(1, 0, 1))

    return axis(2, height), axis(3, width)


def follow(
    function: Any,
    arguments: tuple,
    settings: dict,
    output: Tensor,
    position: int,
    known: Callable[[Tensor], Any],
) -> Any:
    """The footprint of an operation's output: a `Footprint`, `Unknown`, or None: the image plays no part.

    Args:
        function: The ATen operation.
        output: Its output number `position`, from 0.
        known: Footprints of tensors: a function of a tensor that returns one of the above.
    """
    tensors = [a for a in _flat((*arguments, *settings.values())) if isinstance(a, Tensor)]
    footprints = [(t, known(t)) for t in tensors]
    footprints = [(t, f) for t, f in footprints if f is not None]
    name = operation_name(function)
    if not footprints or name in _SOURCES:
        return None
    for _, footprint in footprints:
        if isinstance(footprint, Unknown):
            return footprint
    if name in _RULES:
        values = arguments_by_name(function, arguments, settings)
        return tuple(_RULES[name](values, known, output, axis) for axis in (0, 1))
    if is_pointwise(function, name):
        return tuple(_broadcast([(t, f[axis]) for t, f in footprints], output) for axis in (0, 1))
    if name in _MOVES:
        (tensor, footprint), *_ = footprints
        return tuple(_moved(function, arguments, settings, tensor, axis, position) for axis in footprint)
    return Unknown(f"the operation {name!r} cannot be followed")


_SOURCES = {
    "zeros_like",
    "ones_like",
    "empty_like",
    "full_like",
    "new_zeros",
    "new_ones",
    "new_empty",
    "new_full",
}
# Operations that only move values about: they are asked themselves where each value comes from.
_MOVES = {
    "view", "_unsafe_view", "reshape", "flatten", "squeeze", "unsqueeze", "permute", "transpose", "t",
    "expand", "as_strided_",
    "select", "slice", "split", "split_with_sizes", "chunk", "unbind", "repeat", "flip", "roll", "narrow",
    "constant_pad_nd", "reflection_pad2d", "replication_pad2d", "upsample_nearest2d", "pixel_shuffle",
    "pixel_unshuffle", "channel_shuffle", "native_channel_shuffle", "unfold", "as_strided", "movedim",
    "reflection_pad1d", "replication_pad1d", "swapaxes", "_reshape_alias", "resolve_conj",
}  # fmt: skip


def _flat(values: Iterable[Any]) -> Iterable[Any]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from _flat(value)
        else:
            yield value


def union(axis: Axis) -> Axis:
    """One interval for all: what a tensor sees that mixes all places."""
    return Axis(None, axis.low.min(keepdims=True), axis.high.max(keepdims=True), None)


def _broadcast(parts: list[tuple[Tensor, Axis]], output: Tensor) -> Axis:
    """Intervals of an elementwise operation; dimensions are aligned from the last, as PyTorch broadcasts."""
    aligned = []
    for tensor, axis in parts:
        if axis.dim is not None:
            dim = axis.dim + output.ndim - tensor.ndim
            spread = len(axis.low) == 1 and output.shape[dim] != 1
            axis = replace(axis, dim=None if spread else dim)
        aligned.append(axis)
    return _join(aligned)


def _join(axes: list[Axis]) -> Axis:
    if len({axis.dim for axis in axes if axis.dim is not None}) > 1:
        axes = [union(axis) for axis in axes]
    dim = next((axis.dim for axis in axes if axis.dim is not None), None)
    low = np.minimum.reduce(np.broadcast_arrays(*(axis.low for axis in axes)))
    high = np.maximum.reduce(np.broadcast_arrays(*(axis.high for axis in axes)))
    first = axes[0].place
    same = all(
        axis.place is first
        or (axis.place is not None and first is not None and np.array_equal(axis.place, first))
        for axis in axes
    )
    grid = _join_grids([axis.grid for axis in axes]) if same else None
    return Axis(dim, low, high, grid, first if grid is not None else None)


def _join_grids(grids: list[Grid | None]) -> Grid | None:
    known = [grid for grid in grids if grid is not None]
    if len(known) < len(grids) or len({grid.jump for grid in known}) != 1:
        return None
    first = min(grid.first for grid in known)
    return Grid(known[0].jump, first, max(grid.first + grid.size for grid in known) - first)


def _through_windows(axis: Axis, sources: np.ndarray, grid: Grid | None) -> Axis:
    """Join the intervals of the indices that each output index reads.

    Args:
        sources: (outputs, taps) indices into the input; outside of it is padding.
    """
    inside = (sources >= 0) & (sources < len(axis.low))
    index = np.where(inside, sources, 0)
    low = np.where(inside, axis.low[index], EMPTY_INTERVAL[0]).min(axis=1)
    high = np.where(inside, axis.high[index], EMPTY_INTERVAL[1]).max(axis=1)
    return Axis(axis.dim, low, high, grid)


def _window(axis: Axis, outputs: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> Axis:
    sources = np.arange(outputs)[:, None] * stride - padding + np.arange(kernel) * dilation
    grid = axis.grid if axis.place is None else None
    if grid is not None:
        reach = grid.size + (kernel - 1) * dilation * grid.jump
        grid = Grid(grid.jump * stride, grid.first - padding * grid.jump, reach)
    return _through_windows(axis, sources, grid)


def _pair(value: Any, index: int, otherwise: int) -> int:
    if value is None or (isinstance(value, list | tuple) and not value):
        return otherwise
    if isinstance(value, list | tuple):
        return int(value[index] if len(value) > index else value[0])
    return int(value)


def _convolution(values: dict, known: Any, output: Tensor, which: int) -> Axis:
    axis: Axis = known(values["input"])[which]
    if axis.dim is None or axis.dim == 0:
        return replace(axis, grid=None) if axis.dim is None else axis
    if axis.dim == 1:
        return union(axis)
    index = axis.dim - 2
    kernel = values["weight"].shape[axis.dim]
    stride, padding = _pair(values["stride"], index, 1), _pair(values["padding"], index, 0)
    dilation = _pair(values["dilation"], index, 1)
    outputs = output.shape[axis.dim]
    if not values["transposed"]:
        return _window(axis, outputs, kernel, stride, padding, dilation)
    shifted = np.arange(outputs)[:, None] + padding - np.arange(kernel) * dilation
    sources = np.where(shifted % stride == 0, shifted // stride, -1)
    return _through_windows(axis, sources, None)


def _pool(values: dict, known: Any, output: Tensor, which: int) -> Axis:
    tensor = values["self"]
    axis: Axis = known(tensor)[which]
    if axis.dim is None or axis.dim < tensor.ndim - 2:
        return axis
    index = axis.dim - (tensor.ndim - 2)
    kernel = _pair(values["kernel_size"], index, 1)
    return _window(
        axis,
        output.shape[axis.dim],
        kernel,
        _pair(values["stride"], index, kernel),
        _pair(values["padding"], index, 0),
        _pair(values.get("dilation"), index, 1),
    )


def _adaptive_pool(values: dict, known: Any, output: Tensor, which: int) -> Axis:
    axis: Axis = known(values["self"])[which]
    if axis.dim is None:
        return axis
    inputs, outputs = len(axis.low), output.shape[axis.dim]
    if inputs % outputs == 0 and outputs > 1:
        return _window(axis, outputs, inputs // outputs, inputs // outputs, 0)
    begin = np.arange(outputs) * inputs // outputs
    end = -(-(np.arange(outputs) + 1) * inputs // outputs)
    taps = int((end - begin).max())
    sources = begin[:, None] + np.arange(taps)
    grid = axis.grid if inputs == outputs and axis.place is None else None
    return _through_windows(axis, np.where(sources < end[:, None], sources, -1), grid)


def _reduction(values: dict, known: Any, output: Tensor, which: int) -> Axis:
    tensor = values["self"]
    axis: Axis = known(tensor)[which]
    dims = values.get("dim")
    chosen = [dims] if isinstance(dims, int) else list(dims or range(tensor.ndim))
    chosen = [dim % tensor.ndim for dim in chosen]
    if axis.dim is None:
        return axis
    if axis.dim in chosen:
        return union(axis)
    return replace(
        axis, dim=axis.dim if values.get("keepdim") else axis.dim - sum(d < axis.dim for d in chosen)
    )


def _mixed_along(dims_of: Callable[[dict, Tensor], list[int]], name: str = "self") -> Callable[..., Axis]:
    """A rule for operations that keep the shape and mix everything along some dimensions."""

    def rule(values: dict, known: Any, output: Tensor, which: int) -> Axis:
        tensor = values[name]
        axis: Axis = known(tensor)[which]
        return union(axis) if axis.dim in dims_of(values, tensor) else axis

    return rule


def _all_places(values: dict, known: Any, output: Tensor, which: int) -> Axis:
    found = [known(v) for v in values.values() if isinstance(v, Tensor)]
    return _join([union(footprint[which]) for footprint in found if footprint is not None])


def _cat(values: dict, known: Any, output: Tensor, which: int) -> Axis:
    along = values["dim"] % output.ndim
    parts = [(t, known(t)) for t in values["tensors"] if t.numel()]
    axes = [(t, f[which]) for t, f in parts if f is not None]
    if not any(axis.dim == along for _, axis in axes):
        return _join([axis for _, axis in axes])
    lows, highs = [], []
    for tensor, footprint in parts:
        size = tensor.shape[along]
        if footprint is None:
            lows.append(np.full(size, EMPTY_INTERVAL[0]))
            highs.append(np.full(size, EMPTY_INTERVAL[1]))
        else:
            lows.append(np.broadcast_to(footprint[which].low, size))
            highs.append(np.broadcast_to(footprint[which].high, size))
    return Axis(along, np.concatenate(lows), np.concatenate(highs), None)


def _stack(values: dict, known: Any, output: Tensor, which: int) -> Axis:
    at = values["dim"] % output.ndim
    axes = [known(t)[which] for t in values["tensors"] if known(t) is not None]
    return _join([a if a.dim is None else replace(a, dim=a.dim + (a.dim >= at)) for a in axes])


def _product(left: str, right: str, extra: str | None = None) -> Callable[..., Axis]:
    """Matrix products: rows come from the left, columns from the right, the rest is summed over."""

    def rule(values: dict, known: Any, output: Tensor, which: int) -> Axis:
        axes = []
        for name, summed, moved in ((left, -1, 0), (right, -2, 0)):
            tensor = values[name]
            footprint = known(tensor)
            if footprint is None:
                continue
            axis: Axis = footprint[which]
            if tensor.ndim == 1 or (axis.dim is not None and axis.dim == tensor.ndim + summed):
                axis = union(axis)
            elif axis.dim is not None:
                axis = replace(axis, dim=axis.dim + output.ndim - tensor.ndim + moved)
            axes.append(axis)
        if extra is not None and known(values[extra]) is not None:
            axes.append(_broadcast([(values[extra], known(values[extra])[which])], output))
        return _join(axes)

    return rule


def _interpolation(support: int) -> Callable[..., Axis]:
    """Bilinear (2 pixels) and bicubic (4 pixels) enlargement or reduction."""

    def rule(values: dict, known: Any, output: Tensor, which: int) -> Axis:
        axis: Axis = known(values["self"])[which]
        if axis.dim is None or axis.dim < 2:
            return axis
        inputs, outputs = len(axis.low), output.shape[axis.dim]
        places = np.arange(outputs)
        if values.get("align_corners"):
            source = places * ((inputs - 1) / max(outputs - 1, 1))
        else:
            source = (places + 0.5) * (inputs / outputs) - 0.5
            source = np.maximum(source, 0) if support == 2 else source
        base = np.floor(source).astype(np.int64)
        sources = np.clip(base[:, None] + np.arange(support) - (support // 2 - 1), 0, inputs - 1)
        # A neighbor with the weight 0 plays no part.
        exact = (source == base)[:, None] & (np.arange(support) != support // 2 - 1)
        return _through_windows(axis, np.where(exact, -1, sources), None)

    return rule


_RULES: dict[str, Callable[[dict, Any, Tensor, int], Axis]] = {
    "convolution": _convolution,
    "max_pool2d_with_indices": _pool,
    "avg_pool2d": _pool,
    "_adaptive_avg_pool2d": _adaptive_pool,
    "adaptive_avg_pool2d": _adaptive_pool,
    "adaptive_max_pool2d": _adaptive_pool,
    **dict.fromkeys(
        ("mean", "sum", "amax", "amin", "max", "min", "var", "var_mean", "std", "norm", "linalg_vector_norm"),
        _reduction,
    ),
    **dict.fromkeys(
        ("_softmax", "_log_softmax", "_safe_softmax", "cumsum"),
        _mixed_along(lambda values, tensor: [values["dim"] % tensor.ndim]),
    ),
    "native_layer_norm": _mixed_along(
        lambda values, t: list(range(t.ndim - len(values["normalized_shape"]), t.ndim)), "input"
    ),
    "_fused_rms_norm": _mixed_along(
        lambda values, t: list(range(t.ndim - len(values["normalized_shape"]), t.ndim)), "input"
    ),
    "native_group_norm": _mixed_along(lambda values, t: list(range(2, t.ndim)), "input"),
    "_native_batch_norm_legit": _mixed_along(lambda values, t: list(range(2, t.ndim)), "input"),
    **dict.fromkeys(
        (
            "_scaled_dot_product_flash_attention",
            "_scaled_dot_product_flash_attention_for_cpu",
            "_scaled_dot_product_efficient_attention",
            "_scaled_dot_product_attention_math",
            "_scaled_dot_product_fused_attention_overrideable",
        ),
        _all_places,
    ),
    "cat": _cat,
    "stack": _stack,
    "mm": _product("self", "mat2"),
    "bmm": _product("self", "mat2"),
    "mv": _product("self", "vec"),
    "addmm": _product("mat1", "mat2", "self"),
    "baddbmm": _product("batch1", "batch2", "self"),
    "upsample_bilinear2d": _interpolation(2),
    "upsample_bicubic2d": _interpolation(4),
}  # fmt: skip


def _moved(
    function: Any, arguments: tuple, settings: dict, tensor: Tensor, axis: Axis, position: int
) -> Axis:
    """Ask the operation itself: give it each value's index, and read where the indices end up."""
    if axis.dim is None or len(axis.low) == 1:
        return union(axis)
    size = tensor.shape[axis.dim]
    shape = [1] * tensor.ndim
    shape[axis.dim] = size
    # Counted from 1, so that 0 is what the operation itself puts in.
    index = torch.arange(1.0, size + 1).reshape(shape).expand(tensor.shape).contiguous()
    arguments = tuple(index if a is tensor else a for a in arguments)
    if operation_name(function) == "constant_pad_nd":
        arguments, settings = arguments[:2], {}
    placed = function(*arguments, **settings)
    placed = placed[position] if isinstance(placed, list | tuple) else placed
    sources = placed.numpy().astype(np.int64) - 1  # −1 where the operation put something in
    inside = sources >= 0
    if not inside.any():
        return Axis(None, np.array([EMPTY_INTERVAL[0]]), np.array([EMPTY_INTERVAL[1]]), None)
    places = np.arange(len(axis.low)) if axis.place is None else axis.place
    for dim in range(sources.ndim):
        others = tuple(d for d in range(sources.ndim) if d != dim)
        chosen = sources.max(axis=others, keepdims=True)
        # A row of padding crosses all columns: what was put in may stand beside any index.
        alike = all(
            bool((~inside | (values[sources] == values[chosen])).all())
            for values in (axis.low, axis.high, places)
        )
        if alike and sources.shape[dim] > 1:
            chosen = chosen.flatten()
            moved = _through_windows(replace(axis, dim=dim), chosen[:, None], None)
            grid, place = _moved_grid(axis.grid, np.where(chosen >= 0, places[chosen], -1))
            return replace(moved, grid=grid, place=place)
    present = np.unique(sources[inside])
    # One place only, or several mixed in one dimension.
    return union(Axis(None, axis.low[present], axis.high[present], None))


def _moved_grid(grid: Grid | None, places: np.ndarray) -> tuple[Grid | None, np.ndarray | None]:
    """The grid and places after slicing, padding or taking dimensions together."""
    inside = np.flatnonzero(places >= 0)
    if grid is None or len(inside) < 2:
        return None, None
    step = int(places[inside[1]] - places[inside[0]])
    regular = places[inside[0]] + (inside - inside[0]) * step
    if step < 1 or not np.array_equal(regular, places[inside]):
        return grid, places
    begin = int(places[inside[0]]) - int(inside[0]) * step
    return Grid(grid.jump * step, grid.first + begin * grid.jump, grid.size), None
