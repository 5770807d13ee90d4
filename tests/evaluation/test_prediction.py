"""Predictions of a split: against a plain loop, with the classes of the data set matched by name."""

import argparse
import json

import numpy as np
import pytest
import sklearn.metrics as sk
import torch

from core.commands import evaluate as command
from core.data.catalogue import open_dataset
from core.data.dataset import Split
from core.errors import BadDataset, SettingError
from core.evaluation.matrix_file import read_matrix
from core.evaluation.prediction import Predictions, match_classes, predict_split, predictions_of
from core.models.checkpoint import load_checkpoint
from tests.nearest_mean import save_nearest_mean


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home") / "runs" / "digits_mean"
    save_nearest_mean(folder)
    return folder


@pytest.fixture(scope="module")
def digits():
    return open_dataset("digits")


def test_logits_are_those_of_a_plain_loop_and_progress_ends_at_1(folder, digits):
    classifier = load_checkpoint(folder)
    split = digits.split("test")
    told = []
    logits = predict_split(classifier, split, lambda share, text: told.append((share, text)))
    pixels = torch.from_numpy(split.images[..., 0].astype(np.float32) / 255)
    with torch.no_grad():
        expected = torch.stack([classifier.module(image[None, None])[0] for image in pixels])
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    assert told[-1] == (1.0, "359 of 359 images")
    assert [share for share, _ in told] == sorted(share for share, _ in told)


def test_images_of_another_size_are_fitted_first(folder, digits):
    split = digits.split("test")
    large = Split(split.images.repeat(4, 1).repeat(4, 2), split.labels)
    classifier = load_checkpoint(folder)
    accuracy = (predict_split(classifier, large).argmax(1) == large.labels).mean()
    assert accuracy == pytest.approx(
        (predict_split(classifier, split).argmax(1) == split.labels).mean(), abs=0.02
    )


def predictions(n=200, k=4):
    rng = np.random.default_rng(0)
    return Predictions(
        rng.normal(size=(n, k)).astype(np.float32) * 3, rng.integers(0, k, n), tuple("abcd"[:k]), np.arange(n)
    )


def test_derived_values_are_softmax_argmax_and_maximum():
    p = predictions()
    np.testing.assert_allclose(p.probabilities, torch.softmax(torch.tensor(p.logits).double(), 1), atol=1e-12)
    assert np.array_equal(p.predicted, p.logits.argmax(1))
    np.testing.assert_allclose(p.confidence, p.probabilities.max(1))
    assert np.array_equal(p.correct, p.predicted == p.labels)


def test_huge_logits_do_not_overflow():
    p = Predictions(np.array([[1e5, -1e5]], np.float32), np.array([1]), ("a", "b"), np.array([0]))
    assert p.probabilities.tolist() == [[1.0, 0.0]]


def test_where_gives_a_cell_the_most_confident_first():
    p = predictions()
    found = p.where(true=1, predicted=0)
    assert set(found) == {i for i in range(200) if p.labels[i] == 1 and p.predicted[i] == 0}
    assert len(found) > 1
    assert (np.diff(p.confidence[found]) <= 0).all()
    wrong = p.where(true=1, wrong=True)
    assert set(wrong) == set(np.flatnonzero((p.labels == 1) & (p.predicted != 1)))
    assert len(p.where()) == 200


def test_classes_are_matched_by_name_whatever_their_order_case_and_marks():
    found, note = match_classes(["T-Shirt/Top", "ankle_boot"], ["Ankle boot", "Bag", "T shirt/top"])
    assert found.tolist() == [2, 0]
    assert note == ""
    assert match_classes(["great white shark"], ["tench, Tinca tinca", "Great_White_Shark, man-eater"])[
        0
    ] == [1]


def test_unknown_classes_are_left_out_and_said():
    split = Split(np.zeros((4, 2, 2, 1), np.uint8), np.array([0, 1, 2, 1]))
    logits = np.arange(8, dtype=np.float32).reshape(4, 2)
    p = predictions_of(logits, split, ["dog", "cat", "axolotl"], ["cat", "dog"])
    assert p.labels.tolist() == [1, 0, 0]
    assert p.rows.tolist() == [0, 1, 3]
    assert np.array_equal(p.logits, logits[[0, 1, 3]])
    assert "1 of the data set's 3 classes are unknown to this classifier (axolotl)" in p.note


def test_names_without_anything_in_common_are_matched_by_order_if_there_are_as_many():
    found, note = match_classes(["zero", "one"], ["0", "1"])
    assert found.tolist() == [0, 1]
    assert "matched by their order" in note
    with pytest.raises(BadDataset, match=r"3 classes \(x, y, z\) are none of the classifier's 2 \(0, 1\)"):
        match_classes(["x", "y", "z"], ["0", "1"])


def test_two_classes_of_one_name_are_refused():
    with pytest.raises(BadDataset, match="have the same name as one class"):
        match_classes(["Cat", "cat"], ["cat", "dog"])


def test_one_known_class_makes_no_matrix():
    with pytest.raises(BadDataset, match="3 classes the classifier knows “Sandal” only"):
        match_classes(["Shirt", "Sandal", "Coat"], ["tench", "sandal", "toaster"])


def test_a_split_of_unknown_classes_alone_is_refused():
    split = Split(np.zeros((1, 2, 2, 1), np.uint8), np.array([1]))
    with pytest.raises(BadDataset, match="No image is left to judge"):
        predictions_of(np.zeros((1, 2), np.float32), split, ["cat", "axolotl", "dog"], ["cat", "dog"])


def run(*arguments):
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    args = parser.parse_args(["evaluate", *map(str, arguments)])
    return args.run(args)


def test_the_command_prints_what_scikit_learn_says(folder, digits, capsys, tmp_path):
    assert run(folder, "--json", "--matrix", tmp_path / "matrix.csv") == 0
    printed = json.loads(capsys.readouterr().out)
    split = digits.split("test")
    said = predict_split(load_checkpoint(folder), split).argmax(1)
    assert printed["accuracy"] == pytest.approx(sk.accuracy_score(split.labels, said))
    assert printed["macro"]["f1"] == pytest.approx(sk.f1_score(split.labels, said, average="macro"))
    assert printed["matrix"] == sk.confusion_matrix(split.labels, said).tolist()
    assert printed["interval"][0] < printed["accuracy"] < printed["interval"][1]
    assert printed["dataset"] == "digits"
    assert printed["findings"][0]["kind"] == "accuracy"
    assert read_matrix((tmp_path / "matrix.csv").read_bytes())[0].tolist() == printed["matrix"]


def test_the_command_finds_a_run_by_name_and_speaks_in_sentences(folder, monkeypatch, capsys):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(folder.parents[1]))
    assert run("runs/digits_mean", "--dataset", "digits", "--split", "train") == 0
    printed = capsys.readouterr().out
    assert "images are right: an accuracy of" in printed
    assert "macro" in printed


def test_the_command_needs_a_data_set(folder, tmp_path):
    import shutil

    other = tmp_path / "other"
    shutil.copytree(folder, other)
    card = json.loads((other / "card.json").read_text())
    (other / "card.json").write_text(json.dumps({**card, "dataset": ""}))
    with pytest.raises(SettingError, match="names no data set: give one with --dataset"):
        run(other)
