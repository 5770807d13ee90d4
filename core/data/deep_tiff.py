"""TIFF files that need more than 8 bits a value, and which page of a file is the picture."""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np

TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True)
class DeepPage:
    """The picture of a TIFF as numbers.

    Attributes:
        values: (H, W) or (H, W, 3 or 4), of any number type; the largest is the lightest.
        orientation: As EXIF has it, 1 to 8.
        profile: The ICC profile, or empty.
    """

    values: np.ndarray
    orientation: int
    profile: bytes


def deep_page(data: bytes, maximum_pixels: int) -> DeepPage | None:
    """The picture of a TIFF with 16 bits and more or with floats; None where Pillow reads the file as well.

    Raises:
        OverflowError: It has more pixels than allowed; the message is its size.
    """
    if data[:4] not in TIFF_MARKS:
        return None
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            pages: Any = file.pages
            page: Any = next((p for p in pages if not int(p.tags.valueof("NewSubfileType", 0)) & 1), pages[0])
            if page.dtype is None or np.dtype(page.dtype).itemsize == 1:
                return None
            height, width = page.imagelength, page.imagewidth
            if height * width > maximum_pixels:
                raise OverflowError(f"{width} × {height} = {width * height / 1e6:.0f}")
            values = np.asarray(page.asarray())
            if page.planarconfig == 2 and values.ndim == 3:
                values = np.moveaxis(values, 0, -1)  # red, green and blue lie one behind the other
            if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] not in (3, 4)):
                return None
            if page.photometric == 0:  # min-is-white
                top = np.iinfo(values.dtype).max if values.dtype.kind in "ui" else values.max()
                values = top - values
            orientation = int(page.tags.valueof("Orientation", 1))
            profile = bytes(page.tags.valueof("InterColorProfile", b"") or b"")
    except OverflowError:
        raise
    except (tifffile.TiffFileError, ValueError, KeyError, IndexError, TypeError, AttributeError, RuntimeError,
            ImportError, MemoryError, OSError):  # fmt: skip
        return None
    return DeepPage(values, orientation, profile)
