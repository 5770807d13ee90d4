"""What a batch adds to the sums of a layer, one channel after the other, in one pass over its figures.

The same as PyTorch's operations in `core.filters.channel_statistics`, to the last bit of every list and
count. Import this where Numba may be missing only inside a `try`.
"""

import math

import numpy as np

from core.compute.numba_cache import compiled

ROW_MASK = 2**32 - 1
LOWEST, NONE = np.float32(-np.inf), np.float32(0)


@compiled("i8(f4, i8)", inline=True)
def _key(value, row):  # type: ignore[no-untyped-def]
    """As `core.filters.top_k.keys_of`: the larger value first, of equal ones the lower row."""
    if value != value:
        value = LOWEST
    bits = np.int64(np.float32(value + NONE).view(np.int32))  # and no negative zero
    return ((bits ^ ((bits >> 31) & 0x7FFFFFFF)) << 32) | (ROW_MASK - row)


@compiled("void(i8[::1], i8[::1], i8, i8)", inline=True)
def _insert(keys, places, key, place):  # type: ignore[no-untyped-def]
    """Into a list with the largest first, whose last falls out."""
    at = len(keys) - 1
    while at > 0 and keys[at - 1] < key:
        keys[at] = keys[at - 1]
        places[at] = places[at - 1]
        at -= 1
    keys[at] = key
    places[at] = place


@compiled("void(f4[:,::1])", inline=True)
def _join_bins(histograms):  # type: ignore[no-untyped-def]
    """Two bins become one of twice the width, in each group; the upper half is free again."""
    half = (histograms.shape[1] - 1) // 2
    for counts in histograms:
        for b in range(half):
            counts[1 + b] = counts[1 + 2 * b] + counts[2 + 2 * b]
        counts[1 + half :] = 0


@compiled(
    "void(i8[:,:,::1], i8[:,:,::1], i8[:,::1], i8[:,::1], f8[:,::1], f8[::1], f8[::1], f4[::1], f4[:,:,::1],"
    "f4[:,::1], i4[:,::1], f4[:,::1], f4[:,::1], f4[:,::1], i8[::1], i8[::1])"
)
def add_loop(  # type: ignore[no-untyped-def]
    top, top_places, norm, weak, sums, all_squares, all_zeros, tops, histogram,
    largest, places, total, squares, zeros, rows, labels,
):  # fmt: skip
    """Lists, sums and histograms of `LayerSums`, written to, and the figures of a batch.

    Shape:
        top, top_places: (groups, C, k); norm, weak: (C, k); sums: (classes, C); all_squares, all_zeros,
            tops: (C,); histogram: (C, groups, 1 + bins)
        largest, places, total, squares, zeros: (N, C); rows, labels: (N,)
    """
    n, channels = largest.shape
    groups, k, bins = len(top), norm.shape[1], histogram.shape[2] - 1
    nowhere = np.empty(k, np.int64)
    for c in range(channels):
        highest = np.float32(0)
        for i in range(n):
            value = largest[i, c]
            group = labels[i] if groups > 1 else 0
            key = _key(value, rows[i])
            if key > top[group, c, k - 1]:
                _insert(top[group, c], top_places[group, c], key, places[i, c])
            key = _key(-value, rows[i])
            if key > weak[c, k - 1]:
                _insert(weak[c], nowhere, key, 0)
            key = _key(squares[i, c], rows[i])
            if key > norm[c, k - 1]:
                _insert(norm[c], nowhere, key, 0)
            sums[labels[i], c] += total[i, c]
            all_squares[c] += squares[i, c]
            all_zeros[c] += zeros[i, c]
            if value > highest and value < np.inf:
                highest = value
        if highest > tops[c]:
            counted = np.float32(0)
            for group in range(groups):
                for b in range(1, bins + 1):
                    counted += histogram[c, group, b]
            if counted == 0:  # nothing to join yet
                fraction, exponent = math.frexp(highest)
                tops[c] = np.float32(math.ldexp(1.0, exponent - 1 if fraction == 0.5 else exponent))
            while highest > tops[c]:
                _join_bins(histogram[c])
                tops[c] *= np.float32(2)
        step = np.float32(bins) / tops[c]
        for i in range(n):
            value = largest[i, c]
            value = value if value > 0 and value < np.inf else np.float32(0)
            b = min(bins, math.ceil(value * step))
            histogram[c, labels[i] if groups > 1 else 0, b] += np.float32(1)
