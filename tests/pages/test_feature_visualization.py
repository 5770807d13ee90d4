"""The pages Feature visualization and Activations, and what they ask, on a tiny network of their own."""

import json

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from core import store
from core.__main__ import main
from core.data.preprocessing import Preprocessing
from core.errors import UnknownName
from core.feature_visualization.real_images import best_answers, indexed_best, real_images
from core.feature_visualization.visualize import Frame
from core.models import catalogue
from core.models.architectures import models
from core.models.card import ModelCard
from core.models.checkpoint import save_checkpoint
from core.network.activations import activations, one_channel_of_each, order_of, painted
from core.paths import PROJECT, home
from core.serving import worker
from pages.elements.feature_visualization import parts


@pytest.fixture(scope="module", autouse=True)
def _home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVOSCOPE_HOME", str(tmp_path_factory.mktemp("home")))
        store.forget_memory()
        torch.manual_seed(0)
        for name, size in (("tiny", 8), ("large", 72)):
            module = models["small_cnn"](
                channels=1, number_of_classes=10, input_size=(size, size), widths="4,120"
            )
            card = ModelCard(
                name, "small_cnn", tuple("0123456789"), Preprocessing((size, size), (0.3,), (0.35,), 1),
                settings={"widths": "4,120"}, dataset="digits",
            )  # fmt: skip
            save_checkpoint(home("runs") / name, module, card)
        yield
        worker.close()
        store.forget_memory()


def open_page(name="feature_visualization", classifier="runs/tiny", **address):
    page = AppTest.from_file(str(PROJECT / "pages" / f"{name}.py"), default_timeout=120)
    page.query_params["classifier"] = classifier
    if name == "feature_visualization":
        address = {"dream_set_steps": "6", "dream_set_every": "2", **address}
    for key, value in address.items():
        page.query_params[key] = value
    page.run()
    assert not page.exception
    return page


def component(page, key):
    """The description and the bytes that a client-side component was given."""
    for element in page.main:
        found = _find(element, key)
        if found is not None:
            data = found.bytes
            length = int.from_bytes(data[:4], "little")
            return json.loads(data[4 : 4 + length]), data[4 + length :]
    raise AssertionError(f"{key} is not drawn")


def _find(block, key):
    proto = getattr(block, "proto", None)
    if proto is not None and key in str(getattr(proto, "id", "")) and hasattr(proto, "bytes"):
        return proto
    for child in getattr(block, "children", {}).values():
        found = _find(child, key)
        if found is not None:
            return found
    return None


def words(page):
    return " ".join(element.value for element in (*page.caption, *page.markdown, *page.info))


def test_a_small_picture_is_made_at_once_and_compared():
    page = open_page()
    assert not page.error
    head, body = component(page, "dream_scrubber")
    assert [frame["step"] for frame in head["frames"]] == [0, 2, 4, 6]
    assert head["unit"].endswith("channel 1")
    assert head["among"].startswith("360 images of Digits") or "images of Digits, test" in head["among"]
    assert body.startswith(b"\x89PNG")
    assert len(body) == sum(head["sizes"])
    assert "The network takes the picture for" in words(page)


def test_a_class_a_neuron_and_the_chosen_image_are_in_the_address():
    page = open_page(dream_of="Class", dream_class="7")
    assert component(page, "dream_scrubber")[0]["unit"] == "class 7"
    page = open_page(
        dream_of="Neuron", dream_layer="conv2", dream_channel="3", dream_row="1", dream_column="2"
    )
    assert component(page, "dream_scrubber")[0]["unit"] == "conv2, channel 3, row 1, column 2"
    page = open_page(dream_start="The chosen image", image="digits/test/5")
    assert component(page, "dream_scrubber")[0]["frames"][-1]["step"] == 6


def test_a_large_picture_waits_for_a_click():
    page = open_page(classifier="runs/large")
    assert "from seconds to minutes" in words(page)
    next(b for b in page.button if b.label == "Make the picture").click().run()
    assert not page.exception
    assert component(page, "dream_scrubber")[0]["width"] == 72


def test_what_was_there_when_it_was_stopped_is_kept_and_it_can_start_again(monkeypatch):
    asked = []

    def fetched(question):
        asked.append(question.key)
        return question

    monkeypatch.setattr(parts, "fetched", fetched)
    page = open_page(classifier="runs/large", dream_set_seed="9")
    frames = [Frame(step, np.full((72, 72, 1), step, np.uint8), 0.5, 1.0) for step in (0, 2)]
    monkeypatch.setitem(parts._growing, asked[-1], frames)
    page.session_state["canceled_questions"] = {asked[-1]}
    page.run()
    assert not page.exception
    assert "Stopped after 2 of 6 steps." in words(page)
    head, _ = component(page, "dream_scrubber")
    assert [frame["step"] for frame in head["frames"]] == [0, 2]
    next(b for b in page.button if b.label == "Start again").click().run()
    next(b for b in page.button if b.label == "Make the picture").click().run()
    assert [frame["step"] for frame in component(page, "dream_scrubber")[0]["frames"]] == [0, 2, 4, 6]


