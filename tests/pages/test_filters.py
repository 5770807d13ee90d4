"""The page Filters on a tiny network of its own."""

import json

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from core import store
from core.__main__ import main
from core.ablation.channel_ranges import parse_channels
from core.data.catalogue import open_dataset
from core.data.preprocessing import Preprocessing
from core.filters.channel_layers import ChannelLayer
from core.filters.presets import random_filters, report_filters
from core.models import catalogue
from core.models.architectures import models
from core.models.card import ModelCard
from core.models.checkpoint import save_checkpoint
from core.paths import PROJECT, home
from core.serving import worker


@pytest.fixture(scope="module", autouse=True)
def _home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVOSCOPE_HOME", str(tmp_path_factory.mktemp("home")))
        store.forget_memory()
        torch.manual_seed(0)
        settings = {"widths": "4,6"}
        module = models["small_cnn"](channels=1, number_of_classes=10, input_size=(28, 28), **settings)
        names = open_dataset("fashion_mnist").class_names
        card = ModelCard(
            "tiny", "small_cnn", names, Preprocessing((28, 28), (0.3,), (0.35,), 1), settings=settings,
            dataset="fashion_mnist",
        )  # fmt: skip
        save_checkpoint(home("runs") / "tiny", module, card)
        yield
        worker.close()
        store.forget_memory()


def open_page(view="Channels", **address):
    page = AppTest.from_file(str(PROJECT / "pages" / "filters.py"), default_timeout=120)
    page.query_params["classifier"] = "runs/tiny"
    page.query_params["fl_n"] = "200"
    page.query_params["fl_view"] = view
    for name, value in address.items():
        page.query_params[name] = value
    page.run()
    assert not page.exception
    return page


def words(page):
    return " ".join(element.value for element in (*page.caption, *page.markdown, *page.info))


def switched_off(page):
    value = page.query_params["fl_off"]
    return value if isinstance(value, str) else value[0]


def test_the_number_of_images_is_read_from_the_address_as_it_is_typed():
    page = open_page(fl_n="2000")
    assert page.selectbox(key="fl_n").value == 2000
    assert page.query_params["fl_n"] in ("2000", ["2000"])


@pytest.mark.parametrize("view", ["Channels", "One channel", "Patches by rank", "Switch off"])
def test_every_view_is_drawn(view):
    page = open_page(view, fl_off="conv2:0,2", fl_layer="conv2", fl_channel="2")
    assert not page.error
    assert "200 images of Fashion" in words(page)
    assert "Computed by one pass over each map for normalization, activation, and figures." in words(page)


def test_the_channels_can_be_searched():
    page = open_page(fl_layer="conv2")
    assert "6 of 6 channels, measured at the output of activation2, after the activation (ReLU)" in words(
        page
    )
    page.text_input(key="fl_search").set_value("1, 3-4").run()
    assert "3 of 6 channels" in words(page)
    page.text_input(key="fl_search").set_value("dead").run()
    assert "No channel matches" in words(page)
    page.text_input(key="fl_search").set_value("the red one").run()
    assert "is not a channel: write a number such as 7" in page.error[0].value


def test_the_cost_of_every_channel_is_measured_once_and_can_be_sorted_by():
    page = open_page(fl_layer="conv2")
    next(b for b in page.button if b.label == "What does each cost?").click().run()
    assert not page.exception
    assert "costs most" in page.selectbox(key="fl_sort").options
    assert "What does each cost?" not in [b.label for b in page.button]
    assert "intervals of the difference on the same 200 images" in words(page)
    assert "share subtracted from" in words(page)  # which engine ran


def test_the_switchboard_counts_and_compares():
    page = open_page("Switch off")
    assert "Everything is on" in words(page)
    next(b for b in page.button if b.label == "Ten at random").click().run()
    off = parse_channels(switched_off(page).split(";"))
    assert sum(map(len, off.values())) == 10
    page = open_page("Switch off", fl_off="conv1:0-3;conv2:0-5")
    metrics = {m.label: m.value for m in page.metric}
    assert metrics["with 10 channels off"] == "10.0%"  # one class for every image
    next(b for b in page.button if b.label.startswith("Compare with")).click().run()
    assert "20 of 20 random sets cost as much or more (p = 1.00)" in words(page)


