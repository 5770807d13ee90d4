"""What other programs write into image files is read as they meant it."""

import contextlib
import io
import struct

import numpy as np
import pillow_heif
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


def lzw(data: bytes) -> bytes:
    """LZW that never uses its table: 9 bits a byte, cleared before the codes would grow."""
    codes = [code for at in range(0, len(data), 200) for code in (256, *data[at : at + 200])]
    bits = "".join(f"{code:09b}" for code in [*codes, 257])
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def lzw_tiff(planes: list[np.ndarray], photometric: int, samples: int) -> bytes:
    """A TIFF that tifffile alone cannot decode: each of the planes is one strip."""
    out, offsets, lengths = bytearray(b"II*\0\0\0\0\0"), [], []
    for plane in planes:
        strip = lzw(np.ascontiguousarray(plane).tobytes())
        offsets.append(len(out))
        lengths.append(len(strip))
        out += strip + b"\0" * (len(strip) % 2)
    height, width = planes[0].shape[:2]
    bits, number = 8 * planes[0].dtype.itemsize, 3 if planes[0].dtype.kind == "f" else 1
    tags = [(256, "I", [width]), (257, "I", [height]), (258, "H", [bits] * samples), (259, "H", [5]),
            (262, "H", [photometric]), (273, "I", offsets), (277, "H", [samples]), (278, "I", [height]),
            (279, "I", lengths), (284, "H", [min(len(planes), 2)]),
            (339, "H", [number] * samples)]  # fmt: skip
    entries = b""
    for tag, kind, numbers in tags:
        packed = struct.pack(f"<{len(numbers)}{kind}", *numbers)
        if len(packed) > 4:
            out += packed
            packed = struct.pack("<I", len(out) - len(packed))
        entries += struct.pack("<HHI", tag, 3 if kind == "H" else 4, len(numbers)) + packed.ljust(4, b"\0")
    out[4:8] = struct.pack("<I", len(out))
    return bytes(out) + struct.pack("<H", len(tags)) + entries + b"\0" * 4


DEEP_GRAY, DEEP_COLOR = 257 * GRAY.astype(np.uint16), 257 * QUADRANTS.astype(np.uint16)
NEGATIVES = {
    "16 bits": tiff(65535 - DEEP_GRAY, photometric="miniswhite"),
    "16 bits, deflated": tiff(65535 - DEEP_GRAY, photometric="miniswhite", compression="zlib"),
    "16 bits, LZW": lzw_tiff([65535 - DEEP_GRAY], 0, 1),
    "12 bits of 16": tiff(4095 - 16 * GRAY.astype(np.uint16), photometric="miniswhite"),
    "floats": tiff((1 - FLOATS).astype(np.float32), photometric="miniswhite"),
}


@pytest.mark.parametrize("name", NEGATIVES)
def test_where_the_smallest_value_is_the_lightest_the_picture_is_turned(name):
    assert close(read_image(NEGATIVES[name]).pixels, np.repeat(GRAY[..., None], 3, 2))


def test_few_bits_in_many_are_bright_and_said():
    for bits, values in ((8, GRAY), (10, 4 * GRAY.astype(int)), (12, 16 * GRAY.astype(int))):
        for data in (tiff(values.astype(np.uint16)), saved("PNG", values.astype(np.uint16))):
            found = read_image(data)
            assert close(found.pixels, np.repeat(GRAY[..., None], 3, 2))
            assert f"taken for {bits} bits of 16" in found.steps[0].text


def test_signed_16_bits_reach_white_at_their_largest_value():
    values = (GRAY / 255 * 32767).round().astype(np.int16)
    assert close(read_image(tiff(values)).pixels, np.repeat(GRAY[..., None], 3, 2))


