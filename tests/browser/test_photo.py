"""A newcomer in a real browser: a rotated photo is uploaded, bad files are refused, the choice follows."""

import io
import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from core.data.samples import sample_image
from tests.data.test_images import bomb_png

pytestmark = pytest.mark.browser


def open_page(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.locator("h1")).to_be_visible()
    expect(page.get_by_text(re.compile(r"· \d+\.\d%")).first).to_be_visible(timeout=120_000)


def first_bar(page: Page):
    return page.get_by_text(re.compile(r"· \d+\.\d%")).first


def upload(page: Page, name: str, data: bytes) -> None:
    """Into the drop zone of Home; the picker of every page has another."""
    page.get_by_test_id("stMainBlockContainer").locator('input[type="file"]').set_input_files(
        {"name": name, "mimeType": "image/jpeg", "buffer": data}
    )


def turned_coffee() -> bytes:
    """The coffee stored lying on its side, with the EXIF tag that puts it upright."""
    upright = Image.fromarray(sample_image("coffee").pixels)
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    upright.transpose(Image.Transpose.ROTATE_90).save(out, "JPEG", quality=95, exif=exif)
    return out.getvalue()


def test_a_rotated_photo_is_seen_upright(page, server):
    open_page(page, server)
    expect(first_bar(page)).to_have_text(re.compile("tiger cat"))
    upload(page, "coffee.jpg", turned_coffee())
    expect(first_bar(page)).to_have_text(re.compile(r"espresso · 9\d"))
    page.keyboard.press("Escape")
    page.get_by_text("How the photo is prepared").click()
    expect(page.get_by_text("turned by 90° to the right")).to_be_visible()
    expect(page.get_by_text(re.compile("Normalized"))).to_be_visible()


def noise_png(side: int) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=0)
    return out.getvalue()


def test_bad_files_are_refused_and_the_page_lives_on(page, server):
    open_page(page, server)
    bad = {
        "empty.png": (b"", "is empty"),
        "text.png": (b"this is a text", "is not an image that can be read"),
        "cut.jpg": (turned_coffee()[:4000], "broken or cut short"),
        "bomb.png": (bomb_png(), "megapixels"),
        "large.png": (noise_png(2700), "up to 20 MB"),
    }
    for name, (data, words) in bad.items():
        upload(page, name, data)
        expect(page.get_by_text(re.compile(f"{re.escape(name)}.*{words}"))).to_be_visible()
        expect(first_bar(page)).to_have_text(re.compile("tiger cat"))
    upload(page, "coffee.jpg", turned_coffee())
    expect(first_bar(page)).to_have_text(re.compile("espresso"))
    expect(page.get_by_text("Traceback")).to_have_count(0)


def test_the_choice_follows_from_page_to_page_and_stands_in_the_address(page, server):
    open_page(page, f"{server}/?image=coffee")
    expect(first_bar(page)).to_have_text(re.compile("espresso"))
    page.get_by_test_id("stSidebarNav").get_by_text("Occlusion").click()
    expect(page.locator("h1")).to_have_text("Occlusion")
    expect(page.locator(".st-key-chip_image").get_by_text("Cup of coffee")).to_be_visible()
    expect(page).to_have_url(re.compile("image=coffee"))