def test_what_is_typed_is_read_or_refused_with_a_reason():
    page = open_page("Switch off", fl_off="conv1:1")
    box = next(t for t in page.text_input if t.label == "Channels that are off")
    box.set_value("conv2:9").run()
    assert "Channel 9 of 'conv2' does not exist: it has 6" in page.error[0].value
    assert switched_off(page) == "conv1:1"
    next(t for t in page.text_input if t.label == "Channels that are off").set_value(
        "conv2:5; conv1:0-2"
    ).run()
    assert switched_off(page) == "conv2:5;conv1:0-2"


def test_a_link_to_what_this_network_does_not_have_still_opens():
    page = open_page("One channel", fl_off="conv9:1;conv1:77", fl_layer="nowhere", fl_channel="99999")
    assert not page.error
    assert page.number_input(key="fl_channel_number").value == 5  # the last of the layer it opens on
    page = open_page("Switch off", fl_off="<b>")
    assert "does not name any channels" in page.error[0].value


def test_an_index_lies_beside_its_checkpoint_and_opens_from_there(monkeypatch):
    open_page(fl_layer="conv1")
    files = list((home("runs") / "tiny" / "filter_index").glob("*"))
    assert files
    assert {file.suffix for file in files} == {".npz"}  # nothing half done is left
    store.forget_memory()
    for file in home("cache").glob("*/*.npz"):
        file.unlink()
    monkeypatch.setattr("core.serving.worker.submit", lambda *a, **k: pytest.fail("it was computed again"))
    open_page(fl_layer="conv1")


def test_the_commands_print_what_the_page_shows(capsys):
    assert main(["index", "runs/tiny", "--images", "200", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [layer["name"] for layer in found["layers"]] == ["conv1", "conv2"]
    assert len(found["layers"][1]["top"]) == 6
    split = open_dataset("fashion_mnist").split("test")
    module = catalogue.load("runs/tiny")
    best = found["layers"][0]["top"][2][0]
    with torch.no_grad():
        maps = torch.relu(module.module.conv1(module.inputs(split.images[best["row"]][None])))
    assert float(maps[0, 2].max()) == pytest.approx(best["activation"], rel=1e-4)
    arguments = [
        "ablate",
        "runs/tiny",
        "--images",
        "200",
        "--channels",
        "conv1:0-3",
        "conv2:0-5",
        "--random",
        "2",
    ]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["accuracy"]["after"] == pytest.approx(0.1)
    assert found["random"]["p"] == 1
    assert np.sum(found["difference"]) == 0
    assert main(arguments) == 0
    assert "with p = 1.000" in capsys.readouterr().out
    arguments = ["ablate", "runs/tiny", "--images", "200", "--each", "conv2"]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "share subtracted" in found["engine"] or "closed form" in found["engine"]
    channel = found["channels"][0]
    assert len(found["channels"]) == 6
    assert channel["change"] == min(c["change"] for c in found["channels"])
    off = ["--channels", f"conv2:{channel['channel']}", "--json"]
    assert main(["ablate", "runs/tiny", "--images", "200", *off]) == 0
    alone = json.loads(capsys.readouterr().out)["accuracy"]
    assert channel["change"] == pytest.approx(alone["after"] - alone["before"], abs=1e-9)
    assert main(arguments) == 0
    assert "accuracy with none off" in capsys.readouterr().out
    assert main([*arguments, "--random", "3"]) == 2
    assert "leave it out with --each" in capsys.readouterr().err
    assert main(["ablate", "runs/tiny", "--channels", "conv1:9"]) == 2
    assert "Channel 9 of 'conv1' does not exist" in capsys.readouterr().err


def a_layer(name, channels):
    return ChannelLayer(name, name, "", False, channels, (1, 1), (1, 1), 1)


def test_the_reports_filters_are_offered_for_the_full_wide_cnn_only():
    layers = [a_layer(f"conv{i}", n) for i, n in enumerate((256, 1024, 2048, 2048), 1)]
    found = report_filters("wide_cnn", layers)
    assert found == {
        "conv1": [100, 200, 240], "conv2": [400, 800, 1000], "conv3": [1000, 2000], "conv4": [1000, 2000]
    }  # fmt: skip
    layers[0] = a_layer("conv1", 128)
    assert report_filters("wide_cnn", layers) == report_filters("vgg", layers) == {}
    for seed in range(5):
        assert sum(map(len, random_filters(layers, 10, seed).values())) == 10
    assert sum(map(len, random_filters([a_layer("a", 3)], 10, 0).values())) == 3
