"""Which place of a map each element of a tensor belongs to, followed through one operation after another.

Along each of the image's two axes a tensor has an index tensor: for every element the number of the row (or
column) of the map it belongs to, counted from 0, or −1 for elements that belong to no place (a class token,
padding). The index tensor has as many dimensions as the tensor, and the size 1 along those that do not
matter: (1, 1, H, 1) for the rows of an (N, C, H, W) map, (1, H · W, 1) for those of its tokens. Unlike a
receptive field, this survives attention: token i still stands for place i.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from core.compute.torch_internals import operation_name
from core.network.operations import arguments_by_name, is_pointwise

NO_PLACE = -1

Index = Tensor | None  # None: the elements belong to no place along this axis
Places = tuple[Index, Index]
NOWHERE: Places = (None, None)
Known = Callable[[Tensor], Places]


def of_image(height: int, width: int) -> Places:
    """The places of the image itself, (N, C, H, W)."""
    return _counted(height).reshape(1, 1, -1, 1), _counted(width).reshape(1, 1, 1, -1)


def _counted(size: int) -> Tensor:
    return torch.arange(size, dtype=torch.int32)


def follow_places(
    function: Any, arguments: tuple, settings: dict, output: Tensor, position: int, known: Known
) -> Places:
    """The places of an operation's output.

    Args:
        function: The ATen operation.
        output: Its output number `position`, from 0.
        known: The places of a tensor; `NOWHERE` for one that no image leads to.
    """
    tensors = [a for a in _flat((*arguments, *settings.values())) if isinstance(a, Tensor)]
    given = [(tensor, known(tensor)) for tensor in tensors]
    given = [(tensor, places) for tensor, places in given if any(index is not None for index in places)]
    if not given:
        return NOWHERE
    name = operation_name(function)
    if name in _RULES:
        values = arguments_by_name(function, arguments, settings)
        return _each(lambda axis: _RULES[name](values, known, output, axis))
    if is_pointwise(function, name):
        return _each(lambda axis: _finest([_aligned(t, places[axis], output) for t, places in given]))
    if name in _MOVES:
        tensor, places = given[0]
        return _each(lambda axis: _moved(function, arguments, settings, tensor, places[axis], position))
    return NOWHERE


def _each(rule: Callable[[int], Index]) -> Places:
    return rule(0), rule(1)


def _flat(values: Iterable[Any]) -> Iterable[Any]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from _flat(value)
        else:
            yield value


# Operations that only move values about: they are asked themselves where each value comes from.
_MOVES = {
    "view", "_unsafe_view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "permute", "transpose",
    "t", "expand", "select", "slice", "split", "split_with_sizes", "chunk", "unbind", "repeat", "flip",
    "roll", "narrow", "constant_pad_nd", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle",
    "native_channel_shuffle", "movedim", "swapaxes", "_reshape_alias", "alias", "as_strided",
}  # fmt: skip
# Of these the index tensor itself can be moved, whatever its size along each dimension.
_REORDERINGS = {"permute", "transpose", "t", "movedim", "swapaxes", "unsqueeze"}


def _moved(
    function: Any, arguments: tuple, settings: dict, tensor: Tensor, index: Index, position: int
) -> Index:
    if index is None:
        return None
    name = operation_name(function)
    if name == "constant_pad_nd":
        return _numbered(_padded(index, arguments[1]))
    if name not in _REORDERINGS:
        index = index.expand(tensor.shape).contiguous()
    # Counted from 1, so that 0 is what the operation itself puts in.
    arguments = tuple(index + 1 if a is tensor else a for a in arguments)
    moved = function(*arguments, **settings)
    moved = moved[position] if isinstance(moved, list | tuple) else moved
    return _numbered(_small(moved - 1))


def _padded(index: Tensor, padding: list[int]) -> Tensor:
    """Padding along the index's own dimensions is not a place; along the others nothing changes."""
    own = list(padding)
    for pair in range(len(own) // 2):
        if index.shape[index.ndim - 1 - pair] == 1:
            own[2 * pair : 2 * pair + 2] = [0, 0]
    return torch.nn.functional.pad(index, own, value=NO_PLACE)


def _small(index: Tensor) -> Tensor:
    """The same index with the size 1 along every dimension that it does not depend on."""
    for dim in sorted(range(index.ndim), key=lambda dim: -index.shape[dim]):  # what shrinks most comes first
        first = index.narrow(dim, 0, 1)
        if index.shape[dim] > 1 and bool((index == first).all()):
            index = first
    return index.contiguous()


def _numbered(index: Tensor) -> Index:
    """With the places that are left counted from 0; None where there is none."""
    left = index[index >= 0].unique()
    if not len(left):
        return None
    if int(left[-1]) == len(left) - 1:
        return index
    numbers = torch.searchsorted(left, index).int()
    return numbers.masked_fill(index < 0, NO_PLACE)


def _aligned(tensor: Tensor, index: Index, output: Tensor) -> Index:
    """With dimensions of size 1 in front, as PyTorch broadcasts."""
    if index is None or tensor.ndim > output.ndim:
        return None
    return index.reshape((1,) * (output.ndim - index.ndim) + tuple(index.shape))


def _finest(found: list[Index]) -> Index:
    """Of several operands the index that tells most places apart; the first of equals."""
    return max(
        (index for index in found if index is not None),
        key=lambda index: (int(index.max()), -index.numel()),
        default=None,
    )


def _over(index: Index, dims: Iterable[int]) -> Index:
    """Behind a sum over some dimensions, which keep the size 1: blocks of places become one place."""
    if index is None:
        return None
    varying = [dim for dim in dims if index.shape[dim] > 1]
    if varying:
        big = torch.where(index < 0, torch.iinfo(index.dtype).max, index).amin(varying, keepdim=True)
        index = torch.where(big == torch.iinfo(index.dtype).max, NO_PLACE, big)
    return _numbered(index)


def _windows(values: dict, known: Known, output: Tensor, axis: int) -> Index:
    """Convolutions, pools and interpolation over the last two dimensions: a new grid of places."""
    tensor = values["input"] if "input" in values else values["self"]
    dim = output.ndim - 2 + axis
    index = known(tensor)[axis]
    if tensor.ndim < 4:
        return _along_tokens(index, tensor, output)
    index = _over(index, [1])
    if index is None or any(size > 1 for d, size in enumerate(index.shape) if d != dim):
        return None
    if index.shape[dim] != tensor.shape[dim]:  # the places are mixed already
        return None
    numbers = index.flatten()
    numbers = numbers[numbers >= 0]
    if not bool((numbers.diff() > 0).all()):
        return None
    shape = [1] * output.ndim
    shape[dim] = -1
    return _counted(output.shape[dim]).reshape(shape)


def _along_tokens(index: Index, tensor: Tensor, output: Tensor) -> Index:
    """A convolution or pool over tokens (N, C, L) that keeps their number leaves each where it is."""
    if index is None or tensor.ndim != 3 or tensor.shape[-1] != output.shape[-1]:
        return None
    return _over(index, [1])


def _reduction(values: dict, known: Known, output: Tensor, axis: int) -> Index:
    tensor = values["self"]
    dims = values.get("dim")
    chosen = [dims] if isinstance(dims, int) else list(dims or range(tensor.ndim))
    chosen = [dim % tensor.ndim for dim in chosen]
    index = _over(known(tensor)[axis], chosen)
    if index is None or values.get("keepdim"):
        return index
    return index.reshape([size for dim, size in enumerate(index.shape) if dim not in chosen])


def _same(name: str) -> Callable[..., Index]:
    """Operations that mix values along dimensions but leave each value with its place."""

    def rule(values: dict, known: Known, output: Tensor, axis: int) -> Index:
        tensor = values[name]
        return known(tensor)[axis] if tensor.shape == output.shape else None

    return rule


def _attention(values: dict, known: Known, output: Tensor, axis: int) -> Index:
    """Token i of the answer is that of query i."""
    if output.ndim != values["query"].ndim or output.shape[:-1] != values["query"].shape[:-1]:
        return None
    return _over(known(values["query"])[axis], [output.ndim - 1])


def _product(left: str, right: str) -> Callable[..., Index]:
    """Matrix products: rows come from the left, columns from the right, the rest is summed over."""

    def rule(values: dict, known: Known, output: Tensor, axis: int) -> Index:
        found = []
        for name, summed in ((left, -1), (right, -2)):
            tensor = values[name]
            if tensor.ndim == output.ndim:
                found.append(_over(known(tensor)[axis], [tensor.ndim + summed]))
        told_apart = [index for index in found if index is not None and int(index.max()) > 0]
        return told_apart[0] if told_apart else _finest(found)

    return rule


def _cat(values: dict, known: Known, output: Tensor, axis: int) -> Index:
    along = values["dim"] % output.ndim
    parts = [(tensor, known(tensor)[axis]) for tensor in values["tensors"] if tensor.numel()]
    if any(index is not None and int(index.max()) > 0 for _, index in parts):
        # What has mixed all places stands for none: a class token that has looked at the image.
        parts = [(t, None if index is None or int(index.max()) == 0 else index) for t, index in parts]
    here = [index for _, index in parts if index is not None]
    if not here:
        return None
    if all(index.shape[along] == 1 for index in here) and len(here) == len(parts):
        return _finest(list(here))
    sizes = [max(index.shape[dim] for index in here) for dim in range(output.ndim)]
    pieces = []
    for tensor, index in parts:
        shape = [*sizes]
        shape[along] = tensor.shape[along]
        no_place = torch.full(shape, NO_PLACE, dtype=torch.int32)
        pieces.append(no_place if index is None else index.expand(shape))
    return _numbered(torch.cat(pieces, along))


def _stack(values: dict, known: Known, output: Tensor, axis: int) -> Index:
    at = values["dim"] % output.ndim
    found = _finest([known(tensor)[axis] for tensor in values["tensors"]])
    return None if found is None else found.unsqueeze(at)


_RULES: dict[str, Callable[[dict, Known, Tensor, int], Index]] = {
    **dict.fromkeys(
        (
            "convolution", "max_pool2d_with_indices", "max_pool2d", "avg_pool2d", "_adaptive_avg_pool2d",
            "adaptive_avg_pool2d", "adaptive_max_pool2d", "upsample_nearest2d", "upsample_bilinear2d",
            "upsample_bicubic2d", "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa", "reflection_pad2d",
            "replication_pad2d", "avg_pool1d", "max_pool1d",
        ),
        _windows,
    ),
    **dict.fromkeys(
        ("mean", "sum", "amax", "amin", "max", "min", "var", "var_mean", "std", "norm", "linalg_vector_norm"),
        _reduction,
    ),
    **dict.fromkeys(("_softmax", "_log_softmax", "_safe_softmax", "cumsum"), _same("self")),
    **dict.fromkeys(
        (
            "native_layer_norm", "_fused_rms_norm", "native_group_norm", "native_batch_norm",
            "_native_batch_norm_legit", "_native_batch_norm_legit_no_training", "cudnn_batch_norm",
            "_batch_norm_with_update",
        ),
        _same("input"),
    ),
    **dict.fromkeys(
        (
            "_scaled_dot_product_flash_attention", "_scaled_dot_product_flash_attention_for_cpu",
            "_scaled_dot_product_efficient_attention", "_scaled_dot_product_attention_math",
            "_scaled_dot_product_cudnn_attention", "_scaled_dot_product_fused_attention_overrideable",
        ),
        _attention,
    ),
    "cat": _cat,
    "stack": _stack,
    "mm": _product("self", "mat2"),
    "bmm": _product("self", "mat2"),
    "addmm": _product("mat1", "mat2"),
    "baddbmm": _product("batch1", "batch2"),
}  # fmt: skip


def arrangement(
    places: Places, shape: tuple[int, ...]
) -> tuple[tuple[int, int], tuple[int, ...] | None] | None:
    """How a tensor holds the map's places, if each is there once, in the order of the image.

    Args:
        shape: The tensor's, with the batch.
    Returns:
        The dimensions of rows and columns, and None; or the one dimension of the tokens, twice, and which
        tokens are the places, row by row. None where the tensor is not a map.
    """
    rows, columns = places
    if rows is None or columns is None or len(shape) not in (3, 4):
        return None
    of_rows, of_columns = ([d for d, size in enumerate(i.shape) if size > 1] for i in (rows, columns))
    if len(of_rows) > 1 or len(of_columns) > 1 or not (of_rows or of_columns):
        return None
    if 0 in (*of_rows, *of_columns):
        return None
    if len(shape) == 3:
        return _of_tokens(rows, columns, (of_rows or of_columns)[0])
    a = of_rows[0] if of_rows else of_columns[0] - 1  # a map of one row, or of one column
    b = of_columns[0] if of_columns else of_rows[0] + 1
    if not 1 <= a < b <= 3 or not (_counts(rows, shape[a]) and _counts(columns, shape[b])):
        return None
    return (a, b), None


def _of_tokens(
    rows: Tensor, columns: Tensor, dim: int
) -> tuple[tuple[int, int], tuple[int, ...] | None] | None:
    height, width = int(rows.max()) + 1, int(columns.max()) + 1
    numbers = torch.where((rows < 0) | (columns < 0), NO_PLACE, rows * width + columns)
    if numbers.numel() != numbers.shape[dim]:
        return None
    tokens = (numbers.flatten() >= 0).nonzero().flatten()
    order = tokens[numbers.flatten()[tokens].argsort()]
    if not torch.equal(numbers.flatten()[order], _counted(height * width)):
        return None
    return (dim, dim), tuple(order.tolist())


def _counts(index: Tensor, size: int) -> bool:
    return torch.equal(index.flatten(), _counted(size))
