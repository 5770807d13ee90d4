"""The integral of a gradient along a path, with the steps where the score bends.

Along a path from a baseline, a score changes fast in a few places and hardly at all elsewhere: on ImageNet
networks a small part of the path near the baseline often holds almost everything. Equal steps waste most of
their gradients. Here the path begins with the few places of Gauss and Legendre, which are exact for whatever
is smooth; `is_smooth` tells whether they are enough. If not, each place becomes a piece of the path as long
as its weight, which holds the place. How wrong a piece is needs no estimate: the integral over it is the
score at its end less the score at its start. The worst pieces are cut into thirds, so that the middle third
keeps the gradient that is there already.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import legendre
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Piece:
    """A part of the path.

    Attributes:
        low, high: Where it begins and ends, as shares of the path.
        score_low, score_high: The scores there.
        part: Gradient × (image − baseline) at a place in its middle third.
        slope: The sum of `part`: how fast the score rises there.
    """

    low: float
    high: float
    score_low: float
    score_high: float
    part: Tensor
    slope: float

    @property
    def error(self) -> float:
        """Integral by that place − what it must be."""
        return self.slope * (self.high - self.low) - (self.score_high - self.score_low)


# Places on the path → gradient × (image − baseline) at each; and → the score at each.
Parts = Callable[[np.ndarray], list[Tensor]]
Scores = Callable[[np.ndarray], np.ndarray]


def is_smooth(slopes: np.ndarray, rises: np.ndarray, whole: float, limit: float) -> bool:
    """Whether the slopes at the n places of Gauss and Legendre tell how the score goes from end to end.

    The polynomial through the slopes, integrated, must give the whole rise within the limit, and the rise up
    to each of the places within four times the limit, since in between it is less exact. A sum that is right
    by chance, where the score bends between the places, is found out by the second.

    Shape:
        slopes: (n,) the slope of the score at each place
        rises: (n,) the score there less the score at the start
    Args:
        whole: The score at the end less the score at the start.
    """
    n = len(slopes)
    places, weights = legendre.leggauss(n)
    if abs(float(weights @ slopes) / 2 - whole) > limit:
        return False
    integrated = legendre.legint(legendre.legfit(places, slopes, n - 1), lbnd=-1) / 2
    return bool(np.abs(legendre.legval(places, integrated) - rises).max() <= 4 * limit)


def first_pieces(weights: np.ndarray, found: list[Tensor], scores: Scores) -> list[Piece]:
    """The path in pieces as long as the weights of the places that the parts were found at."""
    ends = np.concatenate([[0], np.cumsum(weights[:-1]), [1]])
    at = scores(ends)
    return [
        Piece(float(ends[i]), float(ends[i + 1]), float(at[i]), float(at[i + 1]), part, float(part.sum()))
        for i, part in enumerate(found)
    ]


def cut_worst(pieces: list[Piece], cuts: int, parts: Parts, scores: Scores) -> list[Piece]:
    """The `cuts` worst pieces in thirds, the others as they are; costs two gradients and two scores a cut."""
    worst = set(sorted(range(len(pieces)), key=lambda i: -abs(pieces[i].error))[:cuts])
    chosen = [pieces[i] for i in sorted(worst)]
    lows = np.array([piece.low for piece in chosen])
    widths = np.array([piece.high - piece.low for piece in chosen])
    found = parts(np.stack([lows + widths / 6, lows + widths * 5 / 6], axis=1).ravel())
    ends = np.stack([lows + widths / 3, lows + widths * 2 / 3], axis=1)
    at = scores(ends.ravel()).reshape(-1, 2)
    result = [piece for i, piece in enumerate(pieces) if i not in worst]
    for i, piece in enumerate(chosen):
        (left, right), (first, second) = ends[i].tolist(), at[i].tolist()
        before, after = found[2 * i], found[2 * i + 1]
        result += [
            Piece(piece.low, left, piece.score_low, first, before, float(before.sum())),
            Piece(left, right, first, second, piece.part, piece.slope),
            Piece(right, piece.high, second, piece.score_high, after, float(after.sum())),
        ]
    return sorted(result, key=lambda piece: piece.low)


def cuts_at_once(n: int, wanted: int) -> int:
    """How many of `n` pieces to cut next on the way to `wanted`: few, as each cut tells where to go on."""
    return min(max(1, n // 6), (wanted - n) // 2)


def integral(pieces: list[Piece]) -> Tensor:
    """The sum over the pieces of width × gradient × (image − baseline)."""
    total = pieces[0].part.double() * 0
    for piece in pieces:
        total += piece.part.double() * (piece.high - piece.low)
    return total
