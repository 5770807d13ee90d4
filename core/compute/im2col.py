"""A convolution as one matrix product: every patch of the image is a row, every filter a column.

    Y[(n, y, x), k] = Σ X[n, y+i, x+j, c] · W[k, i, j, c] over (i, j, c)

It costs as many multiplications as the direct convolution. It is faster where the machine multiplies matrices
better than it convolves: in bfloat16 on CPUs, and with 1×1 kernels on small maps.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def convolve_columns(inputs: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int]) -> Tensor:
    """The convolution of stride 1, differentiable once.

    Shape:
        inputs: (N, C, H, W), of the weight's dtype
        weight: (K, C, h, w)
        bias: (K,), of the weight's dtype
        returns: (N, K, H + 2·padding − h + 1, W + 2·padding − w + 1), channels last in memory
    """
    return _Columns.apply(inputs, weight, bias, padding)


class _Columns(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int]
    ) -> Tensor:
        k, _, h, w = weight.shape
        image = inputs.permute(0, 2, 3, 1)  # (N, H, W, C)
        if any(padding):
            image = F.pad(image, (0, 0, padding[1], padding[1], padding[0], padding[0]))
        image = image.contiguous()
        ctx.save_for_backward(image, weight)
        ctx.padding = padding
        n, height, breadth, _ = image.shape
        made = F.linear(_patches(image, h, w), _filters(weight), bias)
        # Detached, it counts as no view: a layer that follows may work in place.
        return made.view(n, height - h + 1, breadth - w + 1, k).permute(0, 3, 1, 2).detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        image, weight = ctx.saved_tensors
        k, c, h, w = weight.shape
        n, height, breadth, _ = image.shape
        down, across = height - h + 1, breadth - w + 1
        made = gradients[0].permute(0, 2, 3, 1).reshape(-1, k)  # (N·down·across, K)
        of_inputs = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            patches = (made @ _filters(weight)).view(n, down, across, h, w, c)
            if (h, w) == (1, 1):
                whole = patches.view(n, down, across, c)
            else:
                whole = torch.zeros_like(image)
                for i in range(h):
                    for j in range(w):
                        whole[:, i : i + down, j : j + across] += patches[:, :, :, i, j]
            top, left = ctx.padding
            # Dense, since batch norm's gradient takes twenty times as long over a view with gaps.
            whole = whole[:, top : height - top, left : breadth - left].contiguous()
            of_inputs = whole.permute(0, 3, 1, 2)
        if ctx.needs_input_grad[1]:
            filters = made.T @ _patches(image, h, w)  # (K, h·w·C)
            of_weight = filters.view(k, h, w, c).permute(0, 3, 1, 2)
        if ctx.needs_input_grad[2]:
            of_bias = made.sum(0)
        return of_inputs, of_weight, of_bias, None


def _patches(image: Tensor, h: int, w: int) -> Tensor:
    """(N·down·across, h·w·C) of an image (N, H, W, C)."""
    n, height, breadth, c = image.shape
    each, row, column, _ = image.stride()
    down, across = height - h + 1, breadth - w + 1
    patches = image.as_strided((n, down, across, h, w, c), (each, row, column, row, column, 1))
    return patches.reshape(-1, h * w * c)


def _filters(weight: Tensor) -> Tensor:
    """(K, h·w·C), without a copy where the weight is channels last in memory."""
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1)
