"""`python -m core occlude`: the same numbers as the function, in words, as JSON and as files."""

import json

import numpy as np
import pytest
from PIL import Image

from core.__main__ import main
from core.data.preprocessing import fit
from core.data.samples import sample_image
from core.models.catalogue import load
from core.occlusion.occlusion import occlusion_logits

ASK = ["occlude", "chelsea", "--classifier", "imported/tiny"]
pytestmark = pytest.mark.usefixtures("tiny")


def test_json_and_files_hold_what_the_function_finds(tmp_path, capsys):
    out, png = tmp_path / "map.npz", tmp_path / "map.png"
    options = ["--window", "5", "--stride", "3", "--fill", "white", "--target", "owl", "--json"]
    assert main([*ASK, *options, "--out", str(out), "--png", str(png)]) == 0
    answer = json.loads(capsys.readouterr().out)
    classifier = load("imported/tiny")
    pixels = fit(sample_image("chelsea").pixels, classifier.card.preprocessing)
    found = occlusion_logits(classifier, pixels, window=5, stride=3, fill="white")
    assert answer["target"] == {"index": 2, "name": "owl", "probability": pytest.approx(found.base(2))}
    assert answer["share_of_flips"] == found.share_of_flips
    assert answer["weakest"]["probability"] == pytest.approx(found.weakest(2)[2])
    with np.load(out, allow_pickle=False) as file:
        np.testing.assert_allclose(file["logits"], found.logits, atol=1e-5)
        np.testing.assert_allclose(file["map"], found.map(2, "drop"), atol=1e-5)
        assert json.loads(str(file["about"])) == answer
    assert Image.open(png).size == (20, 20)


def test_in_words(capsys):
    assert main([*ASK, "--stride", "5"]) == 0
    said = capsys.readouterr().out
    assert "A window of 3 pixels (gray) at 5 × 5 places" in said
    assert "weakest at row" in said


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--window", "21"], "window is 21 pixels, but the network sees 20 × 20: choose 1 to 20."),
        (["--fill", "pink"], "fill is 'pink': Choose one of gray"),
        (["--target", "7"], "The target is class 7, but this classifier has 3 classes"),
        (["--value", "odds"], "There is no value named 'odds'"),
        (["--out", "/nowhere/map.npz"], "/nowhere/map.npz cannot be written"),
    ],
)
def test_errors_are_one_sentence_and_status_2(options, sentence, capsys):
    assert main([*ASK, *options]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert "Traceback" not in said
