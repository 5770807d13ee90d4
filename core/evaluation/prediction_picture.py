"""What a classifier says of an image, as a picture to take away: the image, and a bar for each class."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_SIDE, _ROW, _BARS, _GAP = 320, 40, 360, 12  # pixels
_BAR, _REST, _TEXT = "#0b6e8a", "#d5dde3", "#1a2530"


def prediction_picture(image: np.ndarray, answers: Sequence[tuple[str, float]]) -> np.ndarray:
    """Draw the image that the network saw beside its classes.

    Args:
        answers: A class's name and its probability each.
    Shape:
        image: (H, W, C) uint8
        returns: (h, w, 3) uint8
    """
    seen = Image.fromarray(image if image.shape[2] == 3 else image[..., 0]).convert("RGB")
    seen = seen.resize((_SIDE, round(_SIDE * image.shape[0] / image.shape[1])), Image.Resampling.NEAREST)
    height = max(seen.height, _ROW * len(answers)) + 2 * _GAP
    sheet = Image.new("RGB", (_SIDE + _BARS + 3 * _GAP, height), "white")
    sheet.paste(seen, (_GAP, _GAP))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    left = _SIDE + 2 * _GAP
    for row, (name, share) in enumerate(answers):
        top = _GAP + row * _ROW
        draw.text((left, top), f"{name} · {share:.1%}", _TEXT, font)
        draw.rectangle((left, top + 22, left + _BARS - 1, top + 28), _REST)
        if share > 0:
            draw.rectangle((left, top + 22, left + round(share * (_BARS - 1)), top + 28), _BAR)
    return np.asarray(sheet)
