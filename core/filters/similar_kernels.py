"""Kernels: as pictures, and which are near copies of another, since they point the same way."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class KernelStrengths:
    """How much each place of a filter's window weighs, over all its input channels.

    Attributes:
        pictures: (C, height, width, 1) uint8: white is the place of each filter that weighs most, black the
            one that weighs least.
    """

    pictures: np.ndarray


@torch.inference_mode()
def nearest_kernels(weight: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Of every filter the other filter whose kernel is most alike, by the cosine of the angle between them.

    A kernel's length is left out: batch norm, or the next layer, makes up for it. The cosine of a kernel of
    zeros with any other is 0.

    Shape:
        weight: (C, in_channels, height, width)
        returns: (C,) int64, the nearest filter, −1 where there is only one; (C,) float32, from −1 to 1
    """
    kernels = weight.detach().float().flatten(1)
    if len(kernels) < 2:
        return np.full(len(kernels), -1, np.int64), np.zeros(len(kernels), np.float32)
    kernels = nn.functional.normalize(kernels, dim=1)
    nearest, cosines = [], []
    for start in range(
        0, len(kernels), 512
    ):  # 2048 × 2048 cosines at once would be no problem; 16,384² would
        alike = kernels[start : start + 512] @ kernels.T
        own = torch.arange(len(alike), device=alike.device)
        alike[own, own + start] = -2
        best = alike.max(1)
        nearest.append(best.indices)
        cosines.append(best.values)
    return torch.cat(nearest).cpu().numpy(), torch.cat(cosines).clamp(-1, 1).cpu().numpy()


def kernel_pictures(weight: Tensor) -> np.ndarray:
    """The kernels of a first layer as pictures: gray is 0, and one scale for all of a filter's colors.

    Shape:
        weight: (C, 1 or 3, height, width)
        returns: (C, height, width, 1 or 3) uint8
    """
    kernels = weight.detach().float().cpu().numpy()
    largest = np.abs(kernels).max(axis=(1, 2, 3), keepdims=True)
    scaled = kernels / np.where(largest > 0, largest, 1)
    return np.rint(127.5 + 127.5 * scaled).astype(np.uint8).transpose(0, 2, 3, 1)


def kernel_strengths(weight: Tensor) -> KernelStrengths:
    """The square root of the sum of squares at each place, from the least to the most of each filter.

    The scale does not begin at 0, since the places of a filter differ by a third rather than tenfold.

    Shape:
        weight: (C, in_channels, height, width)
    """
    norms = weight.detach().float().norm(dim=1).cpu().numpy()
    least, most = norms.min(axis=(1, 2), keepdims=True), norms.max(axis=(1, 2), keepdims=True)
    shares = (norms - least) / np.where(most > least, most - least, 1)
    return KernelStrengths(np.rint(255 * shares).astype(np.uint8)[..., None])
