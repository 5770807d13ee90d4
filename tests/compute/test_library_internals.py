"""What is used of scikit-learn and umap-learn without a promise is still there, and what stands in works."""

import numpy as np
import pytest

from core.compute import library_internals
from core.compute.library_internals import set_rate, umap_among_neighbors, watched_classifier
from core.embedding import projections
from core.embedding.embed import feature_space
from core.embedding.nearest_neighbors import nearest_to
from core.training import sklearn_mlp

MEND = "Mend core/compute/library_internals.py; until then a public way stands in: "


def blobs(n: int = 120) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, n)
    return (4 * np.eye(3)[labels] + rng.normal(size=(n, 3))).astype(np.float32), labels


def test_scikit_learn_tells_of_its_batches() -> None:
    told: list[tuple] = []
    classifier = watched_classifier(hidden_layer_sizes=(4,), batch_size=40, solver="sgd")
    classifier.tell = lambda *batch: told.append(batch)
    classifier.partial_fit(*blobs(), classes=[0, 1, 2])
    assert len(told) == 3, (
        f"scikit-learn no longer computes gradients in _backprop. {MEND}no gradient norms, accuracies "
        "measured after each epoch."
    )
    loss, hits, images, gradients = told[0]
    assert np.isfinite(loss)
    assert 0 <= hits <= images == 40
    assert [g.shape for g in gradients] == [(3, 4), (4, 3), (4,), (3,)]


def test_the_learning_rate_of_scikit_learn_can_be_changed() -> None:
    classifier = watched_classifier(hidden_layer_sizes=(4,), solver="sgd", momentum=0.0, alpha=0.0)
    assert set_rate(classifier, 0.5)
    classifier.partial_fit(*blobs(), classes=[0, 1, 2])
    before = classifier.coefs_[0].copy()
    assert set_rate(classifier, 0.0), (
        "scikit-learn no longer keeps the rate in _optimizer.learning_rate. "
        f"{MEND}a copy with the other rate."
    )
    classifier.partial_fit(*blobs())
    np.testing.assert_array_equal(classifier.coefs_[0], before)


def test_umap_places_by_distances_that_others_found(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = []
    monkeypatch.setattr(
        projections,
        "umap_among_neighbors",
        lambda *a: answers.append(umap_among_neighbors(*a)) or answers[-1],
    )
    _place_new_images()
    assert answers[0] is not None, (
        f"umap-learn no longer takes distances in place of a search index. {MEND}the middle of the nearest."
    )


def test_the_middle_of_the_nearest_stands_in_for_umap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projections, "umap_among_neighbors", lambda *_: None)
    _place_new_images()


def _place_new_images() -> None:
    features, labels = blobs()
    space, points = feature_space(features), 10 * np.eye(3, 2)[labels] + features[:, :2] / 10
    new = features[:5] + 0.01
    placed = projections.place_by_umap(new, space, projections.ProjectedPoints(points), n_neighbors=5)
    assert placed.shape == (5, 2)
    nearest = points[nearest_to(new, features, 5)[0]]
    assert np.median(np.linalg.norm(placed - np.median(nearest, axis=1), axis=1)) < 3


def test_without_the_internals_a_network_learns_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    train, rates = blobs(), [0.1, 0.05, 0.05, 0.05, 1e-12]

    def trained() -> tuple[list, list[np.ndarray]]:
        classifier = sklearn_mlp.make_classifier([6], "tanh", batch_size=16, seed=1)
        records, weights = [], []
        for record in sklearn_mlp.train_epochs(classifier, train, train, rates=rates, classes=3):
            records.append(record)
            weights.append(classifier.coefs_[0].copy())
        return records, weights

    expected, _ = trained()
    monkeypatch.setattr(
        sklearn_mlp, "set_rate", lambda classifier, rate: not hasattr(classifier, "coefs_") and
        library_internals.set_rate(classifier, rate)
    )  # fmt: skip
    twins, weights = trained()
    np.testing.assert_allclose(weights[-1], weights[-2], atol=1e-9)
    assert twins[-1].validation_accuracy == pytest.approx(expected[-1].validation_accuracy, abs=0.05)
    from sklearn.neural_network import MLPClassifier

    monkeypatch.setattr(sklearn_mlp, "watched_classifier", MLPClassifier)
    public, _ = trained()
    assert [r.step for r in public] == [r.step for r in expected]
    assert public[-1].train_loss == pytest.approx(expected[-1].train_loss, abs=0.1)
    assert public[-1].train_accuracy == pytest.approx(expected[-1].train_accuracy, abs=0.05)