CLEAR = np.full(GRAY.shape, 65535, np.uint16)
CLEAR[:12, :20] = 0
INKS = np.dstack([65535 - DEEP_COLOR, np.zeros(GRAY.shape, np.uint16)])
SOME_CLEAR = QUADRANTS.copy()
SOME_CLEAR[:12, :20] = 255
GRAY_CLEAR = np.repeat(GRAY[..., None], 3, 2)
GRAY_CLEAR[:12, :20] = 255
COLORS = {
    "RGBA": (tiff(np.dstack([DEEP_COLOR, CLEAR]), photometric="rgb", extrasamples=["unassalpha"]),
             SOME_CLEAR),
    "a fourth value without a meaning": (
        tiff(np.dstack([DEEP_COLOR, CLEAR]), photometric="rgb", extrasamples=["unspecified"]), QUADRANTS),
    "gray with alpha": (
        tiff(np.dstack([DEEP_GRAY, CLEAR]), photometric="minisblack", extrasamples=["unassalpha"]),
        GRAY_CLEAR),
    "CMYK": (tiff(INKS, photometric="separated"), QUADRANTS),
    "CMYK, LZW": (lzw_tiff([INKS], 5, 4), QUADRANTS),
    "RGB, LZW": (lzw_tiff([DEEP_COLOR], 2, 3), QUADRANTS),
    "planes, LZW": (lzw_tiff([DEEP_COLOR[..., c] for c in range(3)], 2, 3), QUADRANTS),
    "floats, LZW": (lzw_tiff([(QUADRANTS / 255).astype(np.float32)], 2, 3), QUADRANTS),
}  # fmt: skip


@pytest.mark.parametrize("name", COLORS)
def test_deep_colors_of_every_kind_are_the_same_colors(name):
    data, expected = COLORS[name]
    assert close(read_image(data).pixels, expected)


