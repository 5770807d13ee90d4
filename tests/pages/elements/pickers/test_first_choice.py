"""Data that fit the classifier: they follow it, and where others are chosen the page offers them."""

import pytest
import torch
from streamlit.testing.v1 import AppTest

from core.data.preprocessing import Preprocessing
from core.models.card import ModelCard
from core.models.checkpoint import build, save_checkpoint
from core.paths import PROJECT, home
from core.serving import worker


@pytest.fixture(scope="module", autouse=True)
def _home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVOSCOPE_HOME", str(tmp_path_factory.mktemp("home")))
        torch.manual_seed(0)
        card = ModelCard(
            "wild", "small_cnn", ("wolf", "fox"), Preprocessing((128, 128), (0.5,) * 3, (0.25,) * 3),
            settings={"widths": "2,2"}, dataset="ImageNet", title="Wild animals",
        )  # fmt: skip
        save_checkpoint(home("runs") / "wild", build(card), card)
        yield
        worker.close()


def open_page(page, **address):
    test = AppTest.from_file(str(PROJECT / "pages" / f"{page}.py"), default_timeout=120)
    test.query_params["classifier"] = "runs/wild"
    for name, value in address.items():
        test.query_params[name] = value
    return test.run()


def test_photos_follow_a_network_of_imagenet():
    page = open_page("filters")
    assert not page.exception
    assert not page.error
    assert page.selectbox(key="fl_set").value == "photos"
    assert "images of Photos" in " ".join(caption.value for caption in page.caption)


@pytest.mark.parametrize(("page", "prefix"), [("filters", "fl"), ("embedding", "em")])
def test_on_other_data_nothing_is_computed_and_photos_are_one_click_away(page, prefix, monkeypatch):
    def fail(*given, **settings):
        raise AssertionError("computed")

    with monkeypatch.context() as patch:
        if page == "filters":
            patch.setattr("core.serving.worker.submit", fail)
        test = open_page(page, **{f"{prefix}_set": "fashion_mnist"})
    assert not test.exception
    assert not test.error
    assert "Wild animals looks at 128 × 128 pixels" in test.info[0].value
    labels = [button.label.replace("\\", "") for button in test.button]
    assert "Show Photos instead" in labels
    assert "Show Fashion-MNIST anyway" in labels
    test.button(key=f"{prefix}_fitting").click().run()
    assert not test.error
    assert not test.info or "looks at" not in test.info[0].value
    assert test.selectbox(key=f"{prefix}_set").value == "photos"


def test_one_who_wants_to_see_it_anyway_does():
    test = open_page("filters", fl_set="fashion_mnist", fl_n="200")
    test.button(key="fl_show_anyway").click().run()
    assert not test.error
    assert "200 images of Fashion" in " ".join(caption.value for caption in test.caption)
