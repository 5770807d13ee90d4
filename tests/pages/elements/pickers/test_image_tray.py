"""The tray of images: what a click chooses is the image of every page, and the last ones stay at hand."""

import base64
from types import SimpleNamespace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.data.images import encode
from core.data.samples import sample_names
from core.models.catalogue import card_of
from pages.elements.pickers import image_tray
from pages.elements.pickers.chosen_image import keep_upload
from pages.elements.pickers.drawing_pad import can_be_drawn, drawn_pixels


def _page():
    import streamlit as st

    from core.models.catalogue import card_of
    from pages.elements.pickers.image_tray import choose_image

    classifier = st.session_state.get("looked_at")
    image = choose_image(card_of(classifier), classifier) if classifier else choose_image()
    st.markdown(f"seen: {image.name} {image.pixels.shape}")


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))


def opened(classifier=None, **address):
    at = AppTest.from_function(_page, default_timeout=60)
    if classifier:
        at.session_state["looked_at"] = classifier
    for name, value in address.items():
        at.query_params[name] = value
    return at.run()


def seen(at):
    return next(text.value for text in at.markdown if text.value.startswith("seen"))


def keys(at, group):
    return [b.key.removeprefix(f"{group}_") for b in at.button if b.key and b.key.startswith(f"{group}_")]


def test_a_click_on_a_sample_chooses_it_and_closes_the_tray():
    at = opened()
    assert keys(at, "sample") == sample_names()
    at.button(key="sample_coffee").click().run()
    assert not at.exception
    assert "coffee" in seen(at)
    assert at.query_params["image"] == "coffee"
    assert at.session_state[image_tray.CHIP] is False


def test_the_last_images_of_the_session_are_a_click_away():
    at = opened()
    assert not keys(at, "recent")  # only the one that is looked at
    for name in ("coffee", "rocket", "coffee"):
        at.button(key=f"sample_{name}").click().run()
    assert keys(at, "recent") == ["coffee", "rocket", "chelsea"]
    at.button(key="recent_chelsea").click().run()
    assert "chelsea" in seen(at)
    for name in sample_names():
        at.button(key=f"sample_{name}").click().run()
    assert len(keys(at, "recent")) == image_tray.IMAGES_REMEMBERED


def test_a_data_set_is_a_wall_to_click():
    at = opened("digits_cnn")
    assert "(8, 8, 3)" in seen(at) or "(8, 8, 1)" in seen(at)
    at.segmented_control(key="image_from").set_value("Data set").run()
    wall = keys(at, "wall")
    assert wall == [f"digits/test/{i}" for i in range(image_tray.IMAGES_OF_A_WALL)]
    at.button(key="wall_digits/test/5").click().run()
    assert at.query_params["image"] == "digits/test/5"
    at.multiselect(key="image_classes").set_value(["3"]).run()
    titles = [b.label for b in at.button if b.key and b.key.startswith("wall_")]
    assert titles
    assert all(title.startswith("![3, ") for title in titles)
    before = keys(at, "wall")
    next(b for b in at.button if b.label == "Others").click().run()
    assert set(keys(at, "wall")) != set(before)


def test_drawing_is_offered_where_the_network_knows_small_gray_images():
    def kinds(classifier):
        return opened(classifier).segmented_control(key="image_from").options

    assert kinds("digits_cnn") == ["Samples", "Draw", "Data set", "Upload", "Camera"]
    assert "Draw" not in kinds(None)
    drawable = {
        name: can_be_drawn(card_of(name)) for name in ("digits_cnn", "fashion_mnist_cnn", "sutures_vgg")
    }
    assert drawable == {"digits_cnn": True, "fashion_mnist_cnn": True, "sutures_vgg": False}
    at = opened("digits_cnn")
    at.segmented_control(key="image_from").set_value("Draw").run()
    at.session_state["looked_at"] = None
    at.run()  # nothing that can be drawn for
    assert not at.exception
    assert at.segmented_control(key="image_from").value == "Samples"


def test_on_a_phone_the_camera_comes_first(monkeypatch):
    agent = "Mozilla/5.0 (Linux; Android 16; Pixel) Chrome/140 Mobile Safari/537.36"
    monkeypatch.setattr(image_tray.st, "context", SimpleNamespace(headers={"User-Agent": agent}))
    tray = opened().segmented_control(key="image_from")
    assert tray.options[0] == "Camera"
    assert tray.value == "Samples"  # nobody is asked for the camera before having wanted it


@pytest.mark.parametrize("sent", [None, 5, "", "%%%", base64.b64encode(bytes(64)).decode(), "AAAA"])
def test_what_is_no_drawing_is_passed_over(sent):
    assert drawn_pixels(sent, 8, 8) is None


def test_a_drawing_is_the_image_at_the_size_of_the_input():
    values = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
    pixels = drawn_pixels(base64.b64encode(values.tobytes()).decode(), 8, 8)
    np.testing.assert_array_equal(pixels, values)
    at = opened("digits_cnn", image=keep_upload(encode(np.repeat(values, 3, axis=2)), "Drawing"))
    assert seen(at) == "seen: Drawing (8, 8, 3)"
