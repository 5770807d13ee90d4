"""A 3×3 convolution of small blocks as products of polynomials, with as few multiplications as there can be.

n numbers convolved with three taps are the product of two polynomials, of n + 2 coefficients: evaluate both
at n + 2 points, multiply, interpolate. That takes n + 2 multiplications instead of 3n (Toom and Cook's), and
in two dimensions (n + 2)² instead of 9n². Read backwards it finds n outputs from n + 2 inputs (Winograd's).
With channels each multiplication is a matrix product, the same 64 matrices for every n up to 6 (36 up to 4):

    Y = Q [ U ⊙ (P d) ]      U[q] = Σ_k V[q, k] w[k]  (C_in, C_out), once for the network

    in:   P = V_n        Q = V_{n+2}⁻¹      n inputs → the n + 2 outputs that they reach
    out:  P = V_{n+2}⁻ᵀ  Q = V_nᵀ           n + 2 inputs → n outputs

with V_n (n + 2, n) the powers 0 … n − 1 of the points; at infinity the highest coefficient. U is the same
for all n, since the points of a smaller n are the first ones of a larger.

Source:
    Winograd 1980, "Arithmetic complexity of computations"; Lavin, Gray 2015, arXiv:1509.09308
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise, product

import numpy as np
import torch
from torch import Tensor

from core.compute.packed_matrix import PackedMatrix
from core.occlusion.changed_block import Span

INTERPOLATION_POINTS = (np.inf, 0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)
# Inputs or outputs of one piece along an axis; more points cost accuracy.
LARGEST_PIECE = len(INTERPOLATION_POINTS) - 2


@dataclass(frozen=True)
class Piece:
    """A part of one axis: `n` inputs or outputs, `offset` behind the first that changes."""

    of_inputs: bool
    offset: int
    n: int

    @property
    def points(self) -> int:
        return self.n + 2


@lru_cache(maxsize=1024)
def pieces(inputs: int, outputs: int, largest: int = LARGEST_PIECE) -> tuple[Piece, ...]:
    """Cut an axis on which so many inputs and outputs change, as evenly as can be: the fewer of the two."""
    n = min(inputs, outputs)
    ends = np.linspace(0, n, -(-n // largest) + 1).round().astype(int).tolist()
    return tuple(Piece(n == inputs, at, end - at) for at, end in pairwise(ends))


def number_of_points(n: int, largest: int = LARGEST_PIECE) -> int:
    return n + 2 * -(-n // largest)


def largest_piece(inputs: int, outputs: int) -> int:
    """On an axis of so many inputs and outputs: what is never longer needs fewer matrices."""
    return max(1, min(inputs, outputs, LARGEST_PIECE))


@lru_cache(maxsize=64)
def transforms(piece_of_inputs: bool, n: int) -> tuple[np.ndarray, np.ndarray]:
    """P and Q of one axis."""
    points = n + 2
    whole = _powers(points, points)
    if piece_of_inputs:
        # A network's "convolution" does not turn the kernel around: so inputs and outputs are turned instead.
        return _powers(points, n)[:, ::-1], np.linalg.inv(whole)[::-1]
    return np.linalg.inv(whole).T, _powers(points, n).T


def _powers(points: int, n: int) -> np.ndarray:
    """(points, n): the value of each power at each point; at infinity, the highest coefficient."""
    rows = [
        [float(k == n - 1) if np.isinf(p) else p**k for k in range(n)] for p in INTERPOLATION_POINTS[:points]
    ]
    return np.array(rows, np.float64)


class ProductConvolution:
    """A 3×3 convolution of stride 1, ready for blocks.

    Args:
        largest: Inputs or outputs of one piece along an axis, up to LARGEST_PIECE.
    Shape:
        weight: (C_out, C_in, 3, 3)
    """

    def __init__(self, weight: Tensor, largest: int = LARGEST_PIECE) -> None:
        self.largest = largest
        out_channels, in_channels = weight.shape[:2]
        powers = torch.from_numpy(_powers(largest + 2, 3)).to(weight)  # (points, 3)
        flat = weight.permute(2, 3, 0, 1).reshape(9, -1)  # (9, C_out · C_in)
        products = (torch.kron(powers, powers) @ flat).view(-1, out_channels, in_channels)
        self.products = [PackedMatrix(each) for each in products]
        self.nbytes = products.nbytes

    def add(
        self,
        onto: Tensor,
        change: Tensor,
        before: tuple[Span, Span],
        after: tuple[Span, Span],
        padding: tuple[int, int],
    ) -> None:
        """Add the convolution of a change to what the layer gave before the change.

        Shape:
            onto: (N · h · w + 1, C_out), at `after`; the last row is for what falls beside, and means nothing
            change: (N, n, m, C_in), at `before`
        """
        out_channels = onto.shape[-1]
        table = torch.cat([change.reshape(-1, change.shape[-1]), change.new_zeros(1, change.shape[-1])])
        before, after = _worth_telling_apart(before, after, self.largest)
        lengths = torch.stack([s.last - s.first + 1 for s in (before[0], after[0], before[1], after[1])], 1)
        parts = []
        for alike in torch.unique(lengths, dim=0).tolist():
            if min(alike) <= 0:
                continue
            windows = (lengths == torch.tensor(alike)).all(1).nonzero().flatten()
            for down, along in product(*(_by_kind(pieces(*alike[i : i + 2], self.largest)) for i in (0, 2))):
                parts.append(_Part(windows, (down, along), before, after, padding, self.largest + 2))
        transformed = [part.transformed(table, before) for part in parts]
        products = [t.new_empty(*t.shape[:2], out_channels) for t in transformed]
        for q in range(len(self.products)):
            here = [(part.points.index(q), i) for i, part in enumerate(parts) if q in part.points]
            if not here:
                continue
            if len(here) == 1:
                j, i = here[0]
                self.products[q].times(transformed[i][j], out=products[i][j])
                continue
            values = [transformed[i][j] for j, i in here]
            multiplied = self.products[q].times(torch.cat(values))
            for (j, i), rows in zip(here, multiplied.split([len(v) for v in values]), strict=True):
                products[i][j] = rows
        for part, multiplied in zip(parts, products, strict=True):
            part.add(onto, multiplied, after)


def _worth_telling_apart(
    before: tuple[Span, Span], after: tuple[Span, Span], largest: int
) -> tuple[tuple[Span, Span], tuple[Span, Span]]:
    """On an axis that is cut into pieces all windows change all that is kept: fewer and larger products."""
    kept = [
        (then, behind) if min(then.length, behind.length) <= largest else (_all(then), _all(behind))
        for then, behind in zip(before, after, strict=True)
    ]
    return (kept[0][0], kept[1][0]), (kept[0][1], kept[1][1])


def _all(span: Span) -> Span:
    return replace(span, first=span.start, last=span.start + span.length - 1)


def _by_kind(all_pieces: tuple[Piece, ...]) -> list[tuple[Piece, ...]]:
    """Pieces of one form and size together: they have the same transforms."""
    kinds: dict[tuple[bool, int], list[Piece]] = {}
    for piece in all_pieces:
        kinds.setdefault((piece.of_inputs, piece.n), []).append(piece)
    return [tuple(each) for each in kinds.values()]


class _Part:
    """Windows whose changes have one size, and pieces of one kind of its rows and of its columns."""

    def __init__(
        self,
        windows: Tensor,
        axes: tuple[tuple[Piece, ...], tuple[Piece, ...]],
        before: tuple[Span, Span],
        after: tuple[Span, Span],
        padding: tuple[int, int],
        points: int,
    ) -> None:
        kinds = (axes[0][0], axes[1][0])
        offsets = [(y.offset, x.offset) for y, x in product(*axes)]
        self.points = [y * points + x for y in range(kinds[0].points) for x in range(kinds[1].points)]
        (py, qy), (px, qx) = (transforms(kind.of_inputs, kind.n) for kind in kinds)
        self.forth = torch.from_numpy(np.kron(py, px).astype(np.float32))
        self.back = torch.from_numpy(np.kron(qy, qx).astype(np.float32))
        # One entry a window and piece. On each axis: (N,) the first input or output, and how many.
        self.windows = windows.repeat_interleave(len(offsets))
        self.inputs: list[tuple[Tensor, int]] = []
        self.outputs: list[tuple[Tensor, int]] = []
        shifts = torch.tensor(offsets).repeat(len(windows), 1).unbind(1)
        for kind, shift, span, then, around in zip(kinds, shifts, before, after, padding, strict=True):
            if kind.of_inputs:
                first = span.first[self.windows] + shift
                self.inputs.append((first, kind.n))
                self.outputs.append((first + around - 2, kind.n + 2))
            else:
                first = then.first[self.windows] + shift
                self.inputs.append((first - around, kind.n + 2))
                self.outputs.append((first, kind.n))

    def transformed(self, table: Tensor, before: tuple[Span, Span]) -> Tensor:
        """(points, N, C_in): the change at each point."""
        places, inside = self._places(self.inputs, before)
        rows = table.index_select(0, torch.where(inside, places, len(table) - 1).flatten())
        n = len(places)
        return (self.forth @ rows.view(n, -1)).view(len(self.points), len(self.windows), -1)

    def add(self, onto: Tensor, multiplied: Tensor, after: tuple[Span, Span]) -> None:
        """Interpolate (points, N, C_out), and add it to the rows of (N · h · w + 1, C_out)."""
        places, inside = self._places(self.outputs, after)
        found = (self.back @ multiplied.view(len(self.points), -1)).view(-1, onto.shape[1])
        onto.index_add_(0, torch.where(inside, places, len(onto) - 1).flatten(), found)

    def _places(self, axes: list[tuple[Tensor, int]], kept: tuple[Span, Span]) -> tuple[Tensor, Tensor]:
        """(n · m, N) rows of a block's table of places, and which lie inside of the block."""
        found, inside = [], []
        for (first, n), span in zip(axes, kept, strict=True):
            place = first - span.start[self.windows] + torch.arange(n)[:, None]  # (n, N)
            inside.append((place >= 0) & (place < span.length))
            found.append(place)
        rows, columns = kept[0].length, kept[1].length
        places = (found[0][:, None] + self.windows * rows) * columns + found[1][None]
        return places.flatten(0, 1), (inside[0][:, None] & inside[1][None]).flatten(0, 1)
