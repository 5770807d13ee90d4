"""The data page in a real browser: the pictures drawn are the data set's, pixel by pixel."""

import io
import re
import zipfile

import numpy as np
import pytest
from PIL import Image

from core.data.catalogue import open_dataset

pytestmark = pytest.mark.browser

_PIXELS = """canvas => {
  const {width, height} = canvas;
  const data = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  return {width, height, data: Array.from(data), label: canvas.getAttribute("aria-label")};
}"""


def _canvases(page, count):
    sheet = page.locator("ul.sheet canvas")
    sheet.nth(count - 1).wait_for()
    found = []
    for i in range(sheet.count()):
        drawn = sheet.nth(i).evaluate(_PIXELS)
        pixels = np.array(drawn["data"], np.uint8).reshape(drawn["height"], drawn["width"], 4)[..., :3]
        found.append((drawn["label"], pixels))
    return found


def _open(page, server, address):
    page.goto(f"{server}/data?{address}")
    page.get_by_role("heading", name="Data", exact=True).wait_for()


def test_a_batch_shows_the_stored_pixels_and_the_augmented_ones_differ(page, server):
    _open(page, server, "data_set=digits&data_part=Batch")
    drawn = _canvases(page, 48)
    assert len(drawn) == 48
    split = open_dataset("digits").splits["train"]
    for stored, augmented in zip(drawn[::2], drawn[1::2], strict=True):
        name, row = re.fullmatch(r"stored: (\d) · (\d+)", stored[0]).groups()
        assert int(name) == split.labels[int(row)]
        assert np.array_equal(stored[1], split.images[int(row)].repeat(3, axis=-1))
        assert augmented[0] == f"augmented: {name} · {row}"
    assert any(not np.array_equal(a[1], b[1]) for a, b in zip(drawn[::2], drawn[1::2], strict=True))
    page.get_by_role("button", name="Another batch").click()
    page.wait_for_function(
        "label => ![...document.querySelectorAll('*')].some(e => e.shadowRoot && "
        "e.shadowRoot.querySelector(`canvas[aria-label='${label}']`))",
        arg=drawn[0][0],
    )
    assert page.errors == []


def test_choices_stand_in_the_address_and_come_back_with_it(page, server):
    _open(page, server, "data_set=digits")
    page.get_by_role("radio", name="Duplicates").or_(page.get_by_role("button", name="Duplicates")).click()
    page.get_by_text("Only pairs with different labels").wait_for()
    assert "data_part=Duplicates" in page.url
    page.goto(page.url)
    page.get_by_text("Only pairs with different labels").wait_for()
    page.get_by_text("train 1,438, test 359").wait_for()
    assert page.errors == []


def test_a_zip_is_uploaded_and_looked_into(page, server, tmp_path):
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(tmp_path / "shells.zip", "w") as archive:
        for name in ("cockle", "<img src=x onerror=alert(1)>"):
            for i in range(6):
                picture = io.BytesIO()
                Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(picture, "PNG")
                archive.writestr(f"{name}/{i}.png", picture.getvalue())
        archive.writestr("cockle/broken.jpg", b"no image")
    _open(page, server, "data_part=Upload")
    page.locator("input[type=file]").set_input_files(tmp_path / "shells.zip")
    page.get_by_text("12 images in 2 classes were read").wait_for()
    page.get_by_text("1 files were left out").or_(page.get_by_text("1 file was left out")).wait_for()
    page.get_by_role("radio", name="Batch").or_(page.get_by_role("button", name="Batch")).click()
    labels = [label for label, _ in _canvases(page, 20)]
    assert any("<img src=x onerror=alert(1)>" in label for label in labels)  # as text
    assert page.locator("img[src=x]").count() == 0
    assert page.errors == []
