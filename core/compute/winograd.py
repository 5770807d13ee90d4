"""Winograd's convolution: a 3×3 convolution as (m+2)² small products a tile of m×m outputs, in plain PyTorch.

Tiles d of the input, (m+2)×(m+2) with steps of m, and the kernel g are brought into a space in which the
convolution is a product element by element, summed over the channels; what comes out is brought back:

    Y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A

So m×m outputs cost (m+2)² multiplications for each pair of channels instead of 9 m²: 2.25 times fewer at
m = 2, 4 times fewer at m = 4. The three changes of space are one product each with a Kronecker product, since
the rows of (Bᵀ d B) are (Bᵀ ⊗ Bᵀ) times the rows of d. Everything is exact but for rounding, which m = 4
magnifies: with 32-bit floats to some 1e-6 of the outputs, with bfloat16 to 3e-2, so that those take m = 2
(5e-3; the direct product in bfloat16 has 3e-3).

Source:
    Lavin, Gray 2015, "Fast Algorithms for Convolutional Neural Networks", arXiv:1509.09308
"""

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

# Bᵀ, G, Aᵀ of F(m×m, 3×3), by m.
_MATRICES = {
    2: (
        ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
        ((1, 0, 0), (1 / 2, 1 / 2, 1 / 2), (1 / 2, -1 / 2, 1 / 2), (0, 0, 1)),
        ((1, 1, 1, 0), (0, 1, -1, -1)),
    ),
    4: (
        (
            (4, 0, -5, 0, 1, 0), (0, -4, -4, 1, 1, 0), (0, 4, -4, -1, 1, 0),
            (0, -2, -1, 2, 1, 0), (0, 2, -1, -2, 1, 0), (0, 4, 0, -5, 0, 1),
        ),
        (
            (1 / 4, 0, 0), (-1 / 6, -1 / 6, -1 / 6), (-1 / 6, 1 / 6, -1 / 6),
            (1 / 24, 1 / 12, 1 / 6), (1 / 24, -1 / 12, 1 / 6), (0, 0, 1),
        ),
        ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1)),
    ),
}  # fmt: skip


MOST_KEPT = 2**28  # bytes of transformed inputs kept for the weight's gradient; more are made again


def transformed_kernel(weight: Tensor, m: int) -> Tensor:
    """G g Gᵀ of every kernel, to be kept where the weights stay the same.

    Shape:
        weight: (K, C, 3, 3)
        returns: ((m+2)², K, C)
    """
    rows = weight.permute(2, 3, 0, 1).reshape(9, -1)  # (9, K·C)
    return (_changes(m, weight.dtype)[1] @ rows).view(-1, *weight.shape[:2])


def winograd(
    inputs: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    padding: tuple[int, int],
    m: int,
    kernel: Tensor | None = None,
) -> Tensor:
    """The convolution of stride 1 with 3×3 kernels, differentiable once.

    Args:
        padding: Zeros above and below, left and right.
        m: Outputs of a tile along one axis, 2 or 4.
        kernel: What `transformed_kernel` gave for the weight; None computes it.
    Shape:
        inputs: (N, C, H, W), of the weight's dtype
        weight: (K, C, 3, 3)
        bias: (K,), of the weight's dtype
        returns: (N, K, H + 2·padding − 2, W + 2·padding − 2), channels last in memory
    """
    return _Winograd.apply(inputs, weight, bias, padding, m, kernel)


