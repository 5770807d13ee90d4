"""Reading the images that people bring.

One decoder for the whole project: samples, uploads, camera pictures and files of a data set all come through
`read_image`, which looks at the size in the header before a single pixel is decoded.
"""

import hashlib
import io
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, UnidentifiedImageError

from core.errors import BadImage

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
SUFFIXES = ("jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "gif")
MAXIMUM_BYTES = 20 * 2**20
MAXIMUM_PIXELS = 50_000_000
# A picture that is looked at and cut to a few hundred pixels needs no more than this on its longer side.
KEPT_SIDE = 2048


@dataclass(frozen=True)
class Step:
    """One step from the file to the network: its name, what it did, and the picture after it (uint8)."""

    name: str
    text: str
    pixels: np.ndarray


@dataclass(frozen=True)
class ReadImage:
    """A picture as people see it.

    Attributes:
        pixels: (H, W, 3) uint8, upright, over white.
        name: What to call it: a file's or a sample's name.
        sha256: Of the pixels, in hex: two files with the same picture are the same image.
        steps: How it was read, the last of them showing `pixels`.
        label: The true class's name where it is known (an image of a data set), else None.
        masks: (H, W) bool by what they show, where the truth about the pixels is known.
    """

    pixels: np.ndarray
    name: str
    sha256: str
    steps: tuple[Step, ...]
    label: str | None = None
    masks: Mapping[str, np.ndarray] = field(default_factory=dict)


def read_image(data: bytes, name: str = "image") -> ReadImage:
    """Decode a JPEG, PNG, WebP, BMP, TIFF or GIF (first frame) to upright RGB.

    EXIF orientation is applied, transparency laid over white, CMYK, palette and gray become RGB, 16-bit and
    float values are brought to 0…255. Pictures longer than 2048 pixels are reduced to that.

    Raises:
        BadImage: Empty, over 20 MB, over 50 megapixels, of another kind, or broken; the message says which.
    """
    if not data:
        raise BadImage(f"{name!r} is empty (0 bytes): choose a file with a picture in it.")
    if len(data) > MAXIMUM_BYTES:
        raise BadImage(
            f"{name!r} has {len(data) / 2**20:.1f} MB; up to {MAXIMUM_BYTES // 2**20} MB are read. "
            "Save it smaller, as JPEG for example."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the size is checked here, with a message of ours
            image = _open(data, name)
            read = _upright(image, name)
    except BadImage:
        raise
    except Image.DecompressionBombError:
        raise _too_many_pixels(name, "far more") from None
    except (OSError, SyntaxError, ValueError, IndexError, EOFError, OverflowError, MemoryError) as error:
        raise BadImage(
            f"{name!r} begins like an image but is broken or cut short ({error}). "
            "Open it in an image program and save it again."
        ) from None
    return read


def image_from_pixels(pixels: np.ndarray, name: str, label: str | None = None) -> ReadImage:
    """Pixels of a data set or a drawing as a `ReadImage`: (H, W), (H, W, 1) or (H, W, 3) uint8."""
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    pixels = np.ascontiguousarray(pixels, dtype=np.uint8)
    height, width = pixels.shape[:2]
    return ReadImage(
        pixels, name, _hash(pixels), (Step("As read", f"{width} × {height} pixels", pixels),), label
    )


def encode(pixels: np.ndarray, kind: str = "png") -> bytes:
    """(H, W, 3), (H, W, 4) or (H, W[, 1]) uint8 as the bytes of a PNG or JPEG file."""
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    out = io.BytesIO()
    image = Image.fromarray(pixels)
    if kind == "jpeg":
        image.convert("RGB").save(out, "JPEG", quality=90)
    else:
        image.save(out, "PNG", compress_level=1)
    return out.getvalue()


def enlarge(pixels: np.ndarray, side: int) -> np.ndarray:
    """A small picture enlarged to about `side` pixels without blur: browsers smear what they enlarge."""
    factor = max(1, round(side / max(pixels.shape[:2])))
    return pixels.repeat(factor, 0).repeat(factor, 1)


def _open(data: bytes, name: str) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        deep = _deep_tiff(data, name)
        if deep is not None:
            return deep
        raise BadImage(
            f"{name!r} is not an image that can be read: its contents are none of "
            f"{', '.join(FORMATS)}, whatever its name says. Save it as one of these."
        ) from None
    if image.width * image.height > MAXIMUM_PIXELS:
        raise _too_many_pixels(
            name, f"{image.width} × {image.height} = {image.width * image.height / 1e6:.0f}"
        )
    image.seek(0)
    return image


def _deep_tiff(data: bytes, name: str) -> Image.Image | None:
    """16-bit color TIFFs, which Pillow does not read."""
    if data[:4] not in (b"II*\0", b"MM\0*"):
        return None
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            shape = file.pages[0].shape
            if int(np.prod(shape[:2])) > MAXIMUM_PIXELS or int(np.prod(shape)) > 4 * MAXIMUM_PIXELS:
                raise _too_many_pixels(name, f"{shape[1]} × {shape[0]}")
            values = np.asarray(file.pages[0].asarray())
    except (tifffile.TiffFileError, ValueError, KeyError, RuntimeError, ImportError):
        return None
    if values.ndim != 3 or values.shape[2] not in (3, 4):
        return None
    return Image.fromarray(_to_bytes(values))


def _too_many_pixels(name: str, what: str) -> BadImage:
    return BadImage(
        f"{name!r} would decode to {what} megapixels; "
        f"up to {MAXIMUM_PIXELS // 10**6} are read. Make it smaller first."
    )


def _upright(image: Image.Image, name: str) -> ReadImage:
    kind, size = image.format or "TIFF", image.size
    if kind == "JPEG":
        image.draft("RGB", (KEPT_SIDE, KEPT_SIDE))  # decode a huge JPEG at a fraction of its size
    try:
        orientation = image.getexif().get(0x0112, 1)
    except (OSError, SyntaxError, ValueError, KeyError, TypeError):
        orientation = 1  # a broken EXIF block is no reason to refuse the picture
    image.load()
    image.thumbnail((KEPT_SIDE, KEPT_SIDE))
    image, how = _to_rgb(image)
    as_read = np.asarray(image)
    text = f"{kind}, {size[0]} × {size[1]} pixels, {how or 'RGB'}"
    if max(size) > KEPT_SIDE:
        text += f"; reduced to {image.width} × {image.height}"
    steps = [Step("As read", text, as_read)]
    if orientation in _TURNS:
        pixels = np.ascontiguousarray(_TURNS[orientation][1](as_read))
        steps.append(
            Step("Oriented", f"{_TURNS[orientation][0]}, as its EXIF tag {orientation} asks", pixels)
        )
    else:
        pixels = as_read
    return ReadImage(pixels, name, _hash(pixels), tuple(steps))


_TURNS: dict[int, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    2: ("mirrored", lambda p: p[:, ::-1]),
    3: ("turned by 180°", lambda p: p[::-1, ::-1]),
    4: ("mirrored upside down", lambda p: p[::-1]),
    5: ("mirrored and turned", lambda p: p.transpose(1, 0, 2)),
    6: ("turned by 90° to the right", lambda p: np.rot90(p, -1)),
    7: ("mirrored and turned", lambda p: p.transpose(1, 0, 2)[::-1, ::-1]),
    8: ("turned by 90° to the left", lambda p: np.rot90(p, 1)),
}


def _to_rgb(image: Image.Image) -> tuple[Image.Image, str]:
    """RGB over white, and in words what was done to get there."""
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB"), "with transparency, laid over white"
    if image.mode.startswith("I") or image.mode == "F":
        depth = "32-bit float" if image.mode == "F" else "16-bit gray"
        return Image.fromarray(_to_bytes(np.asarray(image))).convert("RGB"), f"{depth}, brought to 8 bits"
    words = {
        "L": "gray",
        "1": "black and white",
        "P": "palette",
        "CMYK": "CMYK",
        "YCbCr": "YCbCr",
        "LAB": "Lab",
    }
    how = words.get(image.mode, "")
    return image.convert("RGB"), f"{how}, made RGB" if how else ""


def _to_bytes(values: np.ndarray) -> np.ndarray:
    """Any numbers as uint8: 16 bits by their full range, floats of 0…1 by 255, others from least to most."""
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.uint16:
        return (values / 257).round().astype(np.uint8)
    values = np.nan_to_num(values.astype(np.float64))
    low, high = float(values.min()), float(values.max())
    if values.dtype.kind == "f" and low >= 0 and high <= 1:
        return (values * 255).round().astype(np.uint8)
    if low >= 0 and high <= 255:
        return values.round().astype(np.uint8)
    if low >= 0 and high <= 65535:
        return (values / 257).round().astype(np.uint8)
    return ((values - low) / max(high - low, 1e-12) * 255).round().astype(np.uint8)


def _hash(pixels: np.ndarray) -> str:
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).tobytes())
    return digest.hexdigest()
