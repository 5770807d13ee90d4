"""A picture seen a little differently at every step, so that gradient ascent finds what survives it."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# What lies beyond the border of a picture that is moved, by the word that settings have for it.
PADDING_OF_GRID_SAMPLE = {"mirror": "reflection", "edge": "border", "mean color": "zeros"}


@dataclass(frozen=True)
class Wobble:
    """How far a view may differ.

    Attributes:
        jitter: Pixels to each side, fractions of pixels too.
        rotate: Degrees to each side.
        scale: Share of the size, larger or smaller.
        beyond: What is seen beyond the border, a word of `BEYOND`.
    """

    jitter: float = 0.0
    rotate: float = 0.0
    scale: float = 0.0
    beyond: str = "mirror"

    @property
    def still(self) -> bool:
        return not (self.jitter or self.rotate or self.scale)


def random_views(inputs: Tensor, count: int, wobble: Wobble, generator: torch.Generator) -> Tensor:
    """Shifted, turned and scaled views of one picture, interpolated bilinearly and differentiable.

    Args:
        generator: On the CPU, so that a seed gives the same views on every device.
    Shape:
        inputs: (1, C, H, W), normalized: 0 is the mean color
        returns: (count, C, H, W)
    """
    if wobble.still:
        return inputs.expand(count, -1, -1, -1)
    height, width = inputs.shape[2:]
    draws = 2 * torch.rand((count, 4), generator=generator) - 1
    angle = draws[:, 0] * math.radians(wobble.rotate)
    zoom = torch.exp(draws[:, 1] * math.log1p(wobble.scale))
    cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
    # affine_grid counts from −1 to 1 along both sides, whatever their lengths.
    theta = torch.stack(
        [
            torch.stack([cos, -sin * height / width, draws[:, 2] * wobble.jitter * 2 / width], 1),
            torch.stack([sin * width / height, cos, draws[:, 3] * wobble.jitter * 2 / height], 1),
        ],
        dim=1,
    ).to(inputs.device)
    grid = F.affine_grid(theta, [count, *inputs.shape[1:]], align_corners=False)
    batch = inputs.expand(count, -1, -1, -1)
    return F.grid_sample(batch, grid, padding_mode=PADDING_OF_GRID_SAMPLE[wobble.beyond], align_corners=False)
