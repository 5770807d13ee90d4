"""What other programs write into image files is read as they meant it."""

import io

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from core.data.images import KINDS_IN_WORDS, read_image
from core.errors import ConvoscopeError

RED, GREEN, BLUE, YELLOW = (220, 30, 30), (30, 200, 30), (30, 30, 220), (240, 220, 40)
QUADRANTS = np.zeros((24, 40, 3), np.uint8)
QUADRANTS[:12, :20], QUADRANTS[:12, 20:], QUADRANTS[12:, :20], QUADRANTS[12:, 20:] = RED, GREEN, BLUE, YELLOW
GRAY = np.asarray(Image.fromarray(QUADRANTS).convert("L"))


def saved(kind: str, pixels: np.ndarray = QUADRANTS, **options) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def tiff(values: np.ndarray, **options) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, values, **options)
    return out.getvalue()


def close(found: np.ndarray, expected: np.ndarray, most: int = 2) -> bool:
    return (
        found.shape == expected.shape and int(np.abs(found.astype(int) - expected.astype(int)).max()) <= most
    )


@pytest.mark.parametrize("kind", ["TIFF", "JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_orientation_is_applied_once(kind, orientation, compression):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"exif": exif} | ({"compression": compression} if compression and kind == "TIFF" else {})
    data = saved(kind, **options, **({"quality": 100, "subsampling": 0} if kind == "JPEG" else {}),
                 **({"lossless": True} if kind == "WEBP" else {}))  # fmt: skip
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    assert close(read_image(data).pixels, np.asarray(expected))
    upright = {1: QUADRANTS, 2: QUADRANTS[:, ::-1], 3: QUADRANTS[::-1, ::-1], 6: np.rot90(QUADRANTS, -1)}
    if orientation in upright:
        assert close(read_image(data).pixels, upright[orientation], 4)


FLOATS = GRAY / 255.0
DEEP = {
    "floats": tiff(FLOATS.astype(np.float32)),
    "64-bit floats": tiff(FLOATS.astype(np.float64)),
    "16-bit floats": tiff(FLOATS.astype(np.float16)),
    "floats a little below 0": tiff((FLOATS - 1e-6 * (GRAY.min() == GRAY)).astype(np.float32)),
    "min is white": tiff((65535 - 257 * GRAY.astype(np.uint16)), photometric="miniswhite"),
    "16 bits": tiff(257 * GRAY.astype(np.uint16)),
    "12 bits in 16, PNG": saved("PNG", (GRAY.astype(np.uint16) * 16)),
    "16 bits, PNG": saved("PNG", (GRAY.astype(np.uint16) * 257)),
}


@pytest.mark.parametrize("name", DEEP)
def test_gray_of_any_depth_is_the_same_gray(name):
    assert close(read_image(DEEP[name]).pixels, np.repeat(GRAY[..., None], 3, 2))


def test_floats_a_little_over_one_are_cut_and_said():
    values = FLOATS.astype(np.float32)
    values[0, 0], values[0, 1] = 1.5, np.inf
    found = read_image(tiff(values))
    assert close(found.pixels[1:], np.repeat(GRAY[..., None], 3, 2)[1:])
    assert (found.pixels[0, :2] == 255).all()
    assert "cut to 0 to 1" in found.steps[0].text


def test_values_without_a_known_range_are_said_to_be_stretched():
    found = read_image(tiff((FLOATS * 7000 - 3000).astype(np.float32)))
    assert "(black) to" in found.steps[0].text
    assert (found.pixels.min(), found.pixels.max()) == (0, 255)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_16_bit_color_with_its_planes_together_or_apart(planar):
    deep = 257 * QUADRANTS.astype(np.uint16)
    values = deep if planar == "contig" else np.moveaxis(deep, -1, 0)
    assert close(read_image(tiff(values, photometric="rgb", planarconfig=planar)).pixels, QUADRANTS)


def test_a_transparent_value_of_16_bit_gray_is_white_and_the_rest_stays():
    deep = 257 * GRAY.astype(np.uint16)
    out = io.BytesIO()
    Image.fromarray(deep).save(out, "PNG", transparency=int(deep[0, 0]))
    found = read_image(out.getvalue()).pixels[..., 0]
    assert (found[:12, :20] == 255).all()
    assert close(found[12:], GRAY[12:])


def test_a_thumbnail_before_the_picture_is_passed_over():
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as file:
        file.write(QUADRANTS[::4, ::4], photometric="rgb", subfiletype=1)
        file.write(QUADRANTS, photometric="rgb")
    assert close(read_image(out.getvalue()).pixels, QUADRANTS)


def test_a_color_profile_is_applied_as_image_cms_does_and_srgb_changes_nothing():
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain = read_image(saved("PNG", icc_profile=lab))
    assert close(plain.pixels, QUADRANTS, 0)
    assert [step.name for step in plain.steps] == ["As read"]
    broken = read_image(saved("PNG", icc_profile=b"no profile at all"))
    assert close(broken.pixels, QUADRANTS, 0)
    assert "left aside" in broken.steps[1].text


@pytest.mark.parametrize(("kind", "options"), [
    ("AVIF", {"quality": 100, "subsampling": "4:4:4"}), ("JPEG2000", {}), ("HEIF", {"quality": -1}),
])  # fmt: skip
def test_what_phones_and_browsers_save_is_read_whatever_the_name_says(kind, options):
    import pillow_heif

    pillow_heif.register_heif_opener()
    found = read_image(saved(kind, **options), "photo.jpg")
    assert close(found.pixels[3:9, 3:17], QUADRANTS[3:9, 3:17], 12)
    assert kind in found.steps[0].text


def test_another_kind_is_refused_in_words():
    with pytest.raises(ConvoscopeError, match="none of JPEG, PNG, WebP, HEIC"):
        read_image(b"%PDF-1.7 and so on", "photo.jpg")
    assert "HEIC" in KINDS_IN_WORDS


EXAMPLES = [*DEEP.values(), saved("TIFF"), saved("JPEG"), saved("PNG"), saved("GIF"), saved("AVIF"),
            tiff(257 * QUADRANTS.astype(np.uint16), photometric="rgb")]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(range(len(EXAMPLES))), st.data())
def test_a_damaged_file_is_read_or_refused_in_words(which, data):
    changed = bytearray(EXAMPLES[which])
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del changed[data.draw(st.integers(1, len(changed))) :]
    try:
        found = read_image(bytes(changed))
    except ConvoscopeError:
        return
    assert found.pixels.dtype == np.uint8
    assert found.pixels.ndim == 3
