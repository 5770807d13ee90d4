"""The attribution page without a browser: a small network of its own, both ways to compare, bad settings."""

import pytest
import torch
from streamlit.testing.v1 import AppTest

from core.attribution.export import facts_of, npz_bytes, script_text
from core.attribution.methods import methods
from core.data.preprocessing import Preprocessing, fit
from core.data.samples import sample_image
from core.models.architectures import models
from core.models.card import ModelCard
from core.models.catalogue import load
from core.models.checkpoint import save_checkpoint
from core.paths import PROJECT

NAME = "imported/tiny"


@pytest.fixture(autouse=True)
def tiny(tmp_path, monkeypatch):
    """A checkpoint of a small network for 24 × 24 pixels, in a home of its own."""
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))
    torch.manual_seed(0)
    module = models["small_cnn"](channels=3, number_of_classes=4, input_size=(24, 24), widths="4,8", hidden=8)
    card = ModelCard(
        "tiny", "small_cnn", ("cat", "dog", "owl", "emu"), Preprocessing((24, 24), (0.5,) * 3, (0.25,) * 3),
        settings={"widths": "4,8", "hidden": 8},
    )  # fmt: skip
    save_checkpoint(tmp_path / "imported" / "tiny", module, card)


def _page(**parameters):
    at = AppTest.from_file(PROJECT / "pages/attribution.py", default_timeout=60)
    for name, value in ({"classifier": NAME, "image": "chelsea"} | parameters).items():
        at.query_params[name] = value
    return at.run()


def _labels(at, kind):
    return [element.proto.label for element in at.get(kind)]


def test_it_opens_with_maps_to_look_at():
    at = _page()
    assert not at.exception
    assert not at.error
    assert "Integrated gradients: values (NPZ)" in _labels(at, "download_button")
    assert "Grad\\-CAM: values (NPZ)" in _labels(at, "download_button")


@pytest.mark.parametrize("method", methods.names())
def test_every_method_has_its_settings_and_makes_a_map(method):
    at = _page(att_compare="Classes", att_method=methods[method].title)
    assert not at.exception
    assert not at.error
    drawn = {
        widget.key
        for kind in ("number_input", "slider", "selectbox", "toggle")
        for widget in getattr(at, kind)
    }
    assert {f"att_{method}_{setting.name}" for setting in methods[method].settings} <= drawn
    maps = [label for label in _labels(at, "download_button") if label.endswith("values (NPZ)")]
    assert len(maps) == 3  # the target and the two classes next to it


def test_without_a_method_it_says_what_to_do():
    at = _page()
    at.session_state["att_methods"] = []
    at.run()
    assert "Choose a method in the settings" in at.info[0].value
    assert not at.exception


@pytest.mark.parametrize("parameters", [
    {"att_view": "sideways", "att_sigma": "much", "att_share": "7", "att_main": "-3", "att_scale": "none"},
    {"att_method": "magic", "att_compare": "Classes"},
    {"att_integrated_gradients_n_steps": "-3"},
    {"att_integrated_gradients_baseline": "pink"},
    {"att_opacity": "nan"},
    {"att_grad_cam_layer": "no_such_layer"},
])  # fmt: skip
def test_nonsense_in_the_address_is_left_aside(parameters):
    at = _page(**parameters)
    assert not at.exception
    assert not at.error


@pytest.mark.parametrize("sample", [True, False])
def test_the_script_makes_the_map_again(tmp_path, monkeypatch, capsys, sample):
    classifier = load(NAME)
    pixels = fit(sample_image("chelsea").pixels, classifier.card.preprocessing)
    result = methods["integrated_gradients"](classifier, pixels, 2, baseline="blur")
    facts = facts_of(result, classifier.card, NAME, "chelsea")
    (tmp_path / "map.npz").write_bytes(npz_bytes(result, facts, pixels))
    monkeypatch.chdir(tmp_path)
    exec(compile(script_text(facts, "map.npz", sample=sample), "script.py", "exec"), {})
    words = capsys.readouterr().out.splitlines()[1].split()
    difference, largest = float(words[-3]), float(words[-1])
    assert difference <= 1e-4 * largest
    assert largest > 0
