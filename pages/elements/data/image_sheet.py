"""Many small pictures as one: sent as a single block of pixels, drawn without blur, each with its caption."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from pages.elements.component import component, with_head

_image_sheet = component(__file__, "image_sheet")
LARGEST_SENT_SIDE = 128  # pixels of a side that are sent


def image_sheet(
    images: np.ndarray,
    captions: Sequence[str],
    *,
    key: str,
    rows: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> None:
    """Draw tiles that fill the width, each of one picture or of several above each other.

    Args:
        images: (N, K, H, W, 1 or 3) uint8: N tiles of K pictures.
        captions: N lines of text, shown as they stand.
        rows: K words that say what the pictures of a tile are.
        notes: N second lines, in the color of a warning.
    """
    n, per_tile, height, width = images.shape[:4]
    if max(height, width) > LARGEST_SENT_SIDE:
        scale = LARGEST_SENT_SIDE / max(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        flat = [_shrunk(picture, size) for picture in images.reshape(n * per_tile, height, width, -1)]
        images = np.stack(flat).reshape(n, per_tile, size[1], size[0], -1)
        height, width = images.shape[2:4]
    if images.shape[-1] == 1:
        images = np.repeat(images, 3, axis=-1)
    about = {
        "count": n,
        "per_tile": per_tile,
        "height": height,
        "width": width,
        "captions": list(captions),
        "rows": list(rows),
        "notes": list(notes),
    }
    pixels = np.ascontiguousarray(images).tobytes()
    _image_sheet(key=key, data=with_head(about, pixels))


def _shrunk(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    plane = picture[..., 0] if picture.shape[-1] == 1 else picture
    return np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BOX))[..., None].reshape(
        size[1], size[0], -1
    )
