"""The integral of a gradient along a path, with the steps where the score bends.

Along a path from a baseline, a score changes fast in a few places and hardly at all elsewhere: on ImageNet
networks a small part of the path near the baseline often holds almost everything. Equal steps waste most of
their gradients. Here the path is cut into pieces, each with the gradient at its middle. How wrong a piece is
needs no estimate: the integral over it is the score at its end less the score at its start. The worst pieces
are cut into thirds, so that the middle third keeps the gradient that is there already.

The scores cost a third of the gradients. To take them from Hermite's cubic through the scores and slopes in
the middles, which come for nothing, was tried: twice the steps for the same error on two of three photos,
since a network's score has kinks.

As soon as the errors of all pieces, taken as they come and taken without their signs, are small, that is it:
a sum that is right by chance, with a piece too much here and one too little there, is found out.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Piece:
    """A part of the path.

    Attributes:
        low, high: Where it begins and ends, as shares of the path.
        score_low, score_high: The scores there.
        part: Gradient × (image − baseline) at its middle.
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
        """Integral by the middle − what it must be."""
        return self.slope * (self.high - self.low) - (self.score_high - self.score_low)


# Places on the path → gradient × (image − baseline) at each; and → the score at each.
Parts = Callable[[np.ndarray], list[Tensor]]
Scores = Callable[[np.ndarray], np.ndarray]


def first_pieces(n: int, parts: Parts, scores: Scores) -> list[Piece]:
    """The path in `n` equal pieces."""
    ends = np.linspace(0, 1, n + 1)
    at = scores(ends)
    found = parts((ends[1:] + ends[:-1]) / 2)
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
    """How many of `n` pieces to cut next on the way to `wanted`.

    Few, as each cut tells where to go on: with half of the pieces an ImageNet network takes four times the
    steps. But not fewer than a quarter: no step is saved by it, and small batches cost more for each.
    """
    return min(max(1, n // 4), (wanted - n) // 2)


def is_settled(pieces: list[Piece], limit: float) -> bool:
    """Whether the sum is within the limit, and not because large errors happen to cancel."""
    errors = np.array([piece.error for piece in pieces])
    return abs(float(errors.sum())) <= limit and float(np.abs(errors).sum()) <= 2 * limit


def integral(pieces: list[Piece]) -> Tensor:
    """The sum over the pieces of width × gradient × (image − baseline)."""
    total = pieces[0].part.double() * 0
    for piece in pieces:
        total += piece.part.double() * (piece.high - piece.low)
    return total
