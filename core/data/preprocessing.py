"""From a picture of any size to what a network takes in."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from core.data.images import Step
from core.errors import BadCheckpoint

_INTERPOLATIONS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
}


@dataclass(frozen=True)
class Preprocessing:
    """How a photo of any size becomes what the network takes in.

    The shorter side is resized to `resize` pixels, the middle `input_size` is cut out, and each channel
    is scaled from 0…255 to 0…1, has `mean` subtracted and is divided by `std`.

    Attributes:
        input_size: (height, width) in pixels.
        channels: 3 for red, green, blue; 1 for gray.
        resize: Shorter side before the cut, in pixels; None squeezes the whole photo into `input_size`.
        interpolation: "bilinear", "bicubic", "nearest" or "box"; pixels are averaged when shrinking.
    """

    input_size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    channels: int = 3
    resize: int | None = None
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            values = getattr(self, name)
            if len(values) != self.channels or not all(math.isfinite(v) for v in values):
                raise BadCheckpoint(
                    f"The card's {name} is {values}: it needs {self.channels} finite numbers, one a channel."
                )
        if min(self.std) <= 0:
            raise BadCheckpoint(f"The card's std is {self.std}: every value must be above 0.")
        if min(self.input_size) < 1:
            raise BadCheckpoint(f"The card's input_size is {self.input_size}: both sides must be 1 or more.")


def fit(pixels: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """What the network sees of a picture, still in pixel colors.

    Shape:
        pixels: (H, W, 3) uint8
        returns: (*input_size, channels) uint8
    """
    return fit_steps(pixels, preprocessing)[-1].pixels


def for_the_eye(pixels: np.ndarray, preprocessing: Preprocessing, side: int = 672) -> np.ndarray:
    """What the network sees of a picture, in color and at a resolution that looks sharp on a screen.

    Shape:
        pixels: (H, W, 3) uint8
        returns: (h, w, 3) uint8: `input_size` times the whole number that comes near `side`; a picture that
            has no more pixels than the network takes stays at `input_size`
    """
    most = max(preprocessing.input_size)
    times = max(1, round(side / most)) if min(pixels.shape[:2]) > 1.5 * most else 1
    finer = replace(
        preprocessing,
        input_size=(preprocessing.input_size[0] * times, preprocessing.input_size[1] * times),
        resize=None if preprocessing.resize is None else preprocessing.resize * times,
        channels=3, mean=(0.0,) * 3, std=(1.0,) * 3,
    )  # fmt: skip
    return fit(pixels, finer)


def fit_steps(pixels: np.ndarray, preprocessing: Preprocessing) -> list[Step]:
    """The steps from a picture to `fit`'s result: resized, cropped, and gray where the network is."""
    height, width = preprocessing.input_size
    if pixels.shape == (height, width, preprocessing.channels):
        return [Step("As the network sees it", f"already {width} × {height}: nothing to do", pixels)]
    resampling = _INTERPOLATIONS[preprocessing.interpolation]
    image = Image.fromarray(pixels)
    if preprocessing.resize is None:
        resized = image.resize((width, height), resampling)
        steps = [
            Step("Resized", f"to {width} × {height} ({preprocessing.interpolation})", np.asarray(resized))
        ]
    else:
        # The side that is short stays at `resize` or grows, so that the cut always lies inside.
        scale = max(preprocessing.resize / min(image.size), height / image.height, width / image.width)
        # Cut off and rounded as torchvision does it, which pretrained networks were measured with.
        size = (
            max(width, int(image.width * scale + 1e-9)),
            max(height, int(image.height * scale + 1e-9)),
        )
        resized = image.resize(size, resampling)
        left, top = round((size[0] - width) / 2), round((size[1] - height) / 2)
        cropped = resized.crop((left, top, left + width, top + height))
        steps = [
            Step(
                "Resized",
                f"shorter side to {preprocessing.resize} ({preprocessing.interpolation}): "
                f"{size[0]} × {size[1]}",
                np.asarray(resized),
            ),
            Step("Cropped", f"the middle {width} × {height}", np.asarray(cropped)),
        ]
    if preprocessing.channels == 1:
        gray = np.asarray(Image.fromarray(steps[-1].pixels).convert("L"))[..., None]
        steps.append(Step("Gray", "0.299 R + 0.587 G + 0.114 B", gray))
    return steps


def normalize(pixels: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """(…, H, W, C) uint8 to (…, C, H, W) float32 as the network's first layer gets it."""
    return np.moveaxis(normalized(pixels, preprocessing.mean, preprocessing.std), -1, -3)


def normalized(pixels: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """(…, C) uint8, scaled to 0…1, less the mean of each channel, divided by its deviation; float32."""
    return (pixels.astype(np.float32) / 255 - np.array(mean, np.float32)) / np.array(std, np.float32)
