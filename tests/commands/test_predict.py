"""`python -m core predict`: the classifier's own numbers, in words, as JSON and as files."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from core.__main__ import main
from core.data.preprocessing import fit
from core.data.samples import sample_image
from core.evaluation.prediction_picture import prediction_picture
from core.models.catalogue import load

ASK = ["predict", "chelsea", "--classifier", "imported/tiny"]
pytestmark = pytest.mark.usefixtures("tiny")


def expected():
    classifier = load("imported/tiny")
    pixels = fit(sample_image("chelsea").pixels, classifier.card.preprocessing)
    with torch.inference_mode():
        logits = classifier.logits(classifier.inputs(pixels[None]))[0]
    return classifier.card, pixels, logits.numpy(), logits.double().softmax(0).numpy()


def test_json_and_files_hold_what_the_network_says(tmp_path, capsys):
    card, pixels, logits, shares = expected()
    out, png = tmp_path / "answer.npz", tmp_path / "answer.png"
    last = int(shares.argmin())
    options = [
        "--top",
        "2",
        "--target",
        card.class_names[last],
        "--json",
        "--out",
        str(out),
        "--png",
        str(png),
    ]
    assert main([*ASK, *options]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [row["index"] for row in answer["top"]] == np.argsort(-shares)[:2].tolist()
    for row in (*answer["top"], answer["target"]):
        assert row["probability"] == pytest.approx(shares[row["index"]], abs=1e-6)
        assert row["logit"] == pytest.approx(logits[row["index"]], abs=1e-5)
    assert (answer["target"]["index"], answer["target"]["rank"]) == (last, 3)
    assert answer["weights_sha256"] == card.weights_sha256 != ""
    with np.load(out) as kept:
        np.testing.assert_allclose(kept["logits"], logits, atol=1e-5)
        np.testing.assert_array_equal(kept["image"], pixels)
        assert json.loads(str(kept["about"])) == answer
    three = [(row["name"], row["probability"]) for row in (*answer["top"], answer["target"])]
    np.testing.assert_array_equal(np.asarray(Image.open(png)), prediction_picture(pixels, three))


def test_a_target_is_told_once_and_with_its_rank(capsys):
    card, _, _, shares = expected()
    order = np.argsort(-shares)
    assert main([*ASK, "--top", "1", "--target", str(order[2])]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.split()[-1] == card.class_names[order[0]]
    assert second.endswith(f"{card.class_names[order[2]]}, at rank 3")
    assert main([*ASK, "--target", str(order[2])]) == 0  # among the first five anyway
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_what_is_wrong_is_one_sentence(tmp_path, capsys):
    for options, words in (
        (["--target", "unicorn"], "no class named 'unicorn'"),
        (["--target", "3"], "3 classes"),
        (["--top", "0"], "--top is 0: choose a whole number from 1 on."),
        (["--out", str(tmp_path / "no" / "such.npz")], "cannot be written"),
    ):
        assert main([*ASK, *options]) == 2
        told = capsys.readouterr()
        assert words in told.err
        assert told.err.count("\n") == 1
        assert not told.out


def test_a_bar_is_as_long_as_the_class_is_probable():
    image = np.zeros((10, 10, 3), np.uint8)
    sheet = prediction_picture(image, [("all", 1.0), ("half", 0.5), ("none", 0.0)])
    blue = (sheet == np.array([0x0B, 0x6E, 0x8A])).all(-1)
    lengths = [int(blue[top : top + 40].sum(1).max()) for top in (12, 52, 92)]
    assert lengths[0] == pytest.approx(2 * lengths[1], abs=2)
    assert lengths[0] > 300
    assert lengths[2] == 0