def test_the_stored_index_of_filters_says_which_image_is_the_best(capsys):
    card = catalogue.card_of("runs/tiny")
    assert indexed_best("runs/tiny", card, "activation2") is None
    assert main(["index", "runs/tiny"]) == 0
    known = indexed_best("runs/tiny", card, "activation2")
    images = real_images(card, 100_000)
    best = best_answers(catalogue.load("runs/tiny"), "activation2", images)
    np.testing.assert_allclose(known.values, best.activation.values, rtol=1e-4, atol=1e-6)
    alive = best.activation.values > 0
    named = [known.name_of(c) for c in range(120)]
    found = [best.activation.name_of(c) for c in range(120)]
    assert alive.sum() > 20
    assert np.mean([a == b for a, b in zip(named, found, strict=True)], where=alive) > 0.9  # but for ties
    assert indexed_best("runs/tiny", card, "pool1") is None


def test_as_in_the_report_sets_layer_filter_steps_and_pixels():
    page = open_page()
    next(b for b in page.button if b.label == "Filter 1, plain 40 steps").click().run()
    assert not page.exception
    head, _ = component(page, "dream_scrubber")
    assert [frame["step"] for frame in head["frames"]] == list(range(0, 41, 5))
    assert page.selectbox(key="dream_set_picture").value == "pixels"
    assert head["unit"].endswith("channel 1")


def test_a_link_to_what_this_network_does_not_have_still_opens():
    page = open_page(dream_layer="nowhere", dream_channel="9999", dream_class="zebra", dream_set_steps="0")
    assert not page.error
    page = open_page("activations", act_layer="nowhere", act_channel="<b>")
    assert not page.error


def test_every_channel_has_its_map_on_one_scale():
    page = open_page("activations", image="digits/test/0", act_layer="activation2")
    head, body = component(page, "act_grid")
    assert [item["id"] for item in head["items"]] == list(range(96))
    assert "120 channels of 4 × 4 places" in words(page)
    classifier = catalogue.load("runs/tiny")
    image = store_image()
    with torch.no_grad():
        module = classifier.module
        expected = module.activation2(module.conv2(module.pool1(module.activation1(module.conv1(
            classifier.inputs(image[None])
        )))))[0].numpy()  # fmt: skip
    np.testing.assert_allclose(activations(classifier, image, "activation2").maps, expected, atol=1e-6)
    levels = np.frombuffer(body, np.uint8).reshape(96, 4, 4)
    np.testing.assert_array_equal(levels, np.rint(255 * expected[:96] / expected.max()))
    page = open_page("activations", image="digits/test/0", act_layer="activation2", act_channel="3")
    assert "**Channel 3**" in [m.value for m in page.markdown]


def store_image():
    from core.data.catalogue import open_dataset

    return np.asarray(open_dataset("digits").split("test").images[0])


def test_one_number_in_every_layer():
    page = open_page(
        "activations", act_view="One filter of every layer", act_number="2", image="digits/test/0"
    )
    head, _ = component(page, "act_numbers")
    assert [item["name"] for item in head["items"]] == ["activation1", "activation2"]
    assert [item["width"] for item in head["items"]] == [8, 4]
    page = open_page(
        "activations", act_view="One filter of every layer", act_number="50", image="digits/test/0"
    )
    assert "1 layer has fewer channels" in words(page)
    classifier = catalogue.load("runs/tiny")
    found = one_channel_of_each(classifier, store_image(), ["activation1", "activation2"], 50)
    assert list(found.maps) == ["activation2"]
    np.testing.assert_array_equal(
        found.maps["activation2"], activations(classifier, store_image(), "activation2").maps[50]
    )


def test_scales_have_zero_in_one_place():
    maps = [np.array([[0.0, 1.0], [2.0, 4.0]]), np.array([[0.0, 0.5]])]
    shared, own = painted(maps, "shared"), painted(maps, "own")
    assert [one.levels.max() for one in shared] == [255, 32]
    assert [one.levels.max() for one in own] == [255, 255]
    assert [one.limit for one in own] == [4.0, 0.5]
    signed = painted([np.array([[-2.0, 0.0, 1.0]])], "own")[0]
    assert signed.levels.tolist() == [[1, 128, 192]]
    silent = painted([np.zeros((2, 2))], "own")[0]
    assert not silent.levels.any()
    stacked = np.array([[[1.0]], [[3.0]], [[2.0]], [[3.0]]])
    assert order_of(stacked, "strongest first").tolist() == [1, 3, 2, 0]
    assert order_of(stacked, "least first").tolist() == [0, 2, 1, 3]
    classifier = catalogue.load("runs/tiny")
    last = list(dict(classifier.module.named_modules()))[-1]
    assert activations(classifier, store_image(), last).maps.shape[1:] == (1, 1)
    with pytest.raises(UnknownName, match="There is no layer named 'nowhere'"):
        activations(classifier, store_image(), "nowhere")
