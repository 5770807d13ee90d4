"""A photo as one unit sees it: dark outside what it can see, bright where it looks most."""

import numpy as np
from PIL import Image

from core.data.images import enlarge

_SIDE = 480
_BEYOND, _BEYOND_SEEN = 235, (255, 196, 140)


def square(pixels: np.ndarray, side: int) -> np.ndarray:
    """The middle square of the photo, as `side` × `side` pixels."""
    image = Image.fromarray(pixels)
    short = min(image.size)
    left, top = (image.width - short) // 2, (image.height - short) // 2
    return np.asarray(
        image.crop((left, top, left + short, top + short)).resize((side, side), Image.Resampling.BOX)
    )


def boxed(pixels: np.ndarray, box: tuple[float, float]) -> np.ndarray:
    """The photo, dark outside the receptive field, with an orange margin where that reaches beyond it."""
    side = len(pixels)
    low, high = int(np.floor(box[0])), int(np.ceil(box[1])) + 1
    margin = min(max(0, -low, high - side), side)
    wide = np.full((side + 2 * margin, side + 2 * margin, 3), _BEYOND, np.uint8)
    wide[margin : margin + side, margin : margin + side] = pixels // 3 + 20
    inner = slice(max(low, 0), min(high, side))
    outer = slice(max(low + margin, 0), min(high + margin, side + 2 * margin))
    wide[outer, outer] = np.where(wide[outer, outer] == _BEYOND, _BEYOND_SEEN, wide[outer, outer])
    seen = slice(margin + inner.start, margin + inner.stop)
    wide[seen, seen] = pixels[inner, inner]
    return enlarge(wide, _SIDE)


def lit(pixels: np.ndarray, strength: np.ndarray | None) -> np.ndarray:
    """The photo enlarged, and as bright as `strength` (any scale) says, where there is one."""
    if strength is None:
        return enlarge(pixels, _SIDE)
    light = np.sqrt(strength / max(strength.max(), 1e-30))[..., None]
    glow = light * np.array([255, 180, 60]) * 0.45
    return enlarge(np.clip(pixels * (0.15 + 0.85 * light) + glow, 0, 255).astype(np.uint8), _SIDE)
