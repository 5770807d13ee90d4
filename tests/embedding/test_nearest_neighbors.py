"""Exact neighbors and silhouettes: those of scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import silhouette_samples
from sklearn.neighbors import NearestNeighbors

from core.embedding.nearest_neighbors import nearest_neighbors, nearest_to, share_preserved, silhouettes
from core.errors import SettingError

POINTS = np.random.default_rng(0).normal(size=(300, 17)).astype(np.float32)


def test_neighbors_and_distances_are_scikit_learns():
    indices, distances = nearest_neighbors(POINTS, 7)
    expected, rows = NearestNeighbors(n_neighbors=8).fit(POINTS).kneighbors(POINTS)
    np.testing.assert_array_equal(indices, rows[:, 1:])
    np.testing.assert_allclose(distances, expected[:, 1:], rtol=1e-4)


def test_the_nearest_to_new_points_may_be_themselves():
    indices, distances = nearest_to(POINTS[:5], POINTS, 3)
    np.testing.assert_array_equal(indices[:, 0], np.arange(5))
    assert (distances[:, 0] < 1e-2).all()
    assert nearest_to(POINTS[:2], POINTS[:3], 9)[0].shape == (2, 3)


def test_silhouettes_are_scikit_learns():
    labels = np.arange(300) % 4
    points = POINTS + 2 * np.eye(4, 17, dtype=np.float32)[labels]
    np.testing.assert_allclose(silhouettes(points, labels), silhouette_samples(points, labels), atol=1e-5)


def test_what_is_preserved_is_counted_point_by_point():
    true = np.array([[1, 2], [0, 2], [0, 1], [0, 1], [0, 1]])
    assert share_preserved(true, true).tolist() == [1, 1, 1, 1, 1]
    shown = np.array([[1, 3], [3, 4], [1, 0], [1, 2], [2, 3]])
    assert share_preserved(true, shown).tolist() == [0.5, 0, 1, 0.5, 0]


@pytest.mark.parametrize("k", [0, 300])
def test_more_neighbors_than_points_are_refused(k):
    with pytest.raises(SettingError, match=f"{k} neighbors of 300 points"):
        nearest_neighbors(POINTS, k)
