"""Predictions beside a checkpoint stand in for images that are not here, and for no other weights."""

import dataclasses

import numpy as np
import pytest
import torch

from core.data.dataset import ImageDataset, Split
from core.data.preprocessing import Preprocessing
from core.evaluation.prediction import predict_split, predictions_of
from core.evaluation.report import evaluate
from core.evaluation.stored_predictions import FILE, keep_predictions, stored_predictions
from core.models.card import WEIGHTS, ModelCard
from core.models.catalogue import load
from core.models.checkpoint import build, save_checkpoint
from core.paths import PROJECT, home

NAMES = ("cat", "dog", "owl")


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 3
    images = rng.integers(0, 256, (300, 8, 8, 3), dtype=np.uint8)
    return ImageDataset("own", "Own", ("owl", "cat", "dog"), {"test": Split(images, labels.astype(np.int64))})


def save(seed, **card):
    torch.manual_seed(seed)
    made = ModelCard(
        "mine", "small_cnn", NAMES, Preprocessing((8, 8), (0.5,) * 3, (0.25,) * 3),
        settings={"widths": "4,4"}, dataset="own",
    )  # fmt: skip
    save_checkpoint(home("runs") / "mine", build(made), dataclasses.replace(made, **card))


def test_all_that_follows_is_the_same_as_from_the_images(data):
    save(0)
    split = data.split("test")
    logits = predict_split(load("runs/mine"), split)
    fresh = evaluate(predictions_of(logits, split, data.class_names, NAMES))
    path = keep_predictions("runs/mine", data, "test", logits)
    assert path.stat().st_size < 300 * 3 * 2 + 300 * 2 + 4000
    stored = stored_predictions("runs/mine", "own")
    assert stored.images == split.fingerprint
    again = evaluate(stored.predictions)
    assert np.array_equal(again.matrix, fresh.matrix)
    assert again.findings == fresh.findings
    assert again.top_k == fresh.top_k
    assert abs(again.calibration_error - fresh.calibration_error) < 0.01
    np.testing.assert_allclose(stored.predictions.logits, logits, rtol=1e-3, atol=1e-4)


def test_rounding_never_changes_what_is_predicted(data):
    """Logits so close that 16 bits cannot tell them apart."""
    save(0)
    rng = np.random.default_rng(1)
    logits = (rng.integers(1, 4, (300, 1)) + rng.normal(0, 1e-5, (300, 3))).astype(np.float32)
    assert (logits.astype(np.float16).argmax(1) != logits.argmax(1)).sum() > 50
    keep_predictions("runs/mine", data, "test", logits)
    found = stored_predictions("runs/mine").predictions
    assert np.array_equal(found.predicted, logits.argmax(1))


def test_other_weights_have_no_stored_predictions(data):
    save(0)
    logits = predict_split(load("runs/mine"), data.split("test"))
    keep_predictions("runs/mine", data, "test", logits)
    assert stored_predictions("runs/mine", "own") is not None
    assert stored_predictions("runs/mine", "cifar10") is None
    save(1)
    assert stored_predictions("runs/mine", "own") is None
    save(0)
    assert stored_predictions("runs/mine", "own") is not None
    save(0, class_names=("dog", "cat", "owl"))
    assert stored_predictions("runs/mine", "own") is None


def test_a_weights_file_that_was_exchanged_alone_is_noticed(data):
    save(0)
    keep_predictions("runs/mine", data, "test", predict_split(load("runs/mine"), data.split("test")))
    weights = home("runs") / "mine" / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    assert stored_predictions("runs/mine", "own") is None


@pytest.mark.parametrize("damage", [b"", b"nothing", None])
def test_a_damaged_file_counts_as_none(data, damage):
    save(0)
    path = keep_predictions("runs/mine", data, "test", np.zeros((300, 3), np.float32))
    path.write_bytes(path.read_bytes()[:-100] if damage is None else damage)
    assert stored_predictions("runs/mine") is None


SHIPPED = sorted(path.parent.name for path in (PROJECT / "checkpoints").glob(f"*/{FILE}"))


@pytest.mark.parametrize("name", SHIPPED)
def test_predictions_that_ship_are_of_these_weights_and_as_good_as_the_card_states(name):
    from core.models.catalogue import card_of

    stored = stored_predictions(name)
    assert stored is not None, f"make them anew: python -m core ship {name}"
    predictions, stated = stored.predictions, card_of(name).metrics["test"]
    assert len(predictions) == stated["images"]
    # What the card says was measured on another machine: a handful of images lie on the edge.
    assert abs(int(predictions.correct.sum()) - stated["correct"]) <= 5
    assert (PROJECT / "checkpoints" / name / FILE).stat().st_size < 250_000
