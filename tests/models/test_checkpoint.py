"""A checkpoint folder comes back as it was saved; what is broken is named."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from core.data.preprocessing import Preprocessing
from core.errors import BadCheckpoint, SettingError, TargetOutOfRange, UnknownName
from core.models import catalogue
from core.models.card import ModelCard
from core.models.checkpoint import CARD, WEIGHTS, build, load_checkpoint, save_checkpoint
from core.models.classifier import Classifier
from core.paths import PROJECT

GRAY = Preprocessing((28, 28), (0.3,), (0.4,), channels=1)
CLASSES = tuple("abcdefghij")
PLAIN = ModelCard(
    "mine", "small_cnn", CLASSES, GRAY, title="Mine", metrics={"test": {"accuracy": 0.5}}, seed=3
)


@pytest.fixture
def saved(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))
    torch.manual_seed(0)
    module = build(PLAIN).eval()
    folder = tmp_path / "runs" / "mine"
    return folder, module, save_checkpoint(folder, module, PLAIN)


def images():
    return np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1), np.uint8)


def test_it_comes_back_as_it_was(saved):
    folder, module, card = saved
    loaded = load_checkpoint(folder)
    assert loaded.card == card
    expected = Classifier(module, card, torch.device("cpu")).predict_logits(images())
    np.testing.assert_allclose(loaded.predict_logits(images()), expected, atol=1e-6)


def test_half_precision_halves_the_file_and_hardly_moves_the_answer(saved, tmp_path):
    folder, module, _ = saved
    save_checkpoint(tmp_path / "half", module, PLAIN, half=True)
    assert (tmp_path / "half" / WEIGHTS).stat().st_size < 0.6 * (folder / WEIGHTS).stat().st_size
    loaded = load_checkpoint(tmp_path / "half")
    assert next(loaded.module.parameters()).dtype == torch.float32
    whole = load_checkpoint(folder)
    np.testing.assert_allclose(loaded.predict_logits(images()), whole.predict_logits(images()), atol=0.02)


def test_the_catalogue_lists_it_and_knows_its_fingerprint_without_loading(saved):
    folder, _, _ = saved
    assert "runs/mine" in catalogue.names()
    assert catalogue.load("runs/mine").fingerprint == catalogue.fingerprint_of("runs/mine")
    assert catalogue.card_of("runs/mine").title == "Mine"
    for name in ("runs/../runs/mine", "../runs/mine", "runs", "mine/"):
        with pytest.raises(UnknownName, match="no classifier named"):
            catalogue.load(name)
    # New weights under the same name are another classifier.
    before = catalogue.fingerprint_of("runs/mine")
    torch.manual_seed(1)
    save_checkpoint(folder, build(PLAIN), PLAIN)
    assert catalogue.fingerprint_of("runs/mine") != before


def test_what_is_broken_is_named(saved):
    folder, _, card = saved
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[:-10])
    with pytest.raises(BadCheckpoint, match="changed or cut short"):
        load_checkpoint(folder)
    (folder / CARD).write_text(dataclasses.replace(card, weights_sha256="").to_json())
    with pytest.raises(BadCheckpoint, match="not a whole safetensors file"):
        load_checkpoint(folder)
    (folder / WEIGHTS).unlink()
    with pytest.raises(BadCheckpoint, match=f"has no {WEIGHTS}"):
        load_checkpoint(folder)
    (folder / CARD).write_text("{")
    with pytest.raises(BadCheckpoint, match="not a model card"):
        load_checkpoint(folder)
    (folder / CARD).write_text(json.dumps({"name": "x"}))
    with pytest.raises(BadCheckpoint, match="not a model card"):
        load_checkpoint(folder)
    (folder / CARD).unlink()
    with pytest.raises(BadCheckpoint, match=f"has no {CARD}"):
        load_checkpoint(folder)


def test_weights_of_another_network_are_explained_by_the_first_that_differs(saved):
    folder, _, card = saved
    (folder / CARD).write_text(dataclasses.replace(card, class_names=("one", "two")).to_json())
    with pytest.raises(BadCheckpoint, match=r"do not fit the architecture: \S+ has the shape"):
        load_checkpoint(folder)


def test_a_card_with_unknown_words_is_refused():
    with pytest.raises(UnknownName, match="small_cnn"):
        build(dataclasses.replace(PLAIN, architecture="smal_cnn"))
    with pytest.raises(SettingError, match="no setting 'color'"):
        build(dataclasses.replace(PLAIN, settings={"color": 3}))


def test_targets_by_index_and_by_name():
    assert PLAIN.target_index(3) == PLAIN.target_index("3") == PLAIN.target_index("D") == 3
    with pytest.raises(TargetOutOfRange, match="class 10, but this classifier has 10 classes"):
        PLAIN.target_index(10)
    with pytest.raises(UnknownName, match="no class named 'z'"):
        PLAIN.target_index("z")


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "runs/", "runs/..", "../checkpoints/digits_cnn", "runs/../../checkpoints/digits_cnn",
     "/digits_cnn", "cache/one", "runs\\..\\one", "digits_cnn\0", "none_of_that_name"],
)  # fmt: skip
def test_a_name_leads_to_no_other_folder_than_a_checkpoints_own(name):
    assert catalogue.checkpoint_folder("digits_cnn") == PROJECT / "checkpoints" / "digits_cnn"
    assert catalogue.checkpoint_folder(name) is None


# --- One damaged card stays one damaged card


def damaged_cards():
    good = json.loads(PLAIN.to_json())
    changes = {
        "no UTF-8": PLAIN.to_json().replace("Mine", "Min\u00e9").encode("latin-1"),
        "cut": PLAIN.to_json().encode()[:100],
        "empty": b"",
        "deep": b"[" * 100_000,
        "a list": b"[]",
        "null": b"null",
        "a number": b"5",
        "a BOM of UTF-16": PLAIN.to_json().encode("utf-16"),
    }
    fields = {
        "name": 5, "title": None, "summary": [], "architecture": {}, "class_names": "abc", "settings": [],
        "metrics": 5, "preprocessing": None, "seed": "x", "versions": {"torch": 2}, "weights_sha256": 3,
    }  # fmt: skip
    for key, value in fields.items():
        changes[key] = json.dumps({**good, key: value}).encode()
    inner = {
        "input_size": [28], "mean": ["x"], "std": [0], "channels": 2, "resize": "a", "interpolation": [],
        "more": 1,
    }  # fmt: skip
    for key, value in inner.items():
        changed = {**good, "preprocessing": {**good["preprocessing"], key: value}}
        changes[f"preprocessing.{key}"] = json.dumps(changed).encode()
    for size in ([0, 28], [28.5, 28], [True, 28], [10**9, 10**9], {"a": 1}):
        changed = {**good, "preprocessing": {**good["preprocessing"], "input_size": size}}
        changes[f"input_size {size}"] = json.dumps(changed).encode()
    changes["class_names of numbers"] = json.dumps({**good, "class_names": [1, 2]}).encode()
    changes["no classes"] = json.dumps({**good, "class_names": []}).encode()
    return changes


@pytest.mark.parametrize("data", damaged_cards().values(), ids=damaged_cards())
def test_a_damaged_card_is_left_out_with_a_reason_and_everything_else_works(saved, tmp_path, data):
    folder, module, _ = saved
    save_checkpoint(tmp_path / "imported" / "good", module, PLAIN)
    (folder / CARD).write_bytes(data)
    names = catalogue.names()
    assert "imported/good" in names
    assert "digits_cnn" in names
    assert "runs/mine" not in names
    (left_out,) = catalogue.damaged()
    assert left_out.name == "runs/mine"
    assert "mine/card.json" in left_out.reason
    for ask in (catalogue.card_of, catalogue.fingerprint_of, catalogue.load):
        with pytest.raises(BadCheckpoint, match=r"mine/card.json is not a model card"):
            ask("runs/mine")


def test_any_bytes_make_a_card_or_a_sentence(saved):
    folder, _, card = saved
    whole = card.to_json().encode()
    for seed in range(150):
        rng = np.random.default_rng(seed)
        data = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(len(data)))
            data[at : at + int(rng.integers(0, 9))] = bytes(
                rng.integers(0, 256, rng.integers(0, 9), np.uint8)
            )
        (folder / CARD).write_bytes(bytes(data))
        assert ("runs/mine" in catalogue.names()) != bool(catalogue.damaged())


LONG = ["a" * 5000, "runs/" + "a" * 5000, "torchvision/" + "a" * 5000, "timm/" + "[" * 5000]


@pytest.mark.parametrize("name", [*LONG, "runs/\ud800", "imported/" + "é" * 300])
def test_a_long_or_strange_name_is_a_sentence(name):
    for ask in (catalogue.card_of, catalogue.fingerprint_of, catalogue.load):
        with pytest.raises(UnknownName, match="There is no") as info:
            ask(name)
        assert len(str(info.value)) < 1000
