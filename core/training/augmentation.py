"""Random changes to training images that leave their class as it is: whole batches, by a seeded generator."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from core.training.devices import moved

OPERATIONS_AN_IMAGE = 2


@dataclass(frozen=True)
class Augmentation:
    """What is done to every batch, in this order; the defaults do nothing.

    Attributes:
        flip: "random" mirrors each image with probability ½; "alternating" mirrors half of the images in the
            first epoch, and from then on each image every other epoch: two epochs show both sides of all.
        crop: Shift by up to this many pixels each way; what comes into view is mirrored at the border.
        color: The strength 0…1 of changes to brightness, contrast and saturation: factors of 1 ± color.
        rand_augment: The magnitude 0…10 of two random operations on each image (0: none).
        cutout: The side in pixels of a square that is filled with the image's mean color (0: none).
    """

    flip: str = "none"
    crop: int = 0
    color: float = 0.0
    rand_augment: int = 0
    cutout: int = 0

    @property
    def changes_something(self) -> bool:
        return self != Augmentation()


def augment(
    images: Tensor,
    augmentation: Augmentation,
    generator: torch.Generator,
    *,
    rows: Tensor | None = None,
    epoch: int = 1,
) -> Tensor:
    """A batch, changed.

    Args:
        generator: The only source of chance, on the CPU; equal seeds give equal batches.
        rows: The images' numbers in their data set, which "alternating" flips go by; 0, 1, 2, … if not given.
        epoch: Counted from 1, for "alternating" flips.
    Shape:
        images: (N, H, W, C) uint8, or float with pixels of 0…255
        returns: the same shape and type
    """
    if not len(images) or not augmentation.changes_something:
        return images
    mirrored = _mirrored(len(images), augmentation.flip, generator, rows, epoch)
    images = shift_and_flip(images, augmentation.crop, mirrored, generator)
    if augmentation.color or augmentation.rand_augment:
        planes = images.permute(0, 3, 1, 2).to(torch.float32) / 255
        if augmentation.color:
            planes = change_colors(planes, augmentation.color, generator)
        if augmentation.rand_augment:
            planes = rand_augment(planes, augmentation.rand_augment, generator)
        planes = planes.clamp(0, 1).permute(0, 2, 3, 1) * 255
        images = planes.round().to(torch.uint8) if images.dtype == torch.uint8 else planes.to(images.dtype)
    if augmentation.cutout:
        images = cut_out(images, augmentation.cutout, generator)
    return images


def _mirrored(n: int, flip: str, generator: torch.Generator, rows: Tensor | None, epoch: int) -> Tensor:
    if flip == "random":
        return torch.rand(n, generator=generator) < 0.5
    if flip == "alternating":
        rows = torch.arange(n) if rows is None else rows
        # A multiplicative hash of the row number: half of the images, unlike their neighbors.
        first = (rows.cpu() * 2654435761) >> 13 & 1
        return (first + epoch) % 2 == 0
    return torch.zeros(n, dtype=torch.bool)


def shift_and_flip(images: Tensor, reach: int, mirrored: Tensor, generator: torch.Generator) -> Tensor:
    """Each image moved by −reach…reach pixels in both directions and mirrored where asked, in one gather.

    Shape:
        images: (N, H, W, C)
        mirrored: (N,) bool, on the CPU, so that looking at it keeps no GPU waiting
    """
    n, height, width, _ = images.shape
    device = images.device
    if not reach and not bool(mirrored.any()):
        return images
    shifts = torch.randint(-reach, reach + 1, (2, n), generator=generator)
    down, right, mirrored = moved(torch.cat((shifts, mirrored[None].long())), device)
    y = _reflect(torch.arange(height, device=device) + down[:, None], height)
    x = torch.arange(width, device=device).expand(n, width)
    x = _reflect(torch.where(mirrored[:, None] != 0, width - 1 - x, x) + right[:, None], width)
    return images[torch.arange(n, device=device)[:, None, None], y[:, :, None], x[:, None, :]]


def _reflect(index: Tensor, size: int) -> Tensor:
    """Indices beyond the border, mirrored back without repeating the border: −1 is 1, size is size − 2."""
    if size == 1:
        return torch.zeros_like(index)
    folded = index.remainder(2 * (size - 1))
    return torch.minimum(folded, 2 * (size - 1) - folded)


def cut_out(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """A square of `side` pixels around a random place in each image, in the image's mean color.

    Source:
        DeVries, Taylor 2017, "Improved Regularization of Convolutional Neural Networks with Cutout",
        arXiv:1708.04552
    """
    n, height, width, _ = images.shape
    top = torch.randint(height, (n, 1), generator=generator) - side // 2
    left = torch.randint(width, (n, 1), generator=generator) - side // 2
    top, left = moved(torch.stack((top, left)), images.device)
    y, x = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
    inside = ((y >= top) & (y < top + side))[:, :, None] & ((x >= left) & (x < left + side))[:, None, :]
    fill = images.to(torch.float32).mean((1, 2), keepdim=True)
    fill = fill.round().to(images.dtype) if images.dtype == torch.uint8 else fill.to(images.dtype)
    return torch.where(inside[..., None], fill, images)


def change_colors(planes: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Brightness, contrast and saturation, each by its own factor of 1 ± strength.

    Shape:
        planes: (N, C, H, W) float32 of 0…1
    """
    factors = 1 + strength * (2 * torch.rand(3, len(planes), 1, 1, 1, generator=generator) - 1)
    brightness, contrast, saturation = moved(factors, planes.device)
    planes = (planes * brightness).clamp(0, 1)
    planes = _blend(_gray(planes).mean((2, 3), keepdim=True), planes, contrast)
    return _blend(_gray(planes), planes, saturation)


