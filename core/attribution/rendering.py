"""Maps one can read: the same values as heat, with their sign, as a spotlight, or raw.

A map of pixels is dust to the eye: a Gaussian gathers it (`sigma`, in pixels of the input; 0 leaves it raw).
Numbers and files stay raw. The browser draws the same layer from the same tables (overlay.js), and a test
compares the two pixel by pixel.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import correlate1d

from core.attribution.heatmap import enlarged, plane_of

VIEWS = ("heat", "signed", "spotlight", "raw")
SPOTLIGHT_SHARE = 0.2  # share of the pixels that is lit, unless another is chosen
_SMALL_SIDE = 32  # pixels of a side up to which a lower percentile keeps single pixels apart


@dataclass(frozen=True)
class Look:
    """How maps are looked at.

    Attributes:
        view: "heat" (magnitude), "signed" (for and against), "spotlight" (the strongest share) or "raw".
        sigma: Standard deviation of the smoothing, in pixels of the input. Coarse maps are never smoothed.
        share: Of the pixels, what the spotlight lights.
    """

    view: str = "heat"
    sigma: float = 0.0
    share: float = SPOTLIGHT_SHARE


def default_sigma(size: tuple[int, int]) -> float:
    """The smoothing that shows parts and keeps peaks apart on an image of (height, width)."""
    return max(0.75, max(size) / 56)


def percentile_for(size: tuple[int, int]) -> float:
    """Which percentile of a map has the full color."""
    return 99.0 if max(size) <= _SMALL_SIDE else 99.5


def smoothed(plane: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian mean of the neighborhood, cut off at 3 sigma; at the border, of the pixels that there are.

    Shape:
        plane: (H, W)
        returns: (H, W) float32
    """
    if sigma <= 0:
        return np.ascontiguousarray(plane, np.float32)
    reach = max(1, int(np.ceil(3 * sigma)))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    found = np.asarray(plane, np.float64)
    for axis in (0, 1):
        weights = correlate1d(np.ones(found.shape[axis]), kernel, mode="constant")
        found = correlate1d(found, kernel, axis=axis, mode="constant")
        found = found / (weights[:, None] if axis == 0 else weights)
    return found.astype(np.float32)


def shown_plane(values: np.ndarray, size: tuple[int, int], look: Look, *, smooth: bool) -> np.ndarray:
    """The values that are drawn: one a pixel of the image, smoothed where the view smooths.

    Args:
        values: (C, H, W) or (h, w).
        smooth: Whether this map may be smoothed: one of single pixels.
    Shape:
        returns: size, float32; magnitudes for "heat" and "spotlight"
    """
    mode = "signed" if look.view in ("signed", "raw") else "absolute"
    plane = enlarged(plane_of(values, mode), size)
    return smoothed(plane, look.sigma if smooth and look.view != "raw" else 0.0)


def limit_of(plane: np.ndarray) -> float:
    """The absolute value that gets the full color; 0 for a map that is blank."""
    magnitudes = np.abs(plane)
    limit = float(np.percentile(magnitudes, percentile_for(plane.shape[:2])))
    largest = float(magnitudes.max(initial=0.0))
    return limit if limit > 1e-12 * largest else largest


def threshold_of(plane: np.ndarray, share: float) -> float:
    """The value above which a pixel belongs to the strongest share."""
    return float(np.percentile(plane, 100 * (1 - share)))


def layer(plane: np.ndarray, look: Look, limit: float) -> np.ndarray:
    """What is laid over the photo.

    Args:
        plane: What `shown_plane` answers.
        limit: The value of the full color, of this map or of several.
    Shape:
        returns: (H, W, 4) uint8
    """
    out = np.zeros((*plane.shape, 4), np.uint8)
    if look.view == "spotlight":
        dark = plane < threshold_of(plane, look.share) if limit > 0 else np.ones(plane.shape, bool)
        out[..., 3] = np.where(dark, 217, 0)
        return out
    if limit <= 0:
        return out
    strength = np.minimum(np.abs(plane.astype(np.float64)) / limit, 1.0)
    if look.view == "heat":
        out[..., :3] = heat_table()[_level(strength)]
        out[..., 3] = _level(np.minimum(1.0, 0.12 + 1.25 * strength))
    else:
        out[..., :3] = signed_table()[np.where(plane < 0, 0, 1)]
        out[..., 3] = _level(strength)
    return out


def backdrop(image: np.ndarray, view: str) -> np.ndarray:
    """The photo as it lies under the layer: dark for heat, pale for signs, itself, or black.

    Shape:
        image: (H, W, C) uint8
        returns: (H, W, 3) uint8
    """
    rgb = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    if view == "spotlight":
        return rgb
    if view == "raw":
        return np.zeros_like(rgb)
    gray = np.asarray(Image.fromarray(np.ascontiguousarray(rgb)).convert("L"), np.float32)[..., None]
    levels = 0.5 * gray if view == "heat" else 160 + 0.35 * gray
    return np.repeat(np.round(levels).astype(np.uint8), 3, axis=2)


