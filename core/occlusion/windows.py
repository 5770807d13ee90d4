"""Where the windows of a map lie, what stands in them, and the defaults for an image of some size."""

from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import SettingError, UnknownName

if TYPE_CHECKING:
    from core.models.classifier import Classifier
else:
    Classifier = Any  # the command line reads the settings declared below without waiting for torch


FILLS = ("gray", "mean", "black", "white", "blur", "noise")

PLACES_OF_A_FIRST_MAP = 16  # so few that somebody who waits is sooner done without preparing an engine
SMALL_PLACES_OF_A_FIRST_MAP = 64  # the same for small images, whose networks are quick
SIDE_WITH_EVERY_PLACE = 64  # pixels of the shorter side up to which every place is tried by default


def places(size: int, window: int, stride: int) -> np.ndarray:
    """First pixels of the window along one axis: 0, stride, 2 · stride, … and size − window."""
    regular = np.arange(0, size - window + 1, stride)
    last = size - window
    return regular if regular[-1] == last else np.append(regular, last)


def number_of_places(input_size: tuple[int, int], window: int, stride: int) -> int:
    """How many forward passes a map costs."""
    height, width = input_size
    return len(places(height, window, stride)) * len(places(width, window, stride))


def filled_image(image: np.ndarray, fill: str, window: int, seed: int = 0) -> np.ndarray:
    """The whole picture as it looks inside the window.

    Shape:
        image: (H, W, C) uint8
        returns: (H, W, C) uint8
    """
    match fill:
        case "gray":
            return np.full_like(image, 128)
        case "black":
            return np.zeros_like(image)
        case "white":
            return np.full_like(image, 255)
        case "mean":
            mean = image.reshape(-1, image.shape[-1]).mean(axis=0).round().astype(np.uint8)
            return np.broadcast_to(mean, image.shape).copy()
        case "blur":
            from scipy.ndimage import gaussian_filter

            sigma = max(1.0, window / 2)
            smooth = gaussian_filter(image.astype(np.float32), (sigma, sigma, 0), mode="nearest")
            return smooth.round().clip(0, 255).astype(np.uint8)
        case "noise":
            return np.random.default_rng(seed).integers(0, 256, image.shape, np.uint8)
    raise UnknownName("fill", fill, FILLS)


def default_window(input_size: tuple[int, int]) -> int:
    """A seventh of the shorter side, and odd: 1 of 8 pixels, 5 of 28 and of 32, 33 of 224."""
    return round(min(input_size) / 7) | 1


def default_stride(input_size: tuple[int, int]) -> int:
    """1 on small images; on large ones such that about 28 places lie along the shorter side."""
    side = min(input_size)
    return 1 if side <= SIDE_WITH_EVERY_PLACE else max(1, round(side / 28))


def window_choices(input_size: tuple[int, int]) -> list[int]:
    """Windows to offer: 3, 5, 7 and 9 pixels, and on large images odd ones of up to a third as well."""
    side = min(input_size)
    wide = (
        [round(side * share) | 1 for share in (1 / 14, 1 / 7, 1 / 5, 1 / 3)]
        if side > SIDE_WITH_EVERY_PLACE
        else []
    )
    return sorted({window for window in (3, 5, 7, 9, *wide) if window <= side})


def places_of_a_first_map(input_size: tuple[int, int]) -> int:
    """How many places are answered at once, without preparing anything."""
    small = min(input_size) <= SIDE_WITH_EVERY_PLACE
    return SMALL_PLACES_OF_A_FIRST_MAP if small else PLACES_OF_A_FIRST_MAP


def coarse_to_fine(
    input_size: tuple[int, int], window: int, stride: int, first: int | None = None
) -> list[int]:
    """Strides to ask one after the other: each half of the one before, the first with at most `first` places.

    Where it is not given, `first` is what `places_of_a_first_map` says. The places of each are among the
    places of the next, so that none is asked twice (`known=`).
    """
    if first is None:
        first = places_of_a_first_map(input_size)
    strides = [stride]
    while number_of_places(input_size, window, strides[0]) > first:
        strides.insert(0, strides[0] * 2)
    return strides


def check_size(name: str, value: int, input_size: tuple[int, int]) -> None:
    """Raise `SettingError` where a window or stride is larger than the image."""
    if not 1 <= value <= min(input_size):
        height, width = input_size
        raise SettingError(
            f"{name} is {value} pixels, but the network sees {width} × {height}: "
            f"choose 1 to {min(input_size)}."
        )