def _gray(planes: Tensor) -> Tensor:
    if planes.shape[1] == 1:
        return planes
    red, green, blue = planes.split(1, dim=1)
    return 0.299 * red + 0.587 * green + 0.114 * blue


def _blend(other: Tensor, planes: Tensor, share: Tensor) -> Tensor:
    return (other + share * (planes - other)).clamp(0, 1)


def rand_augment(planes: Tensor, magnitude: int, generator: torch.Generator) -> Tensor:
    """Two operations an image, drawn from eleven, all at one magnitude with a random sign.

    Shape:
        planes: (N, C, H, W) float32 of 0…1
    Source:
        Cubuk, Zoph, Shlens, Le 2019, "RandAugment", arXiv:1909.13719
    """
    strength = magnitude / 10
    rounds, choices = [], []
    for _ in range(OPERATIONS_AN_IMAGE):
        chosen = torch.randint(len(OPERATIONS), (len(planes),), generator=generator)
        sign = torch.randint(2, (len(planes),), generator=generator) * 2 - 1
        order = chosen.argsort(stable=True)
        rounds.append(torch.bincount(chosen, minlength=len(OPERATIONS)).tolist())
        choices.append(torch.stack((order, sign[order])))
    # Images sorted by their operation, and their signs: all choices are moved to the device at once.
    for counts, (order, sign) in zip(rounds, moved(torch.stack(choices), planes.device), strict=True):
        changed = planes.clone()
        parts = zip(OPERATIONS.values(), order.split(counts), sign.split(counts), strict=True)
        for operation, which, signs in parts:
            if len(which):
                changed[which] = operation(planes[which], signs * strength)
        planes = changed.clamp(0, 1)
    return planes


def _warp(planes: Tensor, entries: dict[tuple[int, int], Tensor]) -> Tensor:
    matrix = torch.eye(2, 3, device=planes.device).repeat(len(planes), 1, 1)
    for (row, column), values in entries.items():
        matrix[:, row, column] = values
    grid = F.affine_grid(matrix, list(planes.shape), align_corners=False)
    return F.grid_sample(planes, grid, padding_mode="reflection", align_corners=False)


def _rotate(planes: Tensor, strength: Tensor) -> Tensor:
    angle = strength * math.radians(30)
    height, width = planes.shape[2:]
    cosine, sine = angle.cos(), angle.sin()
    return _warp(
        planes,
        {(0, 0): cosine, (0, 1): -sine * height / width, (1, 0): sine * width / height, (1, 1): cosine},
    )


def _posterize(planes: Tensor, strength: Tensor) -> Tensor:
    levels = 2 ** (8 - (strength.abs() * 4).round()).view(-1, 1, 1, 1) - 1
    return (planes * levels).round() / levels


def _equalize(planes: Tensor, strength: Tensor) -> Tensor:
    """Each pixel's rank among the pixels of its channel, so that every gray level is used equally."""
    flat = (planes * 255).round().flatten(2)
    n, channels, pixels = flat.shape
    level = flat.long() + 256 * torch.arange(n * channels, device=flat.device).view(n, channels, 1)
    # Counted without `bincount`, which makes the CPU wait for a GPU.
    places, ones = level.flatten(), torch.ones_like(level).flatten()
    counts = level.new_zeros(n * channels * 256).scatter_add_(0, places, ones).view(n * channels, 256)
    below = counts.cumsum(1) - counts
    ranks = below.flatten()[level.flatten()].view(n, channels, pixels)
    highest = ranks.amax(2, keepdim=True)
    return torch.where(highest == 0, flat / 255, ranks / highest.clamp_min(1)).view_as(planes)


def _autocontrast(planes: Tensor, strength: Tensor) -> Tensor:
    low, high = planes.amin((2, 3), keepdim=True), planes.amax((2, 3), keepdim=True)
    return torch.where(high > low, (planes - low) / (high - low).clamp_min(1e-6), planes)


def _sharpen(planes: Tensor, strength: Tensor) -> Tensor:
    smooth = F.avg_pool2d(F.pad(planes, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return _blend(smooth, planes, 1 + 0.9 * strength.view(-1, 1, 1, 1))


OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "rotate": _rotate,
    "shear x": lambda p, s: _warp(p, {(0, 1): 0.3 * s}),
    "shear y": lambda p, s: _warp(p, {(1, 0): 0.3 * s}),
    "translate x": lambda p, s: _warp(p, {(0, 2): 0.6 * s}),
    "translate y": lambda p, s: _warp(p, {(1, 2): 0.6 * s}),
    "brightness": lambda p, s: p * (1 + 0.9 * s.view(-1, 1, 1, 1)),
    "contrast": lambda p, s: _blend(_gray(p).mean((2, 3), keepdim=True), p, 1 + 0.9 * s.view(-1, 1, 1, 1)),
    "sharpness": _sharpen,
    "posterize": _posterize,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
}
