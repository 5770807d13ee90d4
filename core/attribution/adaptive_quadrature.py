"""The integral of a gradient along a path, with the steps where the score bends.

Along a path from a baseline, a score changes fast in a few places and hardly at all elsewhere: on ImageNet
networks a small part of the path near the baseline often holds almost everything. Equal steps waste most of
their gradients. Here the path is cut into pieces, each with the gradient at its middle. How wrong a piece is
needs no gradient: the integral over it is the score at its end less the score at its start. Where pieces
meet, the score follows from the scores and slopes in the middles of the two, which come with the gradients
(Hermite's cubic): a step costs one gradient and nothing else. The sum over all pieces does not depend on it,
since what one piece gains there the next one loses. The worst pieces are cut into thirds, so that the middle
third keeps the gradient that is there already.

As soon as the errors of all pieces, taken as they come and taken without their signs, are small, that is it:
a sum that is right by chance, with a piece too much here and one too little there, is found out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Piece:
    """A part of the path.

    Attributes:
        low, high: Where it begins and ends, as shares of the path.
        score: The score at its middle.
        part: Gradient × (image − baseline) at its middle.
        slope: The sum of `part`: how fast the score rises there.
    """

    low: float
    high: float
    score: float
    part: Tensor
    slope: float

    @property
    def middle(self) -> float:
        return (self.low + self.high) / 2

    @property
    def width(self) -> float:
        return self.high - self.low


# Places on the path → gradient × (image − baseline) and the score at each.
Parts = Callable[[np.ndarray], Sequence[tuple[Tensor, float]]]


def first_pieces(n: int, parts: Parts) -> list[Piece]:
    """The path in `n` equal pieces."""
    ends = np.linspace(0, 1, n + 1)
    found = parts((ends[1:] + ends[:-1]) / 2)
    return [
        Piece(float(low), float(high), score, part, float(part.sum()))
        for low, high, (part, score) in zip(ends[:-1], ends[1:], found, strict=True)
    ]


def errors(pieces: list[Piece], scores: tuple[float, float]) -> np.ndarray:
    """(n,) of each piece: the integral by its middle − what it must be.

    Args:
        scores: At the start and at the end of the path.
    """
    between = [_score_between(one, other) for one, other in pairwise(pieces)]
    at = np.array([scores[0], *between, scores[1]])
    return np.array([piece.slope * piece.width for piece in pieces]) - np.diff(at)


def _score_between(one: Piece, other: Piece) -> float:
    """The score where two pieces meet."""
    long = other.middle - one.middle
    t = (one.high - one.middle) / long
    return float(
        (1 + 2 * t) * (1 - t) ** 2 * one.score
        + t * (1 - t) ** 2 * long * one.slope
        + t**2 * (3 - 2 * t) * other.score
        + t**2 * (t - 1) * long * other.slope
    )


def cut_worst(pieces: list[Piece], cuts: int, parts: Parts, scores: tuple[float, float]) -> list[Piece]:
    """The `cuts` worst pieces in thirds, the others as they are; costs two gradients a cut."""
    size = np.abs(errors(pieces, scores))
    chosen = sorted(np.argsort(-size, kind="stable")[:cuts].tolist())
    lows = np.array([pieces[i].low for i in chosen])
    thirds = np.array([pieces[i].width for i in chosen]) / 3
    found = parts(np.stack([lows + thirds / 2, lows + thirds * 5 / 2], axis=1).ravel())
    result = [piece for i, piece in enumerate(pieces) if i not in chosen]
    for number, i in enumerate(chosen):
        old, left, right = pieces[i], lows[number] + thirds[number], lows[number] + 2 * thirds[number]
        (before, low), (behind, high) = found[2 * number], found[2 * number + 1]
        result += [
            Piece(old.low, float(left), low, before, float(before.sum())),
            Piece(float(left), float(right), old.score, old.part, old.slope),
            Piece(float(right), old.high, high, behind, float(behind.sum())),
        ]
    return sorted(result, key=lambda piece: piece.low)


def cuts_at_once(n: int, wanted: int) -> int:
    """How many of `n` pieces to cut next on the way to `wanted`.

    Few, as each cut tells where to go on: with half of the pieces an ImageNet network takes four times the
    steps. But not fewer than a quarter: no step is saved by it, and small batches cost more for each.
    """
    return min(max(1, n // 4), (wanted - n) // 2)


def is_settled(pieces: list[Piece], scores: tuple[float, float], limit: float) -> bool:
    """Whether the sum is within the limit, and not because large errors happen to cancel."""
    found = errors(pieces, scores)
    return abs(float(found.sum())) <= limit and float(np.abs(found).sum()) <= 2 * limit


def integral(pieces: list[Piece]) -> Tensor:
    """The sum over the pieces of width × gradient × (image − baseline)."""
    total = pieces[0].part.double() * 0
    for piece in pieces:
        total += piece.part.double() * piece.width
    return total
