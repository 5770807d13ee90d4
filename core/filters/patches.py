"""The part of an image that a place of a channel sees, cut out with nothing made up beyond the border."""

import numpy as np
from PIL import Image


def patch(pixels: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """Cut a box out of an image; what lies beyond the border is transparent.

    Args:
        box: (top, left, height, width), which may reach over the border.
    Shape:
        pixels: (H, W, 1 or 3) uint8
        returns: (height, width, 4) uint8
    """
    top, left, height, width = box
    out = np.zeros((height, width, 4), np.uint8)
    first_row, first_column = max(0, top), max(0, left)
    last_row, last_column = min(pixels.shape[0], top + height), min(pixels.shape[1], left + width)
    if last_row > first_row and last_column > first_column:
        inside = out[first_row - top : last_row - top, first_column - left : last_column - left]
        inside[..., :3] = pixels[first_row:last_row, first_column:last_column]
        inside[..., 3] = 255
    return out


def tile(pixels: np.ndarray, box: tuple[int, int, int, int] | None, side: int) -> np.ndarray:
    """A patch as a square picture of `side` pixels: enlarged by whole pixels, reduced by averaging.

    A patch that would be larger than the image is the whole image.

    Shape:
        pixels: (H, W, 1 or 3) uint8
        returns: (side, side, 4) uint8, transparent where there is no pixel of the image
    """
    height, width = pixels.shape[:2]
    if box is None or box[2] * box[3] >= height * width:
        box = (0, 0, height, width)
    cut = patch(pixels, box)
    longest = max(cut.shape[:2])
    if longest <= side:
        factor = side // longest
        cut = cut.repeat(factor, 0).repeat(factor, 1)
    else:
        size = (max(1, round(cut.shape[1] * side / longest)), max(1, round(cut.shape[0] * side / longest)))
        cut = np.asarray(Image.fromarray(cut).resize(size, Image.Resampling.BOX))
    out = np.zeros((side, side, 4), np.uint8)
    top, left = (side - cut.shape[0]) // 2, (side - cut.shape[1]) // 2
    out[top : top + cut.shape[0], left : left + cut.shape[1]] = cut
    return out


def with_box(pixels: np.ndarray, box: tuple[int, int, int, int] | None, factor: int) -> np.ndarray:
    """The whole image, enlarged by a whole factor, with the box drawn around what a place sees.

    Shape:
        pixels: (H, W, 1 or 3) uint8
        returns: (H · factor, W · factor, 3) uint8
    """
    colors = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
    out = colors.repeat(factor, 0).repeat(factor, 1).copy()
    if box is None:
        return out
    top, left = max(0, box[0]) * factor, max(0, box[1]) * factor
    bottom = min(pixels.shape[0], box[0] + box[2]) * factor
    right = min(pixels.shape[1], box[1] + box[3]) * factor
    line = max(1, round(max(out.shape[:2]) / 120))
    # Orange with a dark rim can be seen on any photo.
    for inset, color in ((0, (20, 20, 20)), (line, (255, 140, 0))):
        a, b, c, d = top + inset, bottom - inset, left + inset, right - inset
        if b - a < 1 or d - c < 1:
            continue
        for part in (
            out[a : a + line, c:d],
            out[b - line : b, c:d],
            out[a:b, c : c + line],
            out[a:b, d - line : d],
        ):
            part[:] = color
    return out
