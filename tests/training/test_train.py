"""Training: resumed runs are equal to uninterrupted ones, kills lose little, broken runs say why."""

import json
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from core.data.catalogue import open_dataset
from core.errors import BadCheckpoint, SettingError
from core.evaluation.accuracy import measure, wilson_interval
from core.history import (
    FILE,
    EndRecord,
    EpochRecord,
    StartRecord,
    StepRecord,
    of_kind,
    plain_record,
    read_history,
)
from core.models.checkpoint import build, load_checkpoint
from core.paths import PROJECT
from core.serving.jobs import job
from core.training.freezing import head_of
from core.training.step import loss_of, predictions
from core.training.train import train
from core.training.training_settings import TrainingSettings

SMALL = {
    "dataset": "digits", "architecture": "small_cnn", "batch_size": 64, "epochs": 3,
    "architecture_settings": "widths=8,16,16; hidden=16; dropout=0.2; batch_norm=true",
}  # fmt: skip
EVERYTHING = {
    **SMALL, "crop": 1, "flip": "random", "optimizer": "adamw", "schedule": "one_cycle", "seed": 3,
    "lookahead": True, "clip_gradient": 1.0, "label_smoothing": 0.1, "learning_rate": 0.01,
}  # fmt: skip
CLOCK = ("seconds", "images_per_second")


def run(folder, stop_after=None, **settings):
    asked = [0]

    def stop():
        asked[0] += 1
        return stop_after is not None and asked[0] > stop_after

    return list(train(folder, TrainingSettings.of(settings), stop=stop))


def epochs_of(records):
    return [without_times(record) for record in of_kind(records, EpochRecord)]


def without_times(record):
    plain = {key: value for key, value in plain_record(record).items() if key not in CLOCK}
    if "metrics" in plain:
        training = plain["metrics"].get("training", {})
        plain["metrics"] = {
            **plain["metrics"],
            "training": {k: v for k, v in training.items() if k != "seconds"},
        }
    return plain


@pytest.mark.parametrize(("architecture", "network"), [
    ("small_cnn", "widths=8,16,16; hidden=16; batch_norm=true"),
    ("wide_cnn", "width=0.02; batch_norm=true"),
    ("vgg", "width=0.05; batch_norm=true"),
])  # fmt: skip
def test_folded_batch_norm_is_the_same_function_in_a_network_without_it(tmp_path, architecture, network):
    settings = {
        **SMALL, "architecture": architecture, "architecture_settings": network, "input_size": 24,
        "train_images": 200, "epochs": 2, "half": False,
    }  # fmt: skip
    for name, fold in (("plain", False), ("folded", True)):
        run(tmp_path / name, **settings, fold_batch_norm=fold)
    for file in ("weights.safetensors", "last.safetensors"):
        plain, folded = (
            load_checkpoint(tmp_path / n, torch.device("cpu"), file=file) for n in ("plain", "folded")
        )
        assert any(isinstance(m, torch.nn.BatchNorm2d) for m in plain.module.modules())
        assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.module.modules())
        images = torch.randn(5, plain.card.preprocessing.channels, 24, 24)
        torch.testing.assert_close(folded.module(images), plain.module(images), rtol=1e-4, atol=1e-4)
    assert folded.card.settings["batch_norm"] is False
    assert "batch_norm=true" in folded.card.command
    assert "--fold-batch-norm true" in folded.card.command
    assert folded.card.metrics["test"]["correct"] == plain.card.metrics["test"]["correct"]


