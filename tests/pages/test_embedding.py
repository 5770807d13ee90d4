"""The embedding page: maps, comparison, the chosen image placed; and the payload that the browser reads."""

import io
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest

from core.__main__ import main
from core.data.catalogue import open_dataset
from core.data.preprocessing import Preprocessing
from core.models.card import ModelCard
from core.models.checkpoint import build, save_checkpoint
from core.paths import PROJECT, home
from core.serving import worker
from pages.elements.embedding.scatter import ImageMap, make_sprite, payload


@pytest.fixture(scope="module", autouse=True)
def checkpoints(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVOSCOPE_HOME", str(tmp_path_factory.mktemp("home")))
        split = open_dataset("digits").split("train")
        for seed, name in enumerate(("one", "two")):
            torch.manual_seed(seed)
            card = ModelCard(
                name, "small_cnn", open_dataset("digits").class_names,
                Preprocessing(split.input_size, *split.mean_std, channels=1),
                settings={"widths": "4,8", "hidden": 16}, dataset="digits", title=f"Network {name}",
            )  # fmt: skip
            save_checkpoint(home("imported") / name, build(card), card)
        yield
        worker.close()


def open_page(**address):
    page = AppTest.from_file(str(PROJECT / "pages" / "embedding.py"), default_timeout=120)
    for name, value in {
        "classifier": "imported/one",
        "em_projection": "PCA",
        "em_count": "200",
        **address,
    }.items():
        page.query_params[name] = value
    return page.run()


def table(page):
    return page.dataframe[0].value


def test_a_map_of_what_the_classifier_was_trained_on():
    page = open_page()
    assert not page.exception
    assert not page.error
    assert page.selectbox(key="em_set").value == "digits"
    line = table(page).iloc[0]
    assert line["classifier"] == "Network one"
    assert line["features"] == 16
    assert 0.05 < line["neighbors kept"] < 1
    assert -1 < line["silhouette in the features"] < 1


def test_two_classifiers_on_the_same_images_and_an_earlier_layer():
    page = open_page(em_layer="pool1", em_dimensions="3")
    page.multiselect(key="em_with").set_value(["imported/two"]).run()
    assert not page.exception
    assert not page.error
    assert table(page)["classifier"].tolist() == ["Network one", "Network two"]
    assert table(page)["features"].tolist()[1] == 16
    assert table(page)["layer"][0] != table(page)["layer"][1]


def test_two_of_one_title_are_told_apart_by_their_names():
    three = home("imported") / "three"
    shutil.copytree(home("imported") / "two", three)
    try:
        page = open_page(em_with="imported/three")
        page.multiselect(key="em_with").set_value(["imported/two", "imported/three"]).run()
        assert table(page)["classifier"].tolist() == ["Network one", "imported/two", "imported/three"]
    finally:
        shutil.rmtree(three)


def test_the_chosen_image_is_placed():
    page = open_page(image="digits/train/3", em_place="true")
    assert not page.exception
    assert not page.error
    assert page.toggle(key="em_place").value


def test_nonsense_in_the_address_is_dropped():
    page = open_page(em_projection="isomap", em_layer="nowhere", em_dimensions="7", em_count="200")
    assert not page.exception
    assert not page.error
    assert page.segmented_control(key="em_dimensions").value == 2


def test_the_payload_is_what_the_browser_reads():
    rng = np.random.default_rng(0)
    n, k = 21, 5
    images = rng.integers(0, 256, (n, 8, 8, 1), dtype=np.uint8)
    near = rng.integers(0, n, (n, k))
    points = rng.normal(size=(n, 3)).astype(np.float32)
    drawn = ImageMap("A", "note", points, near[:, 0], rng.random(n), rng.random(n), near, near[:, ::-1])
    sprite = make_sprite(images)
    data = payload(
        [drawn], np.arange(n) * 2, np.arange(n) % 3, ["a", "b", "c"], sprite,
        question="q", picked=4, has_predictions=True,
    )  # fmt: skip
    length = int.from_bytes(data[:4], "little")
    head = json.loads(data[4 : 4 + length])
    assert length % 4 == 0
    assert (head["count"], head["near"], head["picked"], head["maps"][0]["dimensions"]) == (n, k, 4, 3)
    rows = np.frombuffer(data, np.uint32, n, 4 + length)
    np.testing.assert_array_equal(rows, np.arange(n) * 2)
    at = 4 + length + 4 * n + 44  # labels: 42 bytes, filled up to 44
    np.testing.assert_array_equal(np.frombuffer(data, np.float32, 3 * n, at).reshape(n, 3), points)
    sheet = np.asarray(Image.open(io.BytesIO(data[-len(sprite.jpeg) :])).convert("L"))
    i = 13
    top, left = i // sprite.columns * 8, i % sprite.columns * 8
    tile = sheet[top : top + 8, left : left + 8].astype(int)
    assert np.abs(tile - images[i, ..., 0]).mean() < 25  # a JPEG of noise


def test_large_pictures_are_made_small():
    sprite = make_sprite(np.zeros((5, 300, 150, 3), np.uint8))
    assert (sprite.height, sprite.width) == (96, 48)


def test_the_command(tmp_path, capsys):
    file = tmp_path / "points.csv"
    words = ["embed", "imported/one", "--projection", "pca", "--images", "100", "--out", str(file), "--json"]
    assert main(words) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["images"] == 100
    lines = file.read_text().splitlines()
    assert lines[0] == "row,label,predicted,preserved,x,y"
    kept = np.mean([float(line.split(",")[3]) for line in lines[1:]])
    assert kept == pytest.approx(answer["neighbors_kept"], abs=0.006)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--projection isomap", "There is no projection named 'isomap'"),
        ("--projection tsne --perplexity 1", "perplexity is '1': choose a number from 5 to 50"),
        ("--projection pca --perplexity 9", "There is no setting 'perplexity' here"),
        ("--dimensions 4", "--dimensions is 4: choose 2 or 3"),
        ("--images 3", "3 images were asked for: choose 8 or more"),
        ("--layer nine", "There is no layer named 'nine'"),
    ],
)
def test_mistakes_are_one_sentence(words, message, capsys):
    assert main(["embed", "imported/one", *words.split()]) == 2
    assert message in capsys.readouterr().err
