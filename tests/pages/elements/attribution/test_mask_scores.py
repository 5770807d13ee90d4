"""The attribution page with an image whose pixels are known: what the maps of many images fall on."""

import pytest
from streamlit.testing.v1 import AppTest

from core.data.catalogue import open_dataset
from core.paths import PROJECT


@pytest.fixture(autouse=True)
def _few_sutures(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))
    small = open_dataset("sutures", images=40, size=32)
    for module in ("core.data.image_address", "pages.elements.attribution.mask_scores"):
        monkeypatch.setattr(f"{module}.open_dataset", lambda name: small)
    monkeypatch.setattr("pages.elements.attribution.mask_scores.IMAGES_PER_SCORE", 3)


def _page(image):
    page = AppTest.from_file(str(PROJECT / "pages" / "attribution.py"), default_timeout=60)
    page.query_params.update({"classifier": "digits_cnn", "image": image, "att_methods": "Vanilla backprop"})
    page.session_state["att_masks_open"] = True
    return page.run()


def test_the_maps_of_several_images_are_scored():
    page = _page("sutures/test/3")
    assert not page.exception
    table = page.dataframe[0].value
    assert table["falls on"].tolist() == ["grid", "wound", "stitches", "elsewhere"]
    shares = [float(cell.partition("%")[0]) for cell in table["Vanilla backprop"]]
    assert sum(shares) == pytest.approx(100, abs=2)
    areas = [float(cell.rstrip("%")) for cell in table["share of the area"]]
    assert sum(areas) == pytest.approx(100, abs=2)


def test_an_image_without_masks_has_no_such_table():
    page = _page("chelsea")
    assert not page.exception
    assert not page.dataframe