@pytest.mark.parametrize(("architecture", "network"), [("small_cnn", "batch_norm=false"), ("resnet18", "")])
def test_folding_needs_a_batch_norm_that_a_setting_takes_away(tmp_path, architecture, network):
    settings = {**SMALL, "architecture": architecture, "architecture_settings": network}
    with pytest.raises(SettingError, match=f"nothing to fold in '{architecture}'"):
        run(tmp_path / "run", **settings, fold_batch_norm=True)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_resumed_run_equals_an_uninterrupted_one_to_the_last_digit(tmp_path, optimizer):
    settings = {**EVERYTHING, "optimizer": optimizer}
    if optimizer == "muon":
        settings |= {"architecture": "speed_cnn", "architecture_settings": "widths=8,16"}
    whole = run(tmp_path / "whole", **settings)
    parts = [
        *run(tmp_path / "parts", stop_after=10, **settings),  # in the middle of the first epoch
        *run(tmp_path / "parts", stop_after=17, **settings),
        *run(tmp_path / "parts", **settings),
    ]
    assert epochs_of(parts) == epochs_of(whole)
    for file in ("weights.safetensors", "last.safetensors"):
        assert (tmp_path / "parts" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    assert run(tmp_path / "whole", **settings) == []  # it has ended


@pytest.mark.parametrize("part", ["module", "optimizer"])
def test_a_run_of_another_version_is_refused_in_words_and_stays(tmp_path, part):
    run(tmp_path / "old", stop_after=10, **SMALL)
    file = tmp_path / "old" / "state.pt"
    state = torch.load(file, weights_only=True)
    if part == "module":
        state["module"]["another.weight"] = torch.zeros(2)
    else:
        state["optimizer"]["param_groups"].append({"params": []})
    torch.save(state, file)
    held = file.read_bytes()
    with pytest.raises(BadCheckpoint, match=r"old/state\.pt does not fit .* another version"):
        run(tmp_path / "old", **SMALL)
    assert file.read_bytes() == held


@pytest.mark.parametrize("trainable", ["head", "last block"])
def test_a_resumed_run_of_a_part_equals_an_uninterrupted_one_and_saves_the_part_only(
    tmp_path, monkeypatch, trainable
):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path / "home"))
    settings = {
        **SMALL, "architecture": "speed_cnn", "architecture_settings": "widths=8,16",  # its first layer is
        "trainable": trainable, "train_images": 300, "learning_rate": 0.05, "epochs": 5,  # made from images
    }  # fmt: skip
    whole = run(tmp_path / "whole", **settings)
    parts = run(tmp_path / "parts", stop_after=9, **settings)
    state = torch.load(tmp_path / "parts" / "state.pt", weights_only=True)
    fresh = build(load_checkpoint(tmp_path / "parts", torch.device("cpu")).card)
    learnt = {name for name in fresh.state_dict() if name in state["module"]}
    assert {f"{head_of(fresh)[0]}.weight"} <= learnt < set(fresh.state_dict())
    assert set(state["best_part"]) == set(state["module"])
    parts += run(tmp_path / "parts", stop_after=13, **settings)
    parts += run(tmp_path / "parts", **settings)
    assert epochs_of(parts) == epochs_of(whole)
    for file in ("weights.safetensors", "last.safetensors"):
        assert (tmp_path / "parts" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    # The checkpoint is the best epoch's, though it was not written after each.
    until, seen = tmp_path / "until_best", [0]
    for record in train(until, TrainingSettings.of(settings), stop=lambda: seen[0] == whole[-1].best_epoch):
        seen[0] = record.epoch if isinstance(record, EpochRecord) else seen[0]
    kept = load_checkpoint(until, torch.device("cpu")).module.state_dict()
    for name, value in load_checkpoint(tmp_path / "whole", torch.device("cpu")).module.state_dict().items():
        assert torch.equal(value, kept[name])


def test_a_kill_loses_at_most_the_running_epoch(tmp_path):
    command = [
        sys.executable, "-m", "core.commands.train", "--folder", str(tmp_path / "killed"),
        "--dataset", "digits", "--architecture", "small_cnn", "--batch-size", "64", "--epochs", "12",
        "--architecture-settings", SMALL["architecture_settings"],
    ]  # fmt: skip
    history = tmp_path / "killed" / FILE
    first = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while len(list(of_kind(read_history(history), EpochRecord))) < 2:
        assert first.poll() is None
        assert time.monotonic() < until
        time.sleep(0.002)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert job("killed", parent=tmp_path).state == "failed"
    before = [r.epoch for r in of_kind(read_history(history), EpochRecord)]
    subprocess.run(command, cwd=PROJECT, check=True, stdout=subprocess.DEVNULL)
    records = read_history(history)
    assert job("killed", parent=tmp_path).state == "finished"
    resumed_at = [r.epoch for r in of_kind(records, StartRecord)][-1]
    assert resumed_at >= before[-1]
    assert [r.epoch for r in of_kind(records, EpochRecord)] == list(range(1, 13))
    steps = [r.step for r in of_kind(records, StepRecord)]
    assert steps == sorted(set(steps))
    # By the command too: what other tests left in this process has no part in it.
    whole = [word.replace(str(tmp_path / "killed"), str(tmp_path / "whole")) for word in command]
    subprocess.run(whole, cwd=PROJECT, check=True, stdout=subprocess.DEVNULL)
    assert epochs_of(records) == epochs_of(read_history(tmp_path / "whole" / FILE))


def test_training_learns_and_its_card_tells_the_truth(tmp_path):
    settings = {**SMALL, "epochs": 8, "learning_rate": 0.01, "half": True, "test_flips": True, "seed": 5}
    records = run(tmp_path / "run", **settings)
    card = json.loads((tmp_path / "run" / "card.json").read_text())
    assert card["metrics"]["test"]["accuracy"] > 0.9
    assert card["command"] == (
        "python -m core train --name run --dataset digits --architecture-settings "
        "'widths=8,16,16; hidden=16; dropout=0.2; batch_norm=true' --epochs 8 --batch-size 64 "
        "--learning-rate 0.01 --seed 5 --half true --test-flips true"
    )
    digits = open_dataset("digits")
    assert card["dataset_fingerprint"] == digits.fingerprint
    classifier = load_checkpoint(tmp_path / "run", torch.device("cpu"))
    again = measure(classifier, digits.split("test"))
    assert again.correct == card["metrics"]["test"]["correct"]
    inputs = classifier.inputs(digits.split("test").images)
    right = int((classifier.logits(inputs).argmax(1).numpy() == digits.split("test").labels).sum())
    assert right == again.correct
    best = max(
        epochs_of(records), key=lambda r: (r["validation_accuracy"], -r["validation_loss"])
    )  # of several, the first
    assert records[-1].best_epoch == best["epoch"] == card["metrics"]["training"]["best_epoch"]
    assert card["metrics"]["validation"]["accuracy"] == best["validation_accuracy"]


def test_a_loss_that_is_not_finite_stops_the_run_and_says_why(tmp_path):
    settings = {
        "dataset": "digits", "architecture": "mlp",
        "architecture_settings": "widths=64,32; activation=linear",
        "optimizer": "sgd", "momentum": 0.0, "learning_rate": 9.0, "epochs": 30,
    }  # fmt: skip
    records = run(tmp_path / "run", **settings)
    end = records[-1]
    assert end.reason == "not finite"
    assert "no longer a finite number" in end.verdict
    assert "learning rate was 9" in end.verdict
    last = list(of_kind(records, EpochRecord))[-1]
    assert not math.isfinite(last.train_loss) or not math.isfinite(last.gradient_norm)
    assert last.epoch < 30
    assert run(tmp_path / "run", **settings) == []


def test_a_frozen_backbone_stays_as_it_was_and_its_features_are_computed_once(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path / "home"))
    settings = {**SMALL, "trainable": "head", "train_images": 300, "learning_rate": 0.05}
    records = run(tmp_path / "cached", **settings)
    assert len(list((tmp_path / "home" / "cache" / "features").glob("*.npy"))) == 2
    plain = run(tmp_path / "plain", **{**settings, "rand_augment": 0, "unfreeze_at": 1000})
    for a, b in zip(epochs_of(records), epochs_of(plain), strict=True):
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=2e-3)
    trained = load_checkpoint(tmp_path / "cached", torch.device("cpu"))
    torch.manual_seed(0)
    fresh = build(trained.card)
    head, _ = head_of(fresh)
    after = trained.module.state_dict()
    changed = {name for name, value in fresh.state_dict().items() if not torch.equal(value, after[name])}
    assert changed == {f"{head}.weight", f"{head}.bias"}
    other = run(tmp_path / "other", **{**settings, "seed": 9, "epochs": 1})
    assert isinstance(other[-1], EndRecord)


