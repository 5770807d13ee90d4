"""Occlusion maps as pictures: colors, the range they stand for, and a sheet of many maps with its labels."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from core.data.images import enlarge

# Neither is cyclic: lightness rises in the first, and falls to both sides of the neutral 0 in the second.
_SEQUENTIAL = ("#1b0c42", "#5c126e", "#a5306a", "#e0562f", "#fba40a", "#fcffa4")
_DIVERGING = ("#0b4a8f", "#4f8fc8", "#a9cbe6", "#f4f4f2", "#f6b48f", "#d75a3c", "#8e1023")
# The class that wins on the whole image is gray; nine others have a color each, and what is left is black.
FLIP_COLORS = ("#c9c9c9", "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#f0e442",
                "#7a4fb5", "#8c6d31", "#111111")  # fmt: skip
# Below this range of probabilities the colors would show differences that nobody should read anything into.
SMALLEST_VISIBLE_CHANGE = 0.01


@dataclass(frozen=True)
class Scale:
    """What the colors of a map stand for: the values `low` to `high`, with 0 neutral where `diverging`."""

    low: float
    high: float
    diverging: bool

    @property
    def colors(self) -> np.ndarray:
        """(256, 3) uint8, from the low end to the high end."""
        stops = _DIVERGING if self.diverging else _SEQUENTIAL
        rgb = np.array([[int(stop[i : i + 2], 16) for i in (1, 3, 5)] for stop in stops], np.float64)
        at = np.linspace(0, len(stops) - 1, 256)
        channels = [np.interp(at, np.arange(len(stops)), rgb[:, c]) for c in range(3)]
        return np.stack(channels, axis=1).round().astype(np.uint8)

    def paint(self, values: np.ndarray) -> np.ndarray:
        """(H, W) floats to (H, W, 3) uint8; a map of one value is painted in the middle color."""
        span = self.high - self.low
        shares = (values - self.low) / span if span > 0 else np.full(values.shape, 0.5)
        return self.colors[(shares * 255).round().clip(0, 255).astype(np.uint8)]


def scale_of(values: np.ndarray, value: str) -> Scale:
    """From least to most; for a drop as far to both sides of 0 as it goes to either."""
    low, high = float(values.min()), float(values.max())
    if value == "drop":
        most = max(abs(low), abs(high))
        return Scale(-most, most, True)
    return Scale(low, high, False)


def remark(values: np.ndarray, value: str, base: float) -> str:
    """Why a map says little, in a sentence; empty where it says something.

    Args:
        base: Probability of the target on the whole image.
    """
    span = float(values.max() - values.min())
    if span > (SMALLEST_VISIBLE_CHANGE if value != "logit" else 0.05):
        return ""
    unit = "in logits" if value == "logit" else "percentage points"
    size = f"{span:.2g} {unit}" if value == "logit" else f"{100 * span:.2g} {unit}"
    if value != "logit" and base > 0.99:
        why = f"The probability is {base:.2%} and hardly moves: look at the logit, or choose a larger window."
    elif value != "logit" and base < 0.01:
        why = f"The target is unlikely from the start ({base:.2%}): choose the predicted class, or the logit."
    else:
        why = "No single part of this size matters to the answer: choose a larger window or another fill."
    return f"This map is nearly flat: its lowest and highest values are {size} apart. {why}"


def sheet(rows: Sequence[Sequence[np.ndarray]], columns: Sequence[str], labels: Sequence[str],
          *, side: int = 128) -> np.ndarray:  # fmt: skip
    """Pictures in rows and columns, the columns named above and each row labeled below its pictures.

    Shape:
        rows: of (H, W, 3) uint8 each, all of one size
        returns: (height, width, 3) uint8
    """
    height, width = enlarge(rows[0][0], side).shape[:2]
    gap, head, foot = 6, 22, 20
    font = _font(13)
    canvas = Image.new(
        "RGB", (len(columns) * (width + gap) + gap, head + len(rows) * (height + foot)), "white"
    )
    draw = ImageDraw.Draw(canvas)
    for column, name in enumerate(columns):
        draw.text((gap + column * (width + gap), 4), name, "black", font=font)
    for row, (pictures, label) in enumerate(zip(rows, labels, strict=True)):
        top = head + row * (height + foot)
        for column, picture in enumerate(pictures):
            canvas.paste(Image.fromarray(enlarge(picture, side)), (gap + column * (width + gap), top))
        draw.text((gap, top + height + 2), label, "black", font=font)
    return np.asarray(canvas)


def _font(size: int) -> Any:
    """The font of matplotlib's figures, which has more letters than Pillow's own."""
    found = find_spec("matplotlib")
    if found is not None and found.origin is not None:
        file = Path(found.origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf"
        if file.exists():
            return ImageFont.truetype(file, size)
    return ImageFont.load_default(size)