class _Winograd(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int], m: int,
        kernel: Tensor | None,
    ) -> Tensor:  # fmt: skip
        at = _changes(m, weight.dtype)[2]
        k = len(weight)
        out = (inputs.shape[2] + 2 * padding[0] - 2, inputs.shape[3] + 2 * padding[1] - 2)
        grid = (-(-out[0] // m), -(-out[1] // m))  # tiles down, tiles across
        spread = _spread(inputs, grid, padding, m)  # (a², N·tiles, C)
        if kernel is None:
            kernel = transformed_kernel(weight, m)
        product = torch.bmm(spread, kernel.transpose(1, 2))  # (a², N·tiles, K), a = m + 2
        if bias is not None:
            product[m + 3] += bias  # row (1, 1): Aᵀ has a column of ones for the point 1
        made = (at @ product.view((m + 2) ** 2, -1)).view(m, m, -1, *grid, k)
        made = made.permute(2, 3, 0, 4, 1, 5).reshape(-1, grid[0] * m, grid[1] * m, k)
        of_weight = ctx.needs_input_grad[1]
        keeps = of_weight and spread.nbytes <= MOST_KEPT
        ctx.save_for_backward(kernel, spread if keeps else None, inputs if of_weight and not keeps else None)
        ctx.geometry = (tuple(inputs.shape), k, out, grid, padding, m)
        # Dense, since batch norm takes five to ten times as long over a view with gaps. Detached, it counts
        # as no view: a layer that follows may work in place.
        return made[:, : out[0], : out[1]].contiguous().permute(0, 3, 1, 2).detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Each change of space backwards is its transpose; tiles that overlap add up."""
        kernel, spread, inputs = ctx.saved_tensors
        (n, c, height, breadth), k, out, grid, padding, m = ctx.geometry
        bt, g, at = _changes(m, kernel.dtype)
        made = gradients[0].permute(0, 2, 3, 1)
        made = F.pad(made, (0, 0, 0, grid[1] * m - out[1], 0, grid[0] * m - out[0]))
        made = made.reshape(n, grid[0], m, grid[1], m, k).permute(2, 4, 0, 1, 3, 5).reshape(m * m, -1)
        product = (at.T @ made).view((m + 2) ** 2, -1, k)  # (a², N·tiles, K)
        of_inputs = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            tiles = bt.T @ torch.bmm(product, kernel).view((m + 2) ** 2, -1)
            whole = _overlapped(tiles.view(m + 2, m + 2, n, *grid, c), m)
            top, left = padding
            of_inputs = whole[:, top : top + height, left : left + breadth].contiguous().permute(0, 3, 1, 2)
        if ctx.needs_input_grad[1]:
            if spread is None:
                spread = _spread(inputs, grid, padding, m)
            changed = torch.bmm(product.transpose(1, 2), spread)  # (a², K, C)
            rows = g.T @ changed.view((m + 2) ** 2, -1)
            of_weight = rows.view(3, 3, k, c).permute(2, 3, 0, 1)
        if ctx.needs_input_grad[2]:
            of_bias = product[m + 3].sum(0)
        return of_inputs, of_weight, of_bias, None, None, None


def _spread(inputs: Tensor, grid: tuple[int, int], padding: tuple[int, int], m: int) -> Tensor:
    """Bᵀ d B of every tile.

    Shape:
        inputs: (N, C, H, W)
        grid: Tiles down, tiles across.
        returns: ((m+2)², N·down·across, C)
    """
    (down, across), (top, left) = grid, padding
    n, c, height, breadth = inputs.shape
    right, below = across * m + 2 - left - breadth, down * m + 2 - top - height
    image = F.pad(inputs.permute(0, 2, 3, 1), (0, 0, left, right, top, below)).contiguous()  # (N, H', W', C)
    each, row, column, _ = image.stride()
    tiles = image.as_strided((m + 2, m + 2, n, down, across, c), (row, column, each, m * row, m * column, 1))
    return (_changes(m, inputs.dtype)[0] @ tiles.reshape((m + 2) ** 2, -1)).view((m + 2) ** 2, -1, c)


def _overlapped(tiles: Tensor, m: int) -> Tensor:
    """Tiles laid m apart and added where they overlap.

    Shape:
        tiles: (m+2, m+2, N, down, across, C)
        returns: (N, m·down + 2, m·across + 2, C)
    """
    _, _, n, down, across, c = tiles.shape
    # Of the m + 2 rows of a tile the last two lie in the tile below: there they are rows 0 and 1.
    whole = tiles.new_zeros(n, down + 1, m, across + 1, m, c)
    for i, rows in ((0, m), (1, 2)):
        for j, columns in ((0, m), (1, 2)):
            part = tiles[i * m : i * m + rows, j * m : j * m + columns]
            place = whole[:, i : i + down, :rows, j : j + across, :columns]
            place += part.permute(2, 3, 0, 4, 1, 5)
    return whole.view(n, (down + 1) * m, (across + 1) * m, c)[:, : down * m + 2, : across * m + 2]


@cache
def _changes(m: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Bᵀ⊗Bᵀ ((m+2)², (m+2)²), G⊗G ((m+2)², 9) and Aᵀ⊗Aᵀ (m², (m+2)²).

    With m = 2 all entries are exact in bfloat16.
    """
    with torch.inference_mode(False):
        parts = (torch.tensor(rows, dtype=torch.float64) for rows in _MATRICES[m])
        bt, g, at = (torch.kron(part, part).to(dtype) for part in parts)
    return bt, g, at