def rendered(image: np.ndarray, plane: np.ndarray, look: Look, limit: float) -> np.ndarray:
    """The map over its image.

    Shape:
        image: (H, W, C) uint8
        plane: (H, W)
        returns: (H, W, 3) uint8
    """
    over = layer(plane, look, limit).astype(np.float32)
    alpha = over[..., 3:] / 255
    return np.round(backdrop(image, look.view) * (1 - alpha) + over[..., :3] * alpha).astype(np.uint8)


@cache
def heat_table() -> np.ndarray:
    """256 colors from dark violet to pale yellow, evenly spaced to the eye (Inferno).

    Shape:
        returns: (256, 3) uint8
    """
    import cv2

    ramp = np.arange(256, dtype=np.uint8)[:, None]
    return np.ascontiguousarray(cv2.applyColorMap(ramp, cv2.COLORMAP_INFERNO)[:, 0, ::-1])


@cache
def signed_table() -> np.ndarray:
    """The colors against and for: blue and orange, which every kind of eye can tell apart.

    Shape:
        returns: (2, 3) uint8
    """
    return np.array([(33, 102, 220), (225, 87, 0)], np.uint8)


def scale_words(look: Look, limit: float) -> tuple[str, str, str]:
    """What the left end, the middle and the right end of the color bar mean."""
    if look.view == "spotlight":
        return f"the other {1 - look.share:.0%}", "", f"the strongest {look.share:.0%}"
    if look.view == "heat":
        return "0", "", f"{limit:.3g} and more"
    return f"against: -{limit:.3g}", "0", f"for: +{limit:.3g}"


@dataclass(frozen=True)
class Shown:
    """One map for a sheet: its title, its values, what is said under it, and whether it may be smoothed."""

    title: str
    values: np.ndarray
    words: str = ""
    smooth: bool = True


def sheet(
    image: np.ndarray, maps: Sequence[Shown], look: Look, *, shared: bool = False, side: int = 448
) -> np.ndarray:
    """A picture to take away: the image, then every map as it is on the screen, with its color bar.

    Args:
        shared: One scale for all maps instead of one each.
        side: Width of each, in pixels.
    Shape:
        returns: (H, W, 3) uint8, over white
    """
    size = image.shape[:2]
    height = round(side * size[0] / size[1])
    gap, text = 16, 92
    planes = [shown_plane(one.values, size, look, smooth=one.smooth) for one in maps]
    limits = [limit_of(plane) for plane in planes]
    if shared:
        limits = [max(limits, default=0.0)] * len(limits)
    page = Image.new("RGB", ((side + gap) * (len(maps) + 1) + gap, height + text + 2 * gap), "white")
    draw = ImageDraw.Draw(page)
    bold, plain = ImageFont.load_default(18), ImageFont.load_default(14)
    rgb = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    tiles = [("What the network sees", rgb)]
    tiles += [
        (one.title, rendered(image, plane, look, limit))
        for one, plane, limit in zip(maps, planes, limits, strict=True)
    ]
    for number, (title, pixels) in enumerate(tiles):
        left = gap + number * (side + gap)
        kind = Image.Resampling.NEAREST if side >= 3 * size[1] else Image.Resampling.BICUBIC
        page.paste(Image.fromarray(np.ascontiguousarray(pixels)).resize((side, height), kind), (left, gap))
        draw.text((left, gap + height + 6), title[:48], "black", bold)
        if number:
            bar = color_bar(look, side, 12)
            page.paste(Image.fromarray(bar), (left, gap + height + 34))
            low, middle, high = scale_words(look, limits[number - 1])
            line = gap + height + 50
            draw.text((left, line), low, "#333333", plain)
            draw.text((left + side / 2, line), middle, "#333333", plain, anchor="ma")
            draw.text((left + side, line), high, "#333333", plain, anchor="ra")
            draw.text((left, line + 20), maps[number - 1].words[:70], "#333333", plain)
    return np.asarray(page)


def color_bar(look: Look, width: int, height: int) -> np.ndarray:
    """The scale as a strip, from its left to its right end.

    Shape:
        returns: (height, width, 3) uint8
    """
    gray = np.full((1, width, 1), 110, np.uint8)
    if look.view == "spotlight":
        strip = np.full((1, width, 3), 40, np.uint8)
        strip[:, round(width * (1 - look.share)) :] = 235
    else:
        ends = (-1.0, 1.0) if look.view in ("signed", "raw") else (0.0, 1.0)
        ramp = np.linspace(*ends, width, dtype=np.float32)[None]
        strip = rendered(gray, ramp, look, 1.0)
    return np.repeat(strip, height, axis=0)


def _level(share: np.ndarray) -> np.ndarray:
    """0…1 as 0…255, halves upwards as JavaScript rounds them."""
    return np.floor(255 * share + 0.5).astype(np.uint8)
