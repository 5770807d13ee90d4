"""Features, projections and their trust, against scikit-learn."""

import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness
from sklearn.metrics import silhouette_samples, silhouette_score
from sklearn.neighbors import NearestNeighbors
from torch import nn

from core.data.dataset import Split
from core.data.preprocessing import Preprocessing
from core.embedding.embed import (
    TRUST_NEIGHBORS,
    embed,
    feature_layers,
    feature_space,
    features_of,
    last_before_head,
    place,
    sample_rows,
)
from core.embedding.nearest_neighbors import nearest_neighbors, nearest_to, share_preserved, silhouettes
from core.embedding.projections import PROJECTIONS, principal_components
from core.errors import Abandoned, SettingError, UnknownName
from core.models.card import ModelCard
from core.models.classifier import Classifier
from core.network.hooks import hooks_left


@pytest.fixture(scope="module")
def digits():
    data, labels = load_digits(return_X_y=True)
    return data[:300].astype(np.float32), labels[:300].astype(np.int64)


@pytest.fixture(scope="module")
def space(digits):
    return feature_space(digits[0])


@pytest.fixture(scope="module")
def pictures(space, digits):
    return {name: embed(space, digits[1], projection=name) for name in PROJECTIONS}


def classifier():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(6, 3)
    )
    card = ModelCard("toy", "none", ("a", "b", "c"), Preprocessing((8, 8), (0.5,), (0.2,), channels=1))
    return Classifier(module, card, torch.device("cpu"))


def images(n=40):
    return np.random.default_rng(0).integers(0, 256, (n, 8, 8, 1), dtype=np.uint8)


def test_neighbors_are_those_of_scikit_learn(digits):
    points = digits[0] + np.random.default_rng(0).normal(0, 0.01, digits[0].shape).astype(np.float32)
    distances, indices = NearestNeighbors(n_neighbors=21).fit(points).kneighbors(points)
    ours, ours_far = nearest_neighbors(points, 20)
    np.testing.assert_array_equal(ours, indices[:, 1:])
    np.testing.assert_allclose(ours_far, distances[:, 1:], rtol=1e-4)
    new = points[:7] + 0.3
    expected = NearestNeighbors(n_neighbors=5).fit(points).kneighbors(new, return_distance=False)
    np.testing.assert_array_equal(nearest_to(new, points, 5)[0], expected)


def test_neighbors_far_from_zero_and_twins():
    points = np.random.default_rng(1).normal(1e4, 1, (50, 3)).astype(np.float32)
    points[1] = points[0]
    indices, distances = nearest_neighbors(points, 3)
    assert indices[0, 0] == 1
    assert distances[0, 0] == pytest.approx(0, abs=1e-2)
    assert not (indices == np.arange(50)[:, None]).any()
    with pytest.raises(SettingError, match="50 neighbors of 50 points were asked for: choose 1 to 49"):
        nearest_neighbors(points, 50)


def test_silhouettes_are_those_of_scikit_learn(digits):
    labels = digits[1].copy()
    labels[0] = 77  # the only one of its class
    np.testing.assert_allclose(
        silhouettes(digits[0], labels), silhouette_samples(digits[0], labels), atol=1e-5
    )
    assert np.isnan(silhouettes(digits[0], np.zeros(300, int))).all()


def test_share_preserved():
    true = np.array([[1, 2], [0, 2], [1, 0]])
    np.testing.assert_allclose(share_preserved(true, true[:, ::-1]), 1)
    np.testing.assert_allclose(share_preserved(true, np.array([[2, 0], [1, 1], [0, 1]])), [0.5, 0, 1])


@pytest.mark.parametrize("shape", [(200, 30), (20, 50)])
def test_principal_components_are_those_of_scikit_learn(shape):
    data = np.random.default_rng(2).normal(size=shape) * np.arange(1, shape[1] + 1)
    mean, components, explained = principal_components(data, 3)
    theirs = PCA(3, svd_solver="full").fit(data)
    np.testing.assert_allclose(np.abs(components @ theirs.components_.T), np.eye(3), atol=1e-8)
    np.testing.assert_allclose(explained, theirs.explained_variance_ratio_)
    np.testing.assert_allclose(mean, theirs.mean_)


@pytest.mark.parametrize("name", PROJECTIONS)
def test_a_picture_keeps_neighbors_as_far_as_scikit_learn_says(name, pictures, digits):
    picture = pictures[name]
    assert picture.points.shape == (300, 2)
    assert np.isfinite(picture.points).all()
    _, true = NearestNeighbors(n_neighbors=TRUST_NEIGHBORS).fit(digits[0]).kneighbors()
    _, shown = NearestNeighbors(n_neighbors=TRUST_NEIGHBORS).fit(picture.points).kneighbors()
    expected = np.mean([len(set(a) & set(b)) for a, b in zip(true, shown, strict=True)]) / TRUST_NEIGHBORS
    assert picture.preserved.mean() == pytest.approx(expected, abs=0.005)  # ties may fall differently
    assert picture.silhouette == pytest.approx(silhouette_score(*digits), abs=1e-5)
    assert picture.silhouette_shown == pytest.approx(silhouette_score(picture.points, digits[1]), abs=1e-4)
    assert trustworthiness(digits[0], picture.points, n_neighbors=10) > (0.75 if name == "pca" else 0.96)


def test_neighbor_methods_keep_more_than_pca(pictures):
    kept = {name: picture.preserved.mean() for name, picture in pictures.items()}
    assert min(kept["tsne"], kept["umap"]) > 1.5 * kept["pca"]


