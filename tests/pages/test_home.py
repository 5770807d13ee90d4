"""Home: the first picture, uploads good and bad, and links."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

PAGE = Path(__file__).resolve().parents[2] / "pages" / "home.py"


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))


def home(**address) -> AppTest:
    at = AppTest.from_file(PAGE, default_timeout=90)
    for name, value in address.items():
        at.query_params[name] = value
    return at.run()


def text_of(at: AppTest) -> str:
    return " ".join(str(e.value) for e in [*at.markdown, *at.caption, *at.error, *at.warning, *at.subheader])


def bars(at: AppTest) -> list[str]:
    return [bar.proto.text for bar in at.get("progress")]


def test_a_newcomer_sees_a_cat_called_a_cat():
    at = home()
    assert not at.exception
    assert not at.error
    assert bars(at)[0].startswith("tiger cat · 39")


def test_a_link_opens_its_image_and_classifier():
    at = home(image="coffee", classifier="efficientnet_lite0")
    assert bars(at)[0].startswith("espresso")
    assert at.session_state["classifier"] == "efficientnet_lite0"


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("nothing", "no sample image named"),
        ("upload/0123456789abcdef", "does not have, or has forgotten"),
        ("fashion_mnist/test/999999", "no image 999999"),
        ("fashion_mnist/nowhere/1", "nowhere"),
        ("../../etc/passwd", "no sample image named"),
        ("../etc/0", "no data set named '..'"),
    ],
)
def test_a_link_that_leads_nowhere_says_so_and_shows_a_sample(image, words):
    at = home(image=image)
    assert not at.exception
    assert words in text_of(at)
    assert bars(at)[0].startswith("tiger cat")


def test_an_unknown_classifier_in_a_link_is_named():
    at = home(classifier="torchvision/resnet19")
    assert "There is no torchvision classifier named 'resnet19'" in text_of(at)


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def test_an_upload_becomes_the_image_and_a_bad_one_leaves_the_page_alive():
    at = home()
    at.segmented_control(key="image_from").set_value("Upload").run()
    gray = png(np.full((50, 60, 3), 128, np.uint8))
    at.file_uploader(key="image_upload").upload("gray.png", gray, "image/png").run()
    assert at.session_state["chosen_image"].startswith("upload/")
    assert not at.exception
    assert not bars(at)[0].startswith("tiger cat")
    at.file_uploader(key="image_upload").upload("text.png", b"just text", "image/png").run()
    assert "'text.png' is not an image that can be read" in text_of(at)
    assert len(bars(at)) == 5


def test_a_photo_is_dropped_in_and_a_bad_one_is_named_where_it_was_dropped():
    at = home()
    at.file_uploader(key="photo_drop").upload(
        "gray.png", png(np.full((50, 60, 3), 128, np.uint8)), "image/png"
    )
    at.run()
    assert at.session_state["chosen_image"].startswith("upload/")
    assert not bars(at)[0].startswith("tiger cat")
    at.session_state["chosen_image"] = "chelsea"
    at.run()
    assert bars(at)[0].startswith("tiger cat")  # the file still lies there, and does not come back
    at.file_uploader(key="photo_drop").upload("text.png", b"just text", "image/png").run()
    assert "'text.png' is not an image that can be read" in text_of(at)
    assert bars(at)[0].startswith("tiger cat")


def test_the_target_can_be_chosen_and_is_named():
    at = home(target="lynx")
    assert at.selectbox(key="target").value == "lynx"


def test_every_page_has_its_card():
    at = home()
    pages = {path.stem for path in PAGE.parent.glob("*.py")} - {"home"}
    text = text_of(at)
    assert len(pages) >= 12
    for page in pages:
        assert f"](/{page})" in text, f"Home shows no card for pages/{page}.py"
