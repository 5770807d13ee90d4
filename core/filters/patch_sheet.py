"""The patches of some filters as one picture: a column for each filter, the strongest patch on top."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

GAP, MARGIN, HEAD = 6, 34, 40
PAPER, INK, BEYOND, RIM = (255, 255, 255), (40, 48, 56), (226, 228, 232), (160, 168, 176)


def patch_sheet(tiles: Sequence[np.ndarray], titles: Sequence[tuple[str, str]]) -> np.ndarray:
    """Lay patches out by rank and filter, with the names of the filters above and the ranks at the left.

    Args:
        titles: Two lines for each filter: its layer and its number.
    Shape:
        tiles: for each filter (k, side, side, 4) uint8; transparent where there is no image. A filter with
            fewer patches leaves the rest of its column empty.
        returns: (height, width, 3) uint8
    Raises:
        ValueError: There are no tiles, or not one title for each.
    """
    if not tiles or len(tiles) != len(titles):
        raise ValueError(f"{len(tiles)} columns of patches and {len(titles)} titles")
    side, ranks = tiles[0].shape[1], max(len(column) for column in tiles)
    step = side + GAP
    sheet = Image.new("RGB", (MARGIN + len(tiles) * step, HEAD + ranks * step), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for rank in range(ranks):
        draw.text((6, HEAD + rank * step + side // 2), str(rank + 1), INK, font, anchor="lm")
    for number, (column, title) in enumerate(zip(tiles, titles, strict=True)):
        left = MARGIN + number * step
        for line, words in enumerate(title):
            draw.text((left, 4 + 17 * line), _fitting(words, side, font), INK, font)
        for rank, tile in enumerate(column):
            paper = Image.new("RGBA", (side, side), (*BEYOND, 255))
            paper.alpha_composite(Image.fromarray(np.ascontiguousarray(tile)))
            top = HEAD + rank * step
            sheet.paste(paper.convert("RGB"), (left, top))
            draw.rectangle((left - 1, top - 1, left + side, top + side), outline=RIM)
    return np.asarray(sheet)


def _fitting(words: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The end of a long name is what tells it apart."""
    shown = words
    while len(shown) > 1 and font.getlength(shown) > width:
        words = words[1:]
        shown = f"…{words}"
    return shown