def test_another_run_does_not_fit_into_the_same_folder(tmp_path):
    run(tmp_path / "run", stop_after=1, **SMALL)
    with pytest.raises(SettingError, match=r"holds a run with epochs = 3, and now epochs is 4"):
        run(tmp_path / "run", **{**SMALL, "epochs": 4})


def test_settings_are_refused_with_a_reason(tmp_path):
    with pytest.raises(SettingError, match="learning_rate is -1"):
        run(tmp_path / "a", **{**SMALL, "learning_rate": -1})
    with pytest.raises(SettingError, match="no setting 'color'"):
        run(tmp_path / "b", **{**SMALL, "architecture_settings": "color=3"})


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_a_single_logit_is_trained_like_two(smoothing):
    z = torch.randn(20, 1, requires_grad=True)
    targets = torch.randint(0, 2, (20,))
    single = loss_of(z, targets, smoothing)
    double = F.cross_entropy(torch.cat([-z / 2, z / 2], 1), targets, label_smoothing=smoothing)
    assert float(single) == pytest.approx(float(double), rel=1e-5)
    assert torch.equal(predictions(z), predictions(torch.cat([-z / 2, z / 2], 1)))


def test_the_wilson_interval_is_the_published_one():
    from scipy.stats import binomtest

    for right, n in ((0, 10), (81, 263), (9500, 10000), (10, 10)):
        expected = binomtest(right, n).proportion_ci(method="wilson")
        assert wilson_interval(right, n) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert np.isclose(wilson_interval(0, 0)[1], 1)
