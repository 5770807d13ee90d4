"""The k largest of many values, kept while they stream by."""

import torch
from torch import Tensor

# Below every value with a row: what stands where there were fewer than k.
EMPTY_SLOT = torch.iinfo(torch.int64).min
_ROW_MASK = 2**32 - 1


def keys_of(values: Tensor, rows: Tensor) -> Tensor:
    """Values and rows as whole numbers whose order is: the larger value first, of equal ones the lower row.

    The bits of a positive float are ordered like the float; those of a negative one the other way round. So
    the upper half of a key is the value and the lower half the row, and a plain `topk` keeps both.

    Shape:
        values: (n, C) float32; NaN counts as −inf
        rows: (n,) int64, below 2³² − 1
        returns: (C, n) int64
    """
    values = values.nan_to_num(-torch.inf, torch.inf, -torch.inf) + 0.0  # and no negative zero
    bits = values.contiguous().view(torch.int32)
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return ((ordered.long() << 32) | (_ROW_MASK - rows)[:, None]).T


def values_and_rows(keys: Tensor) -> tuple[Tensor, Tensor]:
    """The opposite of `keys_of`: float32 values and int32 rows; −inf and −1 where there is none."""
    ordered = (keys >> 32).to(torch.int32)
    values = (ordered ^ ((ordered >> 31) & 0x7FFFFFFF)).view(torch.float32)
    none = (keys == EMPTY_SLOT) | torch.isneginf(values)
    rows = (_ROW_MASK - (keys & _ROW_MASK)).masked_fill(none, -1)
    return values.masked_fill(none, -torch.inf), rows.to(torch.int32)


def merged(kept: Tensor, new: Tensor) -> tuple[Tensor, Tensor]:
    """The k largest keys of those that were kept and the new ones.

    Shape:
        kept: (C, k) int64, new: (C, n) int64
        returns: (C, k) int64, the largest first; (C, k) int64, where each stood in kept and new together
    """
    k = kept.shape[1]
    best = torch.cat([kept, new], dim=1).topk(k, dim=1)
    return best.values, best.indices
