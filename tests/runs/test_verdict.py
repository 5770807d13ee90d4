"""Verdicts on drawn histories: the numbers in the sentence are those of the curves."""

import dataclasses
import math

import pytest

from core.history import EpochRecord, StartRecord
from core.runs.run_list import judge
from core.runs.verdict import best_record, verdict


def history(train_loss, validation_loss, train_accuracy, validation_accuracy, norms=None):
    norms = norms or [1.0] * len(train_loss)
    return [
        EpochRecord(
            i + 1, train_loss=a, validation_loss=b, train_accuracy=c, validation_accuracy=d, gradient_norm=n,
            largest_gradient_norm=2 * n,
        )
        for i, (a, b, c, d, n) in enumerate(
            zip(train_loss, validation_loss, train_accuracy, validation_accuracy, norms, strict=True)
        )
    ]  # fmt: skip


OVERFIT = history(
    [1.0, 0.7, 0.5, 0.3, 0.2, 0.1], [1.0, 0.8, 0.7, 0.75, 0.9, 1.1],
    [0.6, 0.7, 0.8, 0.9, 0.95, 0.99], [0.6, 0.7, 0.75, 0.76, 0.74, 0.73],
)  # fmt: skip


def test_overfitting_names_best_epoch_onset_gap_and_waste():
    found = verdict(OVERFIT)
    assert found.kind == "overfitting"
    assert (found.best_epoch, found.overfits_from, found.wasted_epochs) == (4, 4, 2)
    assert found.gap == pytest.approx(0.26)
    assert "Best at epoch 4 with 76.0%" in found.sentence
    assert "from epoch 4 on it overfits" in found.sentence
    assert "rose from 0.7 to 1.1" in found.sentence
    assert "26.0 points" in found.sentence
    assert "the last 2 epochs brought nothing" in found.sentence


def test_a_single_bad_epoch_is_no_overfitting():
    curve = history(
        [1.0, 0.7, 0.5, 0.4, 0.35, 0.33], [1.0, 0.8, 0.6, 0.9, 0.59, 0.58],
        [0.6, 0.8, 0.9, 0.92, 0.93, 0.94], [0.6, 0.8, 0.9, 0.85, 0.902, 0.903],
    )  # fmt: skip
    assert verdict(curve).kind == "good"
    assert verdict(curve).overfits_from is None


def test_no_progress():
    flat = history([2.30, 2.31, 2.30], [2.3, 2.3, 2.3], [0.1, 0.1, 0.11], [0.1, 0.1, 0.1])
    found = verdict(flat, learning_rate=10.0)
    assert found.kind == "no progress"
    assert "learned nothing in 3 epochs" in found.sentence
    assert "The learning rate was 10." in found.sentence


def test_underfitting():
    losses = [1.0, 0.9, 0.85, 0.84, 0.84, 0.84, 0.84, 0.84]
    accuracies = [0.6, 0.64, 0.65, 0.655, 0.656, 0.656, 0.656, 0.656]
    found = verdict(history(losses, losses, accuracies, accuracies))
    assert found.kind == "underfitting"
    assert "no higher than 65.6%" in found.sentence


def test_still_improving_says_by_how_much():
    losses = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]
    accuracies = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    curve = history(losses, losses, accuracies, accuracies)
    found = verdict(curve, planned_epochs=8)
    assert found.kind == "still improving"
    assert "20.0 points: more epochs would help" in found.sentence
    assert verdict(curve, planned_epochs=20).sentence.startswith("So far best at epoch 8")


def test_not_finite_is_explained_by_the_growing_gradient():
    curve = history(
        [0.5, 0.5, math.nan], [0.5, 0.5, math.nan], [0.8, 0.8, 0.5], [0.8, 0.81, 0.1], [1.0, 40.0, math.inf]
    )
    found = verdict(curve, learning_rate=0.1)
    assert found.kind == "not finite"
    assert found.best_epoch == 2
    assert "no longer a finite number in epoch 3" in found.sentence
    assert "grown from 1 in epoch 1 to 40 in epoch 2" in found.sentence
    assert "learning rate was 0.1" in found.sentence


def test_a_run_that_breaks_in_its_first_epoch_has_no_best_one():
    curve = history([math.inf], [1.0], [0.1], [0.1])
    assert verdict(curve).kind == "not finite"
    assert verdict(curve).best_epoch is None


def test_nothing_yet_and_nothing_held_out():
    assert verdict([StartRecord()]).kind == "too early"
    alone = [EpochRecord(1, train_loss=1.0, train_accuracy=0.5, gradient_norm=1.0)]
    assert "nothing can be said about overfitting" in verdict(alone).sentence


def test_the_best_epoch_is_not_the_last_and_ties_go_to_the_lower_loss():
    assert best_record(OVERFIT).epoch == 4
    tie = history([1, 1], [0.5, 0.4], [0.9, 0.9], [0.8, 0.8])
    assert best_record(tie).epoch == 2


def test_an_epoch_in_which_every_step_was_skipped_is_no_divergence():
    skipped = EpochRecord(1, validation_loss=2.3, validation_accuracy=0.1, skipped_steps=4)
    assert verdict([skipped]).kind == "too early"
    later = [dataclasses.replace(r, epoch=r.epoch + 1) for r in OVERFIT]
    found = verdict([skipped, *later])
    assert (found.kind, found.best_epoch, found.overfits_from) == ("overfitting", 5, 5)


def test_a_history_lacks_nothing_where_steps_were_skipped_or_a_run_broke():
    skipped = EpochRecord(1, validation_loss=2.3, validation_accuracy=0.1, skipped_steps=4)
    later = [dataclasses.replace(r, epoch=r.epoch + 1) for r in OVERFIT]
    assert judge([skipped, *later]).kind == "overfitting"
    assert judge([*OVERFIT, EpochRecord(7, train_loss=math.nan, train_accuracy=0.1)]).kind == "not finite"
    assert judge([*OVERFIT, EpochRecord(7, validation_loss=1.0, validation_accuracy=0.5)]) is None
    assert judge([]).kind == "too early"
