"""The occlusion page without a browser: a small network of its own, every part, nonsense in the address."""

import json

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from core.data.preprocessing import Preprocessing, fit
from core.data.samples import sample_image
from core.models.architectures import models
from core.models.card import ModelCard
from core.models.catalogue import load
from core.models.checkpoint import save_checkpoint
from core.occlusion.occlusion import occlusion_logits
from core.occlusion.occlusion_map import OcclusionMap
from core.occlusion.picture import FLIP_COLORS, scale_of
from core.paths import PROJECT
from pages.elements.occlusion.scrubber import asked, fixed

NAME = "imported/tiny"


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A checkpoint of a small network for 24 × 24 pixels, in a home of its own."""
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))
    torch.manual_seed(0)
    module = models["small_cnn"](channels=3, number_of_classes=4, input_size=(24, 24), widths="4,8", hidden=8)
    module.get_submodule("output").weight.data.mul_(6)
    card = ModelCard(
        "tiny", "small_cnn", ("cat", "dog", "owl", "emu"), Preprocessing((24, 24), (0.5,) * 3, (0.25,) * 3),
        settings={"widths": "4,8", "hidden": 8},
    )  # fmt: skip
    save_checkpoint(tmp_path / "imported" / "tiny", module, card)


def _page(**parameters):
    at = AppTest.from_file(PROJECT / "pages/occlusion.py", default_timeout=60)
    for name, value in ({"classifier": NAME, "image": "chelsea"} | parameters).items():
        at.query_params[name] = value
    return at.run()


def _words(at):
    return " ".join(m.value for m in [*at.markdown, *at.caption, *at.info])


def _fine(at):
    assert not at.exception
    assert [error.value for error in at.error] == []
    return at


def test_one_window_says_what_the_core_says(tiny):
    at = _fine(_page(occ_window="5", occ_stride="2", occ_fill="black"))
    classifier = load(NAME)
    pixels = fit(sample_image("chelsea").pixels, classifier.card.preprocessing)
    found = occlusion_logits(classifier, pixels, window=5, stride=2, fill="black")
    top, left, least = found.weakest(found.predicted)
    words = _words(at)
    assert f"of {found.winners.size:,} places" in words or "never flips" in words
    assert f"row {top}, column {left}" in words
    assert f"{least:.1%}" in words
    assert f"window {found.window}, stride {found.stride}".lower() in words.lower()


def test_every_value_and_fill(tiny):
    for value in ("Probability", "Logit", "Drop"):
        at = _fine(_page(occ_window="7", occ_stride="8", occ_value=value))
        assert f"{value} of " in _words(at)
    for fill in ("mean", "white", "blur", "noise"):
        at = _fine(_page(occ_window="7", occ_stride="8", occ_fill=fill))
        assert fill in _words(at)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"occ_window": "99"}, "window is 99 pixels, but the network sees 24 × 24: choose 1 to 24."),
        ({"occ_window": "blue"}, "window is 'blue': choose a whole number from 1"),
        ({"occ_stride": "0"}, "stride is '0': choose a whole number from 1"),
    ],
)
def test_nonsense_in_the_address_is_named(tiny, parameters, sentence):
    at = _page(**parameters)
    assert not at.exception
    assert any(sentence in error.value for error in at.error), [error.value for error in at.error]
    assert at.selectbox(key="occ_window").options  # what would put it right is still there


@pytest.mark.parametrize(("before", "after"), [("cat", "owl"), ("owl", "automatic")])
def test_another_target_draws_the_map_anew_and_nothing_else(tiny, before, after):
    at = _fine(_page(occ_window="7", occ_stride="8", target=before))
    assert f"Drop of {before}," in _words(at)
    _fine(at.selectbox(key="target").set_value(after).run())
    assert not at.title  # what AppTest has is what was drawn
    classifier = load(NAME)
    pixels = fit(sample_image("chelsea").pixels, classifier.card.preprocessing)
    found = occlusion_logits(classifier, pixels, window=7, stride=8)
    names = classifier.card.class_names
    target = names.index(after) if after in names else found.predicted
    assert f"Drop of {names[target]}," in _words(at)
    assert f"{found.weakest(target)[2]:.1%}" in _words(at)
    assert at.query_params.get("target") == (after if after in names else None)


def test_another_target_where_more_than_the_map_depends_on_it(tiny):
    at = _fine(_page(occ_part="All windows", occ_step="8"))
    _fine(at.selectbox(key="target").set_value("owl").run())
    assert "Drop of owl:" in _words(at)
    _fine(at.segmented_control(key="occ_part").set_value("One window").run())
    _fine(at.selectbox(key="target").set_value("emu").run())
    assert "Drop of emu," in _words(at)


def test_all_windows(tiny):
    words = _words(_fine(_page(occ_part="All windows", occ_step="4")))
    for window in (3, 5, 7, 9):
        assert f"{window} × {window}" in words


def test_gallery_of_sample_photos(tiny):
    at = _fine(_page(occ_part="Gallery", occ_step="8"))
    assert "press Compute" in _words(at)
    at.number_input(key="occ_count").set_value(2)
    at.multiselect(key="occ_windows").set_value([5, 9])
    compute = next(button for button in at.button if button.label == "Compute")
    _fine(compute.click().run())
    assert "on average of 2 images" in _words(at)


def _read(data, found):
    """As `scrubber.js` reads it."""
    length = int.from_bytes(data[:4], "little")
    head = json.loads(data[4 : 4 + length])
    at, parts = 4 + length, {}
    n, m, k, h, w = *found.winners.shape, len(head["classes"]), *found.input_size
    under = (1, 1, 3) if head["one_color"] else (h, w, 3)
    shapes = [("logs", (n, m, k), 4), ("total", (n, m), 4), ("image", (h, w, 3), 1), ("filled", under, 1)]
    shapes += [("winners", (n, m), 1), ("sequential", (256, 3), 1), ("diverging", (256, 3), 1)]
    for name, shape, size in shapes:
        count = int(np.prod(shape))
        assert at % size == 0
        parts[name] = np.frombuffer(data, np.float32 if size == 4 else np.uint8, count, at).reshape(shape)
        at += count * size
    assert at == len(data)
    return head, parts


def _found():
    rng = np.random.default_rng(0)
    logits = (4 * rng.normal(size=(6, 7, 300))).astype(np.float32)
    base = (4 * rng.normal(size=300)).astype(np.float32)
    return OcclusionMap(4, 2, "gray", 2 * np.arange(6), 2 * np.arange(7), logits, base, (14, 16))


NAMES = tuple(f"class {i}" for i in range(300))


@pytest.mark.parametrize("one_color", [True, False])
def test_what_the_browser_gets_is_exact(one_color):
    found, rng = _found(), np.random.default_rng(1)
    image, filled = rng.integers(0, 256, (14, 16, 1), np.uint8), np.full((14, 16, 1), 128, np.uint8)
    if not one_color:
        filled[3, 5] = 7
    data, classes = fixed(found, image, filled, NAMES, question="q", name="n")
    head, parts = _read(data, found)
    assert head["classes"] == [NAMES[c] for c in classes]
    np.testing.assert_allclose(parts["logs"], found.log_probabilities[..., classes], atol=1e-6)
    np.testing.assert_allclose(
        parts["logs"] + parts["total"][..., None], found.logits[..., classes], atol=1e-5
    )
    np.testing.assert_array_equal(parts["image"], np.repeat(image, 3, axis=2))
    under = np.broadcast_to(parts["filled"], (14, 16, 3))
    np.testing.assert_array_equal(under, np.repeat(filled, 3, axis=2))
    np.testing.assert_array_equal(parts["diverging"], scale_of(np.ones((1, 1)), "drop").colors)
    assert sum(winner["places"] for winner in head["winners"]) == 42
    named = {winner["color"]: winner["name"] for winner in head["winners"]}
    for y, x in [(0, 0), (5, 6), (2, 3)]:
        shown = named[FLIP_COLORS[parts["winners"][y, x]]]
        assert shown in (NAMES[found.winners[y, x]], "other classes")


def test_another_target_is_sent_in_a_few_bytes_and_brings_what_did_not_go_along():
    found = _found()
    gray = np.full((14, 16, 1), 128, np.uint8)
    _, classes = fixed(found, gray, gray, NAMES, question="q", name="n")
    for target in (int(classes[3]), next(c for c in range(300) if c not in classes)):
        scale = scale_of(found.map(target, "logit"), "logit")
        sent = asked(found, classes, NAMES, target, "logit", scale, start=(2, 4), name="n")
        length = int.from_bytes(sent[:4], "little")
        head, own = json.loads(sent[4 : 4 + length]), sent[4 + length :]
        assert (head["name"], head["of"], head["diverging"]) == (NAMES[target], "n", False)
        assert np.exp(head["base"]) == pytest.approx(found.base(target), rel=1e-5)
        if target in classes:
            assert classes[head["target"]] == target
            assert own == b""
        else:
            own = np.frombuffer(own, np.float32).reshape(6, 7)
            assert head["target"] == len(classes)
            np.testing.assert_allclose(np.exp(own), found.values(target), rtol=1e-6)
        assert len(sent) < 1000