@pytest.mark.parametrize("name", PROJECTIONS)
def test_a_new_image_lands_among_its_nearest(name, space, pictures, digits):
    new = load_digits().data[300:330].astype(np.float32)
    before = pictures[name].points.copy()
    points = place(new, space, pictures[name], projection=name)
    assert points.shape == (30, 2)
    np.testing.assert_array_equal(before, pictures[name].points)
    if name == "pca":
        theirs = PCA(2).fit(digits[0])
        np.testing.assert_allclose(np.abs(points), np.abs(theirs.transform(new)), atol=1e-2)
        return
    # Nearer to the middle of its true neighbors in the picture than an image of any place would be.
    near = before[nearest_to(new, digits[0], 5)[0]]
    far = np.linalg.norm(points - np.median(near, axis=1), axis=1)
    typical = np.linalg.norm(before - np.median(before, axis=0), axis=1).mean()
    assert np.median(far) < typical / 4


def test_three_dimensions(space, digits):
    for name in ("pca", "tsne"):
        picture = embed(space, digits[1], projection=name, dimensions=3)
        assert picture.points.shape == (300, 3)
        assert place(digits[0][:2], space, picture, projection=name).shape == (2, 3)


def test_the_same_question_has_the_same_answer(space, digits, pictures):
    again = embed(space, digits[1], projection="tsne")
    np.testing.assert_allclose(again.points, pictures["tsne"].points, rtol=1e-3, atol=1e-2)


def test_progress_rises_to_one_and_may_end_it(space, digits):
    shares = []
    embed(space, digits[1], projection="tsne", progress=lambda share, text: shares.append(share))
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len(shares) > 20

    def leave(share, text):
        if share > 0.2:
            raise Abandoned

    for name in ("tsne", "umap"):
        with pytest.raises(Abandoned):
            embed(space, digits[1], projection=name, progress=leave)


def test_features_are_the_layers_output_and_its_mean():
    model = classifier()
    inputs = model.inputs(images())
    for layer, steps, mean in (("1", 2, (2, 3)), ("3", 4, ())):
        features, logits = features_of(model, images(), layer)
        expected = model.module[:steps](inputs)
        expected = expected.mean(dim=mean) if mean else expected
        np.testing.assert_allclose(features, expected.numpy(), atol=1e-6)
        np.testing.assert_allclose(logits, model.module(inputs).numpy(), atol=1e-6)
    assert hooks_left() == 0


def test_layers_and_the_one_before_the_head():
    model = classifier()
    assert [layer.name for layer in feature_layers(model)] == ["0", "1", "2", "3", "4", "5"]
    assert [layer.width for layer in feature_layers(model)] == [6, 6, 6, 6, 6, 3]
    assert last_before_head(model) == "4"
    with pytest.raises(UnknownName, match="There is no layer named 'nine'"):
        features_of(model, images(), "nine")


def test_features_of_gray_images_of_another_size_are_fitted():
    large = np.random.default_rng(0).integers(0, 256, (9, 20, 20, 3), dtype=np.uint8)
    assert features_of(classifier(), large, "0")[0].shape == (9, 6)


def test_broken_features_are_said():
    model = classifier()
    model.module[0].bias.data[:] = float("nan")
    with pytest.raises(SettingError, match="Some features of '0' are not finite"):
        features_of(model, images(), "0")
    with pytest.raises(SettingError, match="Every image has the same features at 'dead'"):
        feature_space(np.ones((20, 4), np.float32), "dead")
    with pytest.raises(SettingError, match="There are 5 images: a picture of them needs 8 or more"):
        feature_space(np.eye(5, dtype=np.float32))


def test_the_smallest_picture_and_twins():
    features = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    features[4:] = features[:4]
    space = feature_space(features)
    for name in ("pca", "tsne"):
        picture = embed(space, np.zeros(8, np.int64), projection=name)
        assert np.isfinite(picture.points).all()
        assert picture.silhouette is None


def test_settings_are_checked(space, digits):
    with pytest.raises(SettingError, match="dimensions is 4: choose 2 or 3"):
        embed(space, digits[1], dimensions=4)
    with pytest.raises(UnknownName, match="There is no projection named 'isomap'"):
        embed(space, digits[1], projection="isomap")


def test_samples_are_stratified():
    split = Split(images(40), np.repeat(np.arange(4), 10).astype(np.int64))
    rows = sample_rows(split, 20)
    assert (np.bincount(split.labels[rows]) == 5).all()
    np.testing.assert_array_equal(sample_rows(split, 400), np.arange(40))
    with pytest.raises(SettingError, match="3 images were asked for: choose 8 or more"):
        sample_rows(split, 3)


def test_without_opentsne_scikit_learn_stands_in(space, digits, monkeypatch):
    from core.embedding import projections

    usual = projections.tsne(space)
    monkeypatch.setitem(sys.modules, "openTSNE", None)  # as on Linux on Arm, for which it has no wheel
    monkeypatch.setattr(projections, "has_opentsne", lambda: False)
    picture = projections.tsne(space)
    kept = [projections_kept(space, found) for found in (picture, usual)]
    assert kept[0] > 0.8 * kept[1]
    placed = projections.place_by_tsne(digits[0][:20], space, picture)
    near = np.linalg.norm(placed - picture.points[:20], axis=1)
    typical = np.linalg.norm(picture.points - picture.points.mean(0), axis=1).mean()
    assert np.median(near) < typical / 4


def projections_kept(space, picture):
    """The share of each image's ten nearest that are among its ten nearest in the picture."""
    points = picture.points
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    found = np.argsort(distances, 1)[:, :10]
    return np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found, space.indices[:, :10], strict=True)])
