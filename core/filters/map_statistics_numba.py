"""Figures of maps in one pass: each value is read once, and everything that is asked of it is updated.

Twice, since a layer's maps can be made in the same pass: `passing_loop` also does what stands between a
convolution and the place whose figures are asked for, batch norm and a rectifier, in the maps' own memory.

Import this where Numba may be missing only inside a `try`.
"""

from collections.abc import Callable

import numpy as np

from core.compute.numba_cache import compiled

# Values side by side that are updated together; the first cache holds them and the four rows that are read.
LANES = 512
# A lane with fewer values than this costs more to be put together at the end than it saves.
SHORTEST_LANE = 32
ONE, NONE = np.float32(1), np.float32(0)


def _loop(passing: bool) -> Callable[..., None]:
    def loop(maps, scale, shift, low, high, largest, places, total, squares, zeros):  # type: ignore[no-untyped-def]
        """Largest value, its first place, sum, sum of squares and number of zeros of every map.

        The channels of several places form a row of lanes, and each lane has its own figures until the end.
        Four rows are read at a time, since the figures have to be fetched and put back for each.

        With `passing`, each value v first becomes min(max(scale · v + shift, low), high) of its channel, in
        the maps themselves. What is not a number stays so.

        Shape:
            maps: (N, places, C); scale, shift: (C,); the figures: (N, C), written
        """
        n, size, channels = maps.shape
        group = max(1, min(size // SHORTEST_LANE, LANES // channels))  # places in a row
        lanes = group * channels
        rows = size // group
        top = np.empty(lanes, np.float32)
        where = np.empty(lanes, np.int32)
        added = np.empty(lanes, np.float32)
        squared = np.empty(lanes, np.float32)
        none = np.empty(lanes, np.float32)
        if passing:
            factor = np.empty(lanes, np.float32)
            offset = np.empty(lanes, np.float32)
            for c in range(lanes):
                factor[c] = scale[c % channels]
                offset[c] = shift[c % channels]
        for image in range(n):
            flat = maps[image].reshape(size * channels)
            for c in range(lanes):
                top[c] = -np.inf
                where[c] = 0
                added[c] = 0
                squared[c] = 0
                none[c] = 0
            for four in range(rows // 4):
                row = np.int32(4 * four)
                at = row * lanes
                first = flat[at : at + lanes]
                second = flat[at + lanes : at + 2 * lanes]
                third = flat[at + 2 * lanes : at + 3 * lanes]
                fourth = flat[at + 3 * lanes : at + 4 * lanes]
                if passing:
                    for some in (first, second, third, fourth):
                        for c in range(lanes):
                            some[c] = _passed(some[c], factor[c], offset[c], low, high)
                for c in range(lanes):
                    a, b, d, e = first[c], second[c], third[c], fourth[c]
                    ab = b if b > a else a
                    ab_at = row + np.int32(1) if b > a else row
                    de = e if e > d else d
                    de_at = row + np.int32(3) if e > d else row + np.int32(2)
                    ab_at = de_at if de > ab else ab_at
                    ab = de if de > ab else ab
                    where[c] = ab_at if ab > top[c] else where[c]
                    top[c] = ab if ab > top[c] else top[c]
                    added[c] += (a + b) + (d + e)
                    squared[c] += (a * a + b * b) + (d * d + e * e)
                    none[c] += ((ONE if a == 0 else NONE) + (ONE if b == 0 else NONE)) + (
                        (ONE if d == 0 else NONE) + (ONE if e == 0 else NONE)
                    )
            for last in range(rows // 4 * 4, rows):
                first = flat[last * lanes : (last + 1) * lanes]
                for c in range(lanes):
                    a = first[c]
                    if passing:
                        a = _passed(a, factor[c], offset[c], low, high)
                        first[c] = a
                    where[c] = np.int32(last) if a > top[c] else where[c]
                    top[c] = a if a > top[c] else top[c]
                    added[c] += a
                    squared[c] += a * a
                    none[c] += ONE if a == 0 else NONE
            for c in range(channels):
                largest[image, c] = top[c]
                places[image, c] = where[c] * group
                total[image, c] = added[c]
                squares[image, c] = squared[c]
                zeros[image, c] = none[c]
            for g in range(1, group):
                for c in range(channels):
                    lane = g * channels + c
                    place = where[lane] * np.int32(group) + np.int32(g)
                    value = top[lane]
                    if value > largest[image, c] or (value == largest[image, c] and place < places[image, c]):
                        largest[image, c] = value
                        places[image, c] = place
                    total[image, c] += added[lane]
                    squares[image, c] += squared[lane]
                    zeros[image, c] += none[lane]
            for place in range(rows * group, size):  # what does not fill a row
                for c in range(channels):
                    a = flat[place * channels + c]
                    if passing:
                        a = _passed(a, factor[c], offset[c], low, high)
                        flat[place * channels + c] = a
                    if a > largest[image, c]:
                        largest[image, c] = a
                        places[image, c] = place
                    total[image, c] += a
                    squares[image, c] += a * a
                    zeros[image, c] += ONE if a == 0 else NONE
            for c in range(channels):
                if total[image, c] != total[image, c]:  # not a number, or infinities of both signs
                    for place in range(size):
                        if flat[place * channels + c] != flat[place * channels + c]:
                            largest[image, c] = np.nan
                            places[image, c] = place
                            break

    return loop


@compiled("f4(f4, f4, f4, f4, f4)", inline=True)
def _passed(value, factor, offset, low, high):  # type: ignore[no-untyped-def]
    value = value * factor + offset
    value = low if value < low else value
    return high if value > high else value


_TYPES = "void(f4[:,:,::1], f4[::1], f4[::1], f4, f4, f4[:,::1], i4[:,::1], f4[:,::1], f4[:,::1], f4[:,::1])"
figures_loop = compiled(_TYPES)(_loop(False))
passing_loop = compiled(_TYPES)(_loop(True))
