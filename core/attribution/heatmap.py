"""Maps made visible: values become colors over a photo, on a scale that is stated.

Colors are honest: zero is neutral (the photo shows through), red speaks for the class and blue against it,
and the strength of a color is the value's share of the limit. The scale is never cyclic.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

POSITIVE_COLOR = (202, 0, 32)
NEGATIVE_COLOR = (5, 85, 190)
MAGNITUDE_COLOR = (230, 85, 0)  # of maps without a sign


@dataclass(frozen=True)
class Scale:
    """What the colors mean.

    Attributes:
        limit: The absolute value at which a color is full; 0 where every map is blank.
        percentile: Share of pixels below the limit, in percent: the rest are cut to it.
        cut: How many pixels are cut.
        low: Least value of the maps.
        high: Greatest value of the maps.
    """

    limit: float
    percentile: float
    cut: int
    low: float
    high: float

    @property
    def words(self) -> str:
        """The range and what was cut, in one line."""
        if self.limit == 0:
            return "every value is 0"
        words = f"{self.low:+.3g} to {self.high:+.3g}, full color at ±{self.limit:.3g}"
        return words + (f" ({self.cut} stronger pixels cut)" if self.cut else "")


def plane_of(values: np.ndarray, mode: str = "signed") -> np.ndarray:
    """One value a pixel: channels added up, for "absolute" without their signs.

    Shape:
        values: (C, H, W) or (H, W)
        returns: (H, W) float32
    """
    if mode == "absolute":
        values = np.abs(values)
    plane = values.sum(axis=0) if values.ndim == 3 else values
    return np.ascontiguousarray(plane, np.float32)


def scale_of(planes: Sequence[np.ndarray], percentile: float = 99.0) -> Scale:
    """The scale of one map (own) or of several (shared), by the percentile of their absolute values.

    The percentile is taken of each map and the largest counts, so that a map of few places is not lost beside
    one of many.
    """
    limits = [float(np.percentile(np.abs(plane), percentile)) for plane in planes]
    limit = max(limits, default=0.0)
    largest = max((float(np.abs(plane).max()) for plane in planes), default=0.0)
    if limit <= 1e-12 * largest or limit == 0:
        limit = largest  # fewer pixels than the percentile leaves: nothing to cut
    cut = sum(int((np.abs(plane) > limit).sum()) for plane in planes)
    low = min((float(plane.min()) for plane in planes), default=0.0)
    high = max((float(plane.max()) for plane in planes), default=0.0)
    return Scale(limit, percentile, cut, low, high)


def colors(plane: np.ndarray, limit: float, *, signed: bool = True) -> np.ndarray:
    """The map as colors to be laid over something.

    Shape:
        plane: (H, W) float
        returns: (H, W, 4) uint8: red above zero, blue below (orange for maps without a sign); alpha is the
            share of the limit, 0 at zero and 255 at the limit and beyond
    """
    share = np.clip(np.abs(plane) / limit, 0, 1) if limit > 0 else np.zeros(plane.shape)
    out = np.empty((*plane.shape, 4), np.uint8)
    positive = POSITIVE_COLOR if signed else MAGNITUDE_COLOR
    out[..., :3] = np.where((plane >= 0)[..., None], positive, NEGATIVE_COLOR)
    out[..., 3] = np.round(255 * share)
    return out


def enlarged(plane: np.ndarray, size: tuple[int, int], *, grid: bool = False) -> np.ndarray:
    """A map of few places over an image of (height, width): smooth, or as the grid it is.

    A place of the map covers its share of the image, so the middles of both agree.
    """
    if plane.shape == size:
        return plane
    kind = Image.Resampling.NEAREST if grid else Image.Resampling.BILINEAR
    resized = Image.fromarray(np.ascontiguousarray(plane, np.float32)).resize((size[1], size[0]), kind)
    return np.asarray(resized)


def overlay(
    image: np.ndarray,
    plane: np.ndarray,
    limit: float,
    *,
    opacity: float = 0.8,
    signed: bool = True,
    grid: bool = False,
) -> np.ndarray:
    """The map over its image, whose own colors are turned to gray so that they are not read as values.

    Shape:
        image: (H, W, C) uint8
        plane: (H, W) or fewer places
        returns: (H, W, 3) uint8
    """
    rgb = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    gray = np.asarray(Image.fromarray(np.ascontiguousarray(rgb)).convert("L"), np.float32)[..., None]
    layer = colors(enlarged(plane, image.shape[:2], grid=grid), limit, signed=signed).astype(np.float32)
    alpha = layer[..., 3:] / 255 * opacity
    return np.round(gray * (1 - alpha) + layer[..., :3] * alpha).astype(np.uint8)


def picture(
    image: np.ndarray,
    maps: Sequence[tuple[str, np.ndarray, Scale]],
    *,
    signed: bool = True,
    opacity: float = 0.8,
    grid: bool = False,
    side: int = 320,
) -> np.ndarray:
    """A picture to print: the image, then every map with its title and range below.

    Args:
        maps: A title, a plane and its scale each.
        side: Width of each, in pixels.
    Shape:
        returns: (H, W, 3) uint8, over white
    """
    height = round(side * image.shape[0] / image.shape[1])
    gap, text = 12, 54
    sheet = Image.new("RGB", ((side + gap) * (len(maps) + 1) + gap, height + text + 2 * gap), "white")
    draw = ImageDraw.Draw(sheet)
    bold, plain = ImageFont.load_default(15), ImageFont.load_default(12)
    rgb = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    panels = [("What the network sees", "", rgb)]
    for title, plane, scale in maps:
        shown = overlay(image, plane, scale.limit, opacity=opacity, signed=signed, grid=grid)
        panels.append((title, scale.words, shown))
    for number, (title, words, pixels) in enumerate(panels):
        left = gap + number * (side + gap)
        kind = Image.Resampling.NEAREST if side >= 3 * image.shape[1] else Image.Resampling.BILINEAR
        tile = Image.fromarray(np.ascontiguousarray(pixels)).resize((side, height), kind)
        sheet.paste(tile, (left, gap))
        draw.text((left, height + gap + 4), title[:44], "black", bold)
        for line, part in enumerate(words.replace(", full", ",\nfull").split("\n")):
            draw.text((left, height + gap + 24 + 14 * line), part, "#444444", plain)
    return np.asarray(sheet)
