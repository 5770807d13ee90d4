"""Every figure against scikit-learn or torchmetrics."""

import itertools
import math

import numpy as np
import pytest
import sklearn.metrics as sk
import torch
import torchmetrics.functional.classification as tm

from core.errors import BadDataset, SettingError
from core.evaluation.calibration import calibration
from core.evaluation.comparison import compare, in_classes_of, mcnemar
from core.evaluation.confusion import (
    accuracy,
    class_scores,
    confusion_matrix,
    normalized,
    order_by_error,
    order_by_similarity,
    top_k_accuracy,
)
from core.evaluation.intervals import wilson_interval
from core.evaluation.one_vs_rest import best_f1_threshold, curves, one_vs_rest
from core.evaluation.prediction import Predictions

NAMES = tuple("abcdefg")


def drawn(n=400, k=7, seed=0, sharp=1.0):
    """Logits that are right more often than not, and labels of classes of unlike sizes."""
    rng = np.random.default_rng(seed)
    labels = np.minimum(rng.geometric(0.35, n) - 1, k - 1).astype(np.int64)
    logits = rng.normal(size=(n, k)).astype(np.float32)
    logits[np.arange(n), labels] += 1.5
    return Predictions(logits * sharp, labels, NAMES[:k], np.arange(n))


@pytest.fixture(scope="module")
def predictions():
    return drawn()


@pytest.fixture(scope="module")
def matrix(predictions):
    return confusion_matrix(predictions.labels, predictions.predicted, 7)


def test_matrix_is_scikit_learns(predictions, matrix):
    assert np.array_equal(matrix, sk.confusion_matrix(predictions.labels, predictions.predicted))


@pytest.mark.parametrize("normalize", ["true", "pred", "all", None])
def test_normalized_is_scikit_learns(predictions, matrix, normalize):
    expected = sk.confusion_matrix(predictions.labels, predictions.predicted, normalize=normalize)
    np.testing.assert_allclose(normalized(matrix, normalize), expected, atol=1e-12)


def test_normalized_refuses_other_words(matrix):
    with pytest.raises(SettingError, match=r"'rows'.*true, pred, all"):
        normalized(matrix, "rows")


def test_scores_by_class_and_their_means(predictions, matrix):
    scores = class_scores(matrix)
    precision, recall, f1, support = sk.precision_recall_fscore_support(
        predictions.labels, predictions.predicted, zero_division=0
    )
    for ours, theirs in zip(
        (scores.precision, scores.recall, scores.f1, scores.support),
        (precision, recall, f1, support),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)
    for average in ("macro", "weighted"):
        theirs = sk.precision_recall_fscore_support(
            predictions.labels, predictions.predicted, average=average, zero_division=0
        )
        assert list(getattr(scores, average)().values()) == pytest.approx(theirs[:3])
    target, said = torch.from_numpy(predictions.labels), torch.from_numpy(predictions.predicted)
    f1 = tm.multiclass_f1_score(said, target, 7, average="macro")
    assert scores.macro()["f1"] == pytest.approx(float(f1))
    assert accuracy(matrix)[0] == pytest.approx(sk.accuracy_score(predictions.labels, predictions.predicted))


def test_a_class_that_does_not_occur_counts_in_no_mean():
    labels, said = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    scores = class_scores(confusion_matrix(labels, said, 3))
    assert scores.macro()["f1"] == pytest.approx(sk.f1_score(labels, said, average="macro"))
    assert scores.recall[2] == 0
    assert (scores.recall_interval[0][2], scores.recall_interval[1][2]) == (0, 1)


def test_intervals_hold_their_figure_and_invert_the_score_test():
    successes, trials = np.array([0, 1, 50, 99, 100, 7]), np.array([100, 100, 100, 100, 100, 9])
    low, high = wilson_interval(successes, trials)
    share = successes / trials
    assert ((low <= share + 1e-12) & (share <= high + 1e-12)).all()
    for s, n, end in [*zip(successes, trials, low, strict=True), *zip(successes, trials, high, strict=True)]:
        if 0 < end < 1 - 1e-12 and s not in (0, n):
            # The ends of Wilson's interval are where the normal test just rejects.
            assert abs(s / n - end) / math.sqrt(end * (1 - end) / n) == pytest.approx(1.959964, abs=1e-5)
    assert wilson_interval(7, 9) == (pytest.approx(low[5]), pytest.approx(high[5]))
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_f1_interval_covers_the_true_f1():
    rng = np.random.default_rng(1)
    truth = np.array([[700, 60], [90, 150]]) / 1000
    f1 = 2 * truth[1, 1] / (2 * truth[1, 1] + truth[0, 1] + truth[1, 0])
    draws = rng.multinomial(300, truth.ravel(), size=1000).reshape(-1, 2, 2)
    covered = 0
    for draw in draws:
        low, high = class_scores(draw).f1_interval
        covered += low[1] <= f1 <= high[1]
    assert 0.93 <= covered / len(draws) <= 0.98


