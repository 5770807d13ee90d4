"""TIFF files that need more than 8 bits a value, and which page of a file is the picture."""

import io
import zlib
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from core.errors import BadImage

TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB, _SEPARATED = 0, 1, 2, 5
_UNCOMPRESSED, _DEFLATE, _PACKBITS = 1, (8, 32946), 32773
_MOST_PAGES = 16  # that are looked through for the picture
MAXIMUM_NUMBERS_BYTES = 400 * 2**20  # 50 megapixels of 16-bit RGBA
_COLORS = {_MIN_IS_WHITE: 1, _MIN_IS_BLACK: 1, _RGB: 3, _SEPARATED: 4}


@dataclass(frozen=True)
class DeepPage:
    """The picture of a TIFF as numbers.

    Attributes:
        values: (H, W, C) of any number type, as they are stored: C is 1 (gray), 3 (RGB) or 4 (CMYK).
        alpha: (H, W) of the same type, or None where nothing is transparent.
        is_premultiplied: The values were multiplied by alpha.
        is_negative: The smallest value is the lightest.
        orientation: As EXIF has it, 1 to 8.
        profile: The ICC profile, or empty.
    """

    values: np.ndarray
    alpha: np.ndarray | None
    is_premultiplied: bool
    is_negative: bool
    orientation: int
    profile: bytes


def deep_page(data: bytes, maximum_pixels: int, name: str) -> DeepPage | None:
    """The picture of a TIFF with 16 bits and more or with floats; None where Pillow reads the file as well.

    Raises:
        OverflowError: It has more pixels than allowed; the message is its size.
        BadImage: Its numbers are colors of a kind that would be shown wrong.
    """
    if data[:4] not in TIFF_MARKS:
        return None
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            pages: Any = file.pages
            first = list(islice(pages, _MOST_PAGES))
            page: Any = next((p for p in first if not int(p.tags.valueof("NewSubfileType", 0)) & 1), first[0])
            if page.dtype is None or np.dtype(page.dtype).itemsize == 1:
                return None
            height, width = page.imagelength, page.imagewidth
            if height * width > maximum_pixels:
                raise OverflowError(f"{width} × {height} = {width * height / 1e6:.0f}")
            return _page_as_numbers(page, data, name)
    except (OverflowError, BadImage):
        raise
    except Exception:  # noqa: BLE001 - tifffile raises whatever damaged bytes lead it to
        return None


def _page_as_numbers(page: Any, data: bytes, name: str) -> DeepPage | None:
    colors, samples = _COLORS.get(int(page.photometric)), int(page.samplesperpixel)
    if colors is None or samples not in (colors, colors + 1):
        kind = str(getattr(page.photometric, "name", page.photometric))
        raise BadImage(
            f"{name!r} is a TIFF with {8 * np.dtype(page.dtype).itemsize} bits a value, {samples} values a "
            f"pixel and colors of the kind {kind}; gray, RGB and CMYK are read, with or without "
            "transparency. Save it as one of these."
        )
    megabytes = page.imagelength * page.imagewidth * samples * np.dtype(page.dtype).itemsize / 2**20
    if megabytes > MAXIMUM_NUMBERS_BYTES / 2**20:
        raise BadImage(
            f"{name!r} would decode to {megabytes:,.0f} MB; up to {MAXIMUM_NUMBERS_BYTES // 2**20} MB are "
            "read. Make it smaller, or save it with 8 bits a value."
        )
    values = _values(page, data, name)
    if values is None:
        return None
    extra = tuple(int(kind) for kind in page.extrasamples)
    has_alpha = samples > colors and extra[:1] != (0,)  # 0: nobody knows what the further value means
    return DeepPage(
        values[..., :colors],
        values[..., colors] if has_alpha else None,
        has_alpha and extra[:1] == (1,),
        int(page.photometric) == _MIN_IS_WHITE,
        int(page.tags.valueof("Orientation", 1)),
        bytes(page.tags.valueof("InterColorProfile", b"") or b""),
    )


def _values(page: Any, data: bytes, name: str) -> np.ndarray | None:
    """(H, W, C), or None where the compression is one that Pillow knows and tifffile alone does not."""
    samples = int(page.samplesperpixel)
    is_planar = samples > 1 and int(page.planarconfig) == 2
    try:
        _check_expansion(page, data, name)
        values = np.asarray(page.asarray())
    except ValueError:  # a compression or a predictor that tifffile leaves to another package
        if np.dtype(page.dtype).kind != "f" or samples == 1:
            return None
        found = None if is_planar or samples != 3 or page.index else _by_opencv(data)
        if found is None or found.shape != (page.imagelength, page.imagewidth, 3):
            compression = str(getattr(page.compression, "name", page.compression))
            raise BadImage(
                f"{name!r} is a TIFF of floats that cannot be decoded (compression {compression}). "
                "Save it without compression, or as 16 bits."
            ) from None
        return found
    if is_planar and values.ndim == 3:
        values = np.moveaxis(values, 0, -1)  # red, green and blue lie one behind the other
    values = values[..., None] if values.ndim == 2 else values
    return values if values.shape == (page.imagelength, page.imagewidth, samples) else None


def _check_expansion(page: Any, data: bytes, name: str) -> None:
    """Refuse strips that expand to more than the picture has room for, which tifffile would not notice.

    Raises:
        BadImage: A strip holds more than its share of the picture.
        ValueError: The compression is not one that is decoded here.
    """
    compression = int(page.compression)
    if compression in (_UNCOMPRESSED, _PACKBITS):  # PackBits makes at most 64 bytes of one
        return
    if compression not in _DEFLATE:
        raise ValueError(f"compression {compression} is left to another decoder")
    room = int(np.prod(page.chunks)) * np.dtype(page.dtype).itemsize
    for offset, length in zip(page.dataoffsets, page.databytecounts, strict=False):
        inflater = zlib.decompressobj()
        strip = data[offset : offset + length]
        if len(inflater.decompress(strip, room + 1)) > room:
            raise BadImage(
                f"{name!r} has strips that expand to more than its {page.imagewidth} × {page.imagelength} "
                "pixels have room for: it is damaged. Open it in an image program and save it again."
            )


def _by_opencv(data: bytes) -> np.ndarray | None:
    import cv2

    try:
        found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    return None if found is None or found.ndim != 3 else found[..., ::-1]