def test_half_transparent_premultiplied_colors_are_laid_over_white():
    half = np.dstack([DEEP_COLOR // 2, np.full(GRAY.shape, 32768, np.uint16)])
    found = read_image(tiff(half, photometric="rgb", extrasamples=["assocalpha"]))
    assert close(found.pixels, ((QUADRANTS.astype(int) + 255) // 2).astype(np.uint8), 3)


def test_deep_colors_that_would_be_shown_wrong_are_refused_by_name():
    lab = tiff(DEEP_COLOR, photometric="cielab")
    planes = [(QUADRANTS[..., c] / 255).astype(np.float32) for c in range(3)]
    with pytest.raises(ConvoscopeError, match="CIELAB"):
        read_image(lab)
    with pytest.raises(ConvoscopeError, match="compression LZW"):
        read_image(lzw_tiff(planes, 2, 3))


def swapped_profile() -> bytes:
    """The bytes of sRGB's profile with the tags of red and green exchanged."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = data.index(b"rXYZ", 128), data.index(b"gXYZ", 128)
    data[red : red + 4], data[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(data)


def test_a_profile_of_srgb_changes_nothing_and_a_broken_one_is_said():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain = read_image(saved("PNG", icc_profile=srgb))
    assert close(plain.pixels, QUADRANTS, 0)
    assert [step.name for step in plain.steps] == ["As read"]
    broken = read_image(saved("PNG", icc_profile=b"no profile at all"))
    assert close(broken.pixels, QUADRANTS, 0)
    assert "left aside" in broken.steps[1].text


def as_kind(kind: str, profile: bytes) -> bytes:
    picture = Image.fromarray(QUADRANTS)
    if kind == "deep TIFF":
        return tiff(DEEP_COLOR, photometric="rgb", iccprofile=profile)
    if kind == "deep TIFF with alpha":
        opaque = np.dstack([DEEP_COLOR, np.full(GRAY.shape, 65535, np.uint16)])
        return tiff(opaque, photometric="rgb", extrasamples=["unassalpha"], iccprofile=profile)
    if kind in ("RGBA", "P"):
        picture = picture.convert("RGBA") if kind == "RGBA" else picture.quantize(16)
        kind = "PNG"
    if kind == "HEIF":
        pillow_heif.register_heif_opener()
    out = io.BytesIO()
    options = {
        "WEBP": {"lossless": True},
        "JPEG": {"quality": 100, "subsampling": 0},
        "HEIF": {"quality": -1},
    }.get(kind, {})
    picture.save(out, kind, icc_profile=profile, **options)
    return out.getvalue()


# The title of this profile contains "sRGB", which says nothing about what the profile does.
@pytest.mark.parametrize(
    "kind", ["PNG", "RGBA", "P", "JPEG", "WEBP", "TIFF", "HEIF", "deep TIFF", "deep TIFF with alpha"]
)
def test_a_color_profile_is_applied_as_image_cms_does_and_said(kind):
    profile = swapped_profile()
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    assert "srgb" in ImageCms.getProfileDescription(source).casefold()
    expected = ImageCms.profileToProfile(
        Image.fromarray(QUADRANTS), source, ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    assert not close(np.asarray(expected), QUADRANTS, 50)
    found = read_image(as_kind(kind, profile))
    assert close(found.pixels, np.asarray(expected), 6 if kind in ("JPEG", "HEIF") else 2)
    assert [step.name for step in found.steps] == ["As read", "Color profile"]
    assert close(found.steps[0].pixels, QUADRANTS, 6)


def test_a_profile_for_other_colors_is_left_aside_and_said():
    inks = Image.new("CMYK", (8, 8), (0, 200, 200, 0))
    out = io.BytesIO()
    inks.save(out, "JPEG", icc_profile=swapped_profile())
    assert "not for CMYK" in read_image(out.getvalue()).steps[1].text


@pytest.mark.parametrize(("kind", "options"), [
    ("AVIF", {"quality": 100, "subsampling": "4:4:4"}), ("JPEG2000", {}), ("HEIF", {"quality": -1}),
])  # fmt: skip
def test_what_phones_and_browsers_save_is_read_whatever_the_name_says(kind, options):
    pillow_heif.register_heif_opener()
    found = read_image(saved(kind, **options), "photo.jpg")
    assert close(found.pixels[3:9, 3:17], QUADRANTS[3:9, 3:17], 12)
    assert kind in found.steps[0].text


def test_another_kind_is_refused_in_words():
    with pytest.raises(ConvoscopeError, match="none of JPEG, PNG, WebP, HEIC"):
        read_image(b"%PDF-1.7 and so on", "photo.jpg")
    assert "HEIC" in KINDS_IN_WORDS


def test_strips_that_expand_beyond_the_picture_are_refused_before_they_do():
    honest = tiff(np.zeros((3000, 3000), np.uint16), compression="zlib", rowsperstrip=3000)
    bomb = bytearray(honest)
    with tifffile.TiffFile(io.BytesIO(honest)) as file:
        for tag in ("ImageLength", "RowsPerStrip"):
            at = file.pages[0].tags[tag].valueoffset
            bomb[at : at + 4] = struct.pack("<I", 4)  # little-endian: right for 16 bits as well
    assert read_image(honest).pixels.shape == (2048, 2048, 3)
    with pytest.raises(ConvoscopeError, match="room for"):
        read_image(bytes(bomb))


def test_numbers_that_would_fill_the_memory_are_refused():
    with pytest.raises(ConvoscopeError, match="MB; up to 400 MB"):
        read_image(tiff(np.zeros((6000, 4000, 3)), photometric="rgb", compression="zlib"))


EXAMPLES = [
    *DEEP.values(), *NEGATIVES.values(), *(data for data, _ in COLORS.values()),
    *(saved(kind) for kind in ("TIFF", "JPEG", "PNG", "GIF", "AVIF", "WEBP", "BMP", "JPEG2000")),
    *(as_kind(kind, swapped_profile()) for kind in ("RGBA", "P", "deep TIFF", "HEIF")),
]  # fmt: skip


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


def test_a_tiff_with_strips_of_no_rows_is_read_or_refused_in_words():
    damaged = bytearray(tiff(257 * GRAY.astype(np.uint16), rowsperstrip=8))
    with tifffile.TiffFile(io.BytesIO(bytes(damaged))) as file:
        at = file.pages[0].tags["RowsPerStrip"].valueoffset
    damaged[at : at + 2] = b"\0\0"
    with contextlib.suppress(ConvoscopeError):
        read_image(bytes(damaged))
