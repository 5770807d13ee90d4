"""Reading the images that people bring.

One decoder for the whole project: samples, uploads, camera pictures and files of a data set all come through
`read_image`, which looks at the size in the header before a single pixel is decoded.
"""

import hashlib
import io
import struct
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, lru_cache

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from core.data.deep_tiff import DeepPage, deep_page
from core.errors import BadImage

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "JPEG2000", "HEIF", "MPO")
KINDS_IN_WORDS = "JPEG, PNG, WebP, HEIC, AVIF, TIFF, BMP, GIF or JPEG 2000"
SUFFIXES = (
    "jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "tif", "tiff", "gif", "avif", "heic", "heif", "hif",
    "jp2", "j2k", "j2c", "jpc", "jpf", "jpx", "mpo",
)  # fmt: skip
MAXIMUM_BYTES = 20 * 2**20
MAXIMUM_PIXELS = 50_000_000
# A picture that is looked at and cut to a few hundred pixels needs no more than this on its longer side.
KEPT_SIDE = 2048


# What decoders raise over damaged files.
_BROKEN = (
    OSError, SyntaxError, ValueError, IndexError, EOFError, MemoryError, TypeError, KeyError, AttributeError,
    RuntimeError, ArithmeticError, struct.error,
)  # fmt: skip


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
    """Decode a JPEG, PNG, WebP, HEIC, AVIF, TIFF, BMP, GIF (first frame) or JPEG 2000 to upright RGB.

    The kind is decided by the bytes, not by the name. EXIF orientation is applied once, color profiles are
    brought to sRGB, transparency laid over white, CMYK, palette and gray become RGB, 16-bit and float values
    are brought to 0…255; of a file with several pages the picture is read, not its thumbnail. Pictures longer
    than 2048 pixels are reduced to that.

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
            page = deep_page(data, MAXIMUM_PIXELS, name)
            read = _upright(_open(data, name), name) if page is None else _from_deep(page, name)
    except BadImage:
        raise
    except Image.DecompressionBombError:
        raise _too_many_pixels(name, "far more") from None
    except OverflowError as error:
        raise _too_many_pixels(name, str(error)) from None
    except _BROKEN as error:
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
    _know_heif()
    try:
        image = Image.open(io.BytesIO(data), formats=[kind for kind in FORMATS if kind in Image.OPEN])
    except UnidentifiedImageError:
        raise BadImage(
            f"{name!r} is not an image that can be read: its contents are none of {KINDS_IN_WORDS}, "
            "whatever its name says. Save it as one of these."
        ) from None
    if image.width * image.height > MAXIMUM_PIXELS:
        raise _too_many_pixels(
            name, f"{image.width} × {image.height} = {image.width * image.height / 1e6:.0f}"
        )
    image.seek(_page_of_the_picture(image))
    if image.width * image.height > MAXIMUM_PIXELS:
        raise _too_many_pixels(
            name, f"{image.width} × {image.height} = {image.width * image.height / 1e6:.0f}"
        )
    return image


@cache
def _know_heif() -> None:
    """Let Pillow read what iPhones write."""
    with suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    Image.init()


def _page_of_the_picture(image: Image.Image) -> int:
    """Of a TIFF the first page that is not marked as a reduced copy of another; else the first."""
    if image.format != "TIFF":
        return 0
    for number in range(min(getattr(image, "n_frames", 1), 16)):
        image.seek(number)
        if not int(getattr(image, "tag_v2", {}).get(254, 0)) & 1:
            return number
    return 0


def _too_many_pixels(name: str, what: str) -> BadImage:
    return BadImage(
        f"{name!r} would decode to {what} megapixels; "
        f"up to {MAXIMUM_PIXELS // 10**6} are read. Make it smaller first."
    )


def _upright(image: Image.Image, name: str) -> ReadImage:
    kind, size = image.format or "TIFF", image.size
    if kind == "JPEG":
        image.draft("RGB", (KEPT_SIDE, KEPT_SIDE))  # decode a huge JPEG at a fraction of its size
    # Pillow turns 8 bits of a TIFF whose smallest value is the lightest, and leaves deeper ones as they are.
    is_negative = kind == "TIFF" and getattr(image, "tag_v2", {}).get(262) == 0
    image.load()
    try:
        # After loading: of a TIFF Pillow turns the pixels itself, and takes the mark away.
        orientation = image.getexif().get(0x0112, 1)
    except (OSError, SyntaxError, ValueError, KeyError, TypeError):
        orientation = 1  # the picture is not refused for a broken EXIF block
    profile = image.info.get("icc_profile") or b""
    if image.mode.startswith("I") or image.mode == "F":
        image, how = _shallow(image, is_negative)
    else:
        how = _KINDS_OF_COLOR.get(image.mode, "")
        if _has_alpha(image):
            how = "with transparency, laid over white"
    text = f"{kind}, {size[0]} × {size[1]} pixels, {how or 'RGB'}"
    return _finished(image, text, size, profile, orientation, name)


def _from_deep(page: DeepPage, name: str) -> ReadImage:
    pixels, words = _to_bytes(page.values)
    height, width, channels = pixels.shape
    mode = {1: "L", 3: "RGB", 4: "CMYK"}[channels]
    image = _as_image(255 - pixels if page.is_negative else pixels, mode)
    if page.alpha is not None:
        alpha = _as_image(_to_bytes(page.alpha)[0], "L")
        image = image.convert("RGB")
        image.putalpha(alpha)
        if page.is_premultiplied:
            image = _as_image(np.asarray(image), "RGBa").convert("RGBA")
        words += "; with transparency, laid over white"
    kind = "floats" if page.values.dtype.kind == "f" else f"{8 * page.values.dtype.itemsize} bits"
    text = f"TIFF, {width} × {height} pixels, {kind} brought to 8 bits{words}"
    return _finished(image, text, (width, height), page.profile, page.orientation, name)


def _as_image(pixels: np.ndarray, mode: str) -> Image.Image:
    return Image.frombytes(mode, (pixels.shape[1], pixels.shape[0]), np.ascontiguousarray(pixels).tobytes())


def _finished(
    image: Image.Image, text: str, size: tuple[int, int], profile: bytes, orientation: int, name: str
) -> ReadImage:
    """A decoded picture of 8 bits, reduced, brought to sRGB and turned, with the steps of that."""
    image.thumbnail((KEPT_SIDE, KEPT_SIDE))
    if max(size) > KEPT_SIDE:
        text += f"; reduced to {image.width} × {image.height}"
    pixels = np.asarray(_over_white(image))
    steps = [Step("As read", text, pixels)]
    managed, words = _to_srgb(image, profile)
    if managed is not None:
        pixels = np.asarray(_over_white(managed))
    if words:
        steps.append(Step("Color profile", words, pixels))
    if orientation in _TURNS:
        words, turn = _TURNS[orientation]
        pixels = np.ascontiguousarray(turn(pixels))
        steps.append(Step("Oriented", f"{words}, as its EXIF tag {orientation} asks", pixels))
    return ReadImage(pixels, name, _hash(pixels), tuple(steps))


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info


def _over_white(image: Image.Image) -> Image.Image:
    """RGB, with white where the picture is transparent."""
    if not _has_alpha(image):
        return image.convert("RGB")
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _to_srgb(image: Image.Image, profile: bytes) -> tuple[Image.Image | None, str]:
    """The picture in sRGB by its own color profile, and what was done; None where there is nothing to do.

    A profile tells the color of pixels, never how transparent they are: that is kept as it is.
    """
    if not profile:
        return None, ""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space.strip()
        if space not in ("RGB", "GRAY", "CMYK") or (space == "CMYK") != (image.mode == "CMYK"):
            return None, f"its color profile is for {space} and not for {image.mode}, and was left aside"
        if _is_srgb(profile):
            return None, ""
        alpha = image.convert("RGBA").getchannel("A") if _has_alpha(image) else None
        colors = _without_alpha(image).convert({"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}[space])
        if space == "GRAY" and image.mode not in ("L", "LA", "La", "1"):
            return None, "its color profile is for gray and the picture has colors, so it was left aside"
        converted = ImageCms.profileToProfile(
            colors, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
        title = " ".join(ImageCms.getProfileDescription(source).split())
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None, "its color profile cannot be read and was left aside"
    if converted is None:
        return None, ""
    if alpha is not None:
        converted.putalpha(alpha)
    return converted, f"brought to sRGB from its own profile, “{title[:40]}”"


def _without_alpha(image: Image.Image) -> Image.Image:
    if not _has_alpha(image):
        return image
    return Image.merge("RGB", image.convert("RGBA").split()[:3])


@lru_cache(maxsize=32)
def _is_srgb(profile: bytes) -> bool:
    """Whether a profile changes no color by more than two levels: what it does counts, not its title."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    if source.profile.xcolor_space.strip() == "CMYK":
        return False
    levels = np.linspace(0, 255, 18).round().astype(np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(18, -1, 3)
    is_gray = source.profile.xcolor_space.strip() == "GRAY"
    before = Image.fromarray(np.arange(256, dtype=np.uint8)[None] if is_gray else cube)
    after = ImageCms.profileToProfile(before, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    if after is None:
        return True
    change = np.asarray(after).astype(int) - np.asarray(before.convert("RGB"))
    return int(np.abs(change).max()) <= 2


_TURNS: dict[int, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    2: ("mirrored", lambda p: p[:, ::-1]),
    3: ("turned by 180°", lambda p: p[::-1, ::-1]),
    4: ("mirrored upside down", lambda p: p[::-1]),
    5: ("mirrored and turned", lambda p: p.transpose(1, 0, 2)),
    6: ("turned by 90° to the right", lambda p: np.rot90(p, -1)),
    7: ("mirrored and turned", lambda p: p.transpose(1, 0, 2)[::-1, ::-1]),
    8: ("turned by 90° to the left", lambda p: np.rot90(p, 1)),
}


_KINDS_OF_COLOR = {
    "L": "gray, made RGB",
    "1": "black and white, made RGB",
    "P": "palette, made RGB",
    "CMYK": "CMYK, made RGB",
    "YCbCr": "YCbCr, made RGB",
    "LAB": "Lab, made RGB",
}


def _shallow(image: Image.Image, is_negative: bool) -> tuple[Image.Image, str]:
    """Gray of 16 bits or floats as gray of 8, and in words what was done to get there."""
    values = np.asarray(image)
    pixels, more = _to_bytes(values)
    shallow = Image.fromarray(255 - pixels if is_negative else pixels)
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        shallow.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
        more += ", its transparent value laid over white"
    depth = "32-bit float" if image.mode == "F" else "16-bit gray"
    return shallow, f"{depth}, brought to 8 bits{more}"


def _to_bytes(values: np.ndarray) -> tuple[np.ndarray, str]:
    """Any numbers as uint8, and in words what is particular.

    Whole numbers count by the range of their type; where none reaches 4,096 of 65,535 they are the 8, 10 or
    12 bits of a camera, or of a program that wrote few bits into many. Floats are shares, 0 to 1, cut at both
    ends, unless they plainly are not: then 0 to 255, to 65,535, or from the least to the greatest.
    """
    if values.dtype == np.uint8:
        return values, ""
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if values.dtype.kind in "ui":
        if low >= 0 and 0 < high < 4096:
            bits = 8 if high < 256 else 10 if high < 1024 else 12
            words = f", taken for {bits} bits of {8 * values.dtype.itemsize}"
            return (values.astype(np.float32) / (2**bits - 1) * 255).round().astype(np.uint8), words
        if low >= 0 and high <= 65535:
            largest = 32767 if values.dtype == np.int16 else 65535
            return (values.astype(np.float32) / largest * 255).round().astype(np.uint8), ""
        share = (values.astype(np.float64) - low) / max(high - low, 1.0)
        return (255 * share).round().astype(np.uint8), f", from {low:g} (black) to {high:g} (white)"
    numbers = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=high, neginf=low)
    for top, below, above in ((1.0, 0.05, 2.0), (255.0, 0.0, 1.0), (65535.0, 0.0, 1.0)):
        if low >= -below * top and high <= above * top:
            words = f", cut to 0 to {top:g}" if low < 0 or high > top else ""
            return (numbers.clip(0, top) / top * 255).round().astype(np.uint8), words
    share = (numbers - low) / max(high - low, 1e-12)
    return (255 * share).round().astype(np.uint8), f", from {low:g} (black) to {high:g} (white)"


def _hash(pixels: np.ndarray) -> str:
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).tobytes())
    return digest.hexdigest()