@pytest.mark.parametrize("k", [1, 2, 3, 5, 7])
def test_top_k_is_scikit_learns(predictions, k):
    ours = top_k_accuracy(predictions.logits, predictions.labels, k)
    if k == 7:
        assert ours == 1
    else:
        theirs = sk.top_k_accuracy_score(predictions.labels, predictions.logits, k=k, labels=np.arange(7))
        assert ours == pytest.approx(theirs)


def test_top_1_is_the_accuracy_also_with_equal_logits():
    logits = np.zeros((4, 3), np.float32)
    labels = np.array([0, 1, 2, 0])
    assert top_k_accuracy(logits, labels, 1) == 0.5 == np.mean(logits.argmax(1) == labels)
    with pytest.raises(SettingError, match="k is 4: choose from 1 to the number of classes, 3"):
        top_k_accuracy(logits, labels, 4)


@pytest.mark.parametrize("bins", [5, 15])
@pytest.mark.parametrize("sharp", [0.3, 1.0, 4.0])
def test_calibration_error_is_torchmetrics(bins, sharp):
    p = drawn(sharp=sharp)
    found = calibration(p.confidence, p.correct, bins=bins)
    theirs = tm.multiclass_calibration_error(
        torch.from_numpy(p.probabilities), torch.from_numpy(p.labels), 7, n_bins=bins
    )
    assert found.error == pytest.approx(float(theirs), abs=1e-6)
    assert found.counts.sum() == len(p)
    assert found.bias == pytest.approx(p.confidence.mean() - p.correct.mean())


def test_a_sure_and_right_network_is_calibrated():
    found = calibration(np.ones(10), np.ones(10, bool))
    assert found.error == 0
    assert found.counts[-1] == 10


@pytest.mark.parametrize("target", range(7))
def test_curves_are_scikit_learns(predictions, target):
    scores = np.round(predictions.probabilities[:, target], 2)  # with many equal scores
    positive = predictions.labels == target
    found = curves(scores, positive)
    fpr, tpr, thresholds = sk.roc_curve(positive, scores, drop_intermediate=False)
    np.testing.assert_allclose(found.false_positive_rate, fpr)
    np.testing.assert_allclose(found.recall, tpr)
    np.testing.assert_allclose(found.thresholds, thresholds)
    assert found.roc_auc == pytest.approx(sk.roc_auc_score(positive, scores))
    assert found.average_precision == pytest.approx(sk.average_precision_score(positive, scores))
    precision, recall, thresholds = sk.precision_recall_curve(positive, scores)
    np.testing.assert_allclose(found.precision[::-1], precision)
    np.testing.assert_allclose(found.recall[::-1], recall)


def test_one_vs_rest_is_scikit_learns_at_every_threshold(predictions):
    positive, scores = predictions.labels == 1, predictions.probabilities[:, 1]
    for threshold in (0.0, 0.2, 0.5, 0.9, 1.01):
        expected = sk.confusion_matrix(positive, scores >= threshold, labels=[False, True])
        assert np.array_equal(one_vs_rest(scores, positive, threshold), expected)
    theirs = tm.multiclass_stat_scores(
        torch.from_numpy(predictions.predicted), torch.from_numpy(predictions.labels), 7, average=None
    )
    k = 1
    matrix = one_vs_rest((predictions.predicted == k).astype(float), positive, 0.5)
    assert [matrix[1, 1], matrix[0, 1], matrix[0, 0], matrix[1, 0]] == theirs[k, :4].tolist()


def test_best_threshold_beats_all_others(predictions):
    positive, scores = predictions.labels == 2, predictions.probabilities[:, 2]
    best = best_f1_threshold(curves(scores, positive), int(positive.sum()))
    others = [sk.f1_score(positive, scores >= t, zero_division=0) for t in np.unique(scores)]
    assert sk.f1_score(positive, scores >= best) == pytest.approx(max(others))


