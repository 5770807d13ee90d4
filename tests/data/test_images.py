"""The one decoder: every picture comes out upright, over white, in RGB; every bad file in one sentence."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from core.data.images import MAXIMUM_BYTES, encode, enlarge, image_from_pixels, read_image
from core.errors import BadImage

RED, GREEN = (255, 0, 0), (0, 255, 0)


def halves(width=40, height=20) -> Image.Image:
    """Left half red, right half green."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(GREEN, (width // 2, 0, width, height))
    return image


def saved(image: Image.Image, kind: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF"])
def test_lossless_formats_come_out_as_they_went_in(kind):
    read = read_image(saved(halves(), kind), "x")
    np.testing.assert_array_equal(read.pixels, np.asarray(halves()))


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_formats_come_out_nearly(kind):
    read = read_image(saved(halves(), kind, quality=95), "x")
    assert np.abs(read.pixels[:, :16].astype(int) - RED).mean() < 6
    assert np.abs(read.pixels[:, 24:].astype(int) - GREEN).mean() < 6


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(orientation):
    upright = np.asarray(halves())
    # What a camera stores when it must be shown with this orientation: the inverse of the turn.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(Image.fromarray(np.ascontiguousarray(stored)), "PNG", exif=exif)
    read = read_image(data, "x")
    np.testing.assert_array_equal(read.pixels, upright)
    assert (len(read.steps) == 2) == (orientation != 1)


def test_transparency_is_laid_over_white():
    image = halves().convert("RGBA")
    image.putalpha(Image.new("L", image.size, 0))
    assert (read_image(saved(image, "PNG"), "x").pixels == 255).all()
    palette = halves().quantize(4)
    palette.info["transparency"] = 0
    assert read_image(saved(palette, "PNG", transparency=0), "x").pixels.shape == (20, 40, 3)


def test_cmyk_palette_gray_and_bits_become_rgb():
    for mode in ("CMYK", "L", "P", "1", "LA"):
        kind = "JPEG" if mode == "CMYK" else "PNG"
        read = read_image(saved(halves().convert(mode), kind), mode)
        assert read.pixels.shape == (20, 40, 3)
        assert read.pixels.dtype == np.uint8


def test_sixteen_bits_keep_their_range():
    ramp = np.linspace(0, 65535, 40, dtype=np.uint16)[None].repeat(20, 0)
    read = read_image(saved(Image.fromarray(ramp), "PNG"), "deep")
    np.testing.assert_allclose(read.pixels[0, :, 0], ramp[0] / 257, atol=1)


def test_the_first_frame_of_a_gif():
    data = saved(halves(), "GIF", save_all=True, append_images=[Image.new("RGB", (40, 20), "blue")])
    np.testing.assert_array_equal(read_image(data, "x").pixels, np.asarray(halves()))


def test_a_large_picture_is_reduced():
    read = read_image(saved(halves(5000, 1000), "PNG"), "x")
    assert read.pixels.shape == (410, 2048, 3)


def test_equal_pixels_are_one_image_whatever_the_file():
    assert read_image(saved(halves(), "PNG"), "a").sha256 == read_image(saved(halves(), "BMP"), "b").sha256


def bomb_png() -> bytes:
    """30,000 × 30,000 pixels in some hundred bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"x") + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "'x.png' is empty"),
        (b"just some text", "'x.png' is not an image that can be read"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "none of JPEG, PNG"),
        (saved(halves(), "PNG")[:60], "broken or cut short"),
        (saved(halves(400, 400), "JPEG")[:900], "broken or cut short"),
        (b"\0" * (MAXIMUM_BYTES + 1), "20.0 MB; up to 20 MB"),
        (bomb_png(), "megapixels"),
    ],
)
def test_bad_files_are_refused_in_one_sentence(data, words):
    with pytest.raises(BadImage, match=words):
        read_image(data, "x.png")


def test_any_bytes_are_an_image_or_a_bad_image():
    rng = np.random.default_rng(0)
    good = [saved(halves(), kind) for kind in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP")]
    for data in good:
        for _ in range(60):
            broken = bytearray(data)
            for place in rng.integers(0, len(broken), 4):
                broken[place] = rng.integers(0, 256)
            try:
                read = read_image(bytes(broken), "x")
            except BadImage:
                continue
            assert read.pixels.ndim == 3


def test_encoding_and_enlarging_lose_nothing():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    np.testing.assert_array_equal(read_image(encode(pixels), "x").pixels, pixels)
    large = enlarge(pixels, 70)
    assert large.shape == (50, 70, 3)
    np.testing.assert_array_equal(large[::10, ::10], pixels)
    assert image_from_pixels(pixels[..., 0], "gray").pixels.shape == (5, 7, 3)
