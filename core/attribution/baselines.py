"""Baselines: pictures that stand for "nothing there", in pixel colors.

Black, gray and white mean the colors, not numbers after normalization: 0 behind a network's normalization is
the mean color of its training images, not black.
"""

from typing import Annotated

import numpy as np
from PIL import Image, ImageFilter

from core.settings import Choice

BASELINES = ("black", "gray", "white", "mean", "blur", "noise average")
Baseline = Annotated[str, Choice(*BASELINES)]

_COLORS = {"black": 0.0, "gray": 128.0, "white": 255.0}


def baseline_images(name: str, image: np.ndarray, *, samples: int = 1, seed: int = 0) -> np.ndarray:
    """The baseline, or the several that are averaged over.

    Args:
        name: One of `BASELINES`. "mean" is the image's mean color, "blur" the image without detail (a
            Gaussian of a tenth of its shorter side), "noise average" are pictures of uniform noise.
        samples: How many pictures of noise; all others are one picture.
        seed: The seed of the noise.
    Shape:
        image: (H, W, C) uint8
        returns: (N, H, W, C) float32, 0…255
    """
    if name == "noise average":
        generator = np.random.default_rng(seed)
        return generator.uniform(0, 255, (samples, *image.shape)).astype(np.float32)
    if name == "blur":
        return _blurred(image)[None]
    if name == "mean":
        color = image.reshape(-1, image.shape[2]).mean(axis=0, dtype=np.float64)
        return np.broadcast_to(color.astype(np.float32), image.shape)[None].copy()
    return np.full((1, *image.shape), _COLORS[name], np.float32)


def _blurred(image: np.ndarray) -> np.ndarray:
    radius = max(1.0, min(image.shape[:2]) / 10)
    channels = [
        np.asarray(Image.fromarray(image[..., c]).filter(ImageFilter.GaussianBlur(radius)), np.float32)
        for c in range(image.shape[2])
    ]
    return np.stack(channels, axis=-1)