def test_curves_of_a_class_without_images():
    found = curves(np.array([0.1, 0.4]), np.array([False, False]))
    assert math.isnan(found.roc_auc)
    assert math.isnan(found.average_precision)
    assert best_f1_threshold(found, 0) == 1.0


@pytest.mark.parametrize(("b", "c"), [(0, 0), (5, 5), (1, 9), (12, 30), (0, 6)])
def test_mcnemar_counts_the_throws_of_a_coin(b, c):
    n = b + c
    each = [math.comb(n, i) / 2**n for i in range(n + 1)]
    expected = sum(p for p in each if p <= each[b] * (1 + 1e-9))
    assert mcnemar(b, c) == pytest.approx(expected)


def test_compare_says_who_is_better_and_when_that_is_chance():
    first, second = drawn(seed=3, n=300), drawn(seed=3, n=300)
    worse = second.logits.copy()
    worse[:80, 6] += 20
    second = Predictions(worse, second.labels, NAMES, second.rows)
    found = compare(first, second)
    assert set(found.only_first) == set(np.flatnonzero(first.correct & ~second.correct))
    assert len(found.only_first) + len(found.only_second) + found.both + found.neither == 300
    assert "the first is better by more than chance" in found.verdict
    assert compare(first, first).verdict == "Both get exactly the same images right."
    turned = np.arange(300) == np.flatnonzero(first.correct)[0]
    logits = np.where(turned[:, None], -first.logits, first.logits)
    few = Predictions(logits, first.labels, NAMES, first.rows)
    assert "could well be chance" in compare(first, few).verdict


def test_classes_in_another_order_are_put_right():
    first = drawn()
    turned = Predictions(first.logits[:, ::-1], 6 - first.labels, NAMES[::-1], first.rows)
    again = in_classes_of(first, turned)
    assert np.array_equal(again.logits, first.logits)
    assert np.array_equal(again.labels, first.labels)
    with pytest.raises(BadDataset, match="7 classes and the second 3"):
        in_classes_of(first, drawn(k=3))
    with pytest.raises(BadDataset, match=r"400 and\s+10 of its images"):
        compare(first, drawn(n=10))


def test_similar_classes_stand_side_by_side():
    matrix = np.diag([100] * 6)
    for a, b in ((0, 3), (1, 4), (2, 5)):
        matrix[a, b] = matrix[b, a] = 20
    order = order_by_similarity(matrix).tolist()
    assert sorted(order) == list(range(6))
    assert all(abs(order.index(a) - order.index(b)) == 1 for a, b in ((0, 3), (1, 4), (2, 5)))


def test_order_recovers_a_chain():
    rng = np.random.default_rng(0)
    chain = rng.permutation(30)
    matrix = np.diag([200] * 30)
    for a, b in itertools.pairwise(chain):
        matrix[a, b] = matrix[b, a] = 30
    order = order_by_similarity(matrix)
    neighbors = sum(matrix[a, b] for a, b in itertools.pairwise(order))
    given = sum(matrix[a, b] for a, b in itertools.pairwise(range(30)))
    assert neighbors > 2 * given


def test_order_by_error_puts_the_worst_first_and_the_empty_last():
    matrix = np.array([[9, 1, 0], [5, 5, 0], [0, 0, 0]])
    assert order_by_error(matrix).tolist() == [1, 0, 2]


@pytest.mark.parametrize("k", [1, 2, 200])
def test_any_number_of_classes(k):
    rng = np.random.default_rng(k)
    labels, said = rng.integers(0, k, 2000), rng.integers(0, k, 2000)
    matrix = confusion_matrix(labels, said, k)
    assert np.array_equal(matrix, sk.confusion_matrix(labels, said, labels=np.arange(k)))
    assert sorted(order_by_similarity(matrix)) == list(range(k))
    assert sorted(order_by_error(matrix)) == list(range(k))
    f1 = sk.f1_score(labels, said, average="macro", zero_division=0)
    assert class_scores(matrix).macro()["f1"] == pytest.approx(f1)


def test_an_empty_matrix_has_no_accuracy_and_says_how_unsure_it_is():
    assert accuracy(np.zeros((3, 3), np.int64)) == (0.0, (0.0, 1.0))
    assert class_scores(np.zeros((3, 3), np.int64)).macro()["f1"] == 0
