import numpy as np
import pytest

from core.data import duplicates
from core.data.dataset import Split
from core.data.duplicates import nearest_images
from core.errors import BadDataset

rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))


def _split(images):
    return Split(images, np.zeros(len(images), np.int64))


def _blobs(n, size=24, channels=3):
    coarse = rng.integers(0, 200, (n, 6, 6, channels), dtype=np.uint8)
    return coarse.repeat(size // 6, 1).repeat(size // 6, 2)


def test_identical_brighter_and_blurred_copies_are_found():
    train = _blobs(300)
    test = _blobs(6)
    test[1] = train[17]
    test[2] = train[200] + 20
    test[4] = (train[33].astype(float) + rng.normal(0, 6, train[33].shape)).clip(0, 255)
    found = nearest_images(_split(test), _split(train))
    assert found.exact.tolist() == [False, True, False, False, False, False]
    assert found.nearest[[1, 2, 4]].tolist() == [17, 200, 33]
    assert found.at_least(0.97).tolist()[0] == 1
    assert sorted(found.at_least(0.97).tolist()) == [1, 2, 4]


@pytest.mark.parametrize(("size", "channels"), [(24, 3), (8, 1), (12, 1)])
def test_similarity_is_the_correlation_of_the_reduced_pictures(size, channels):
    train, test = (rng.integers(0, 256, (n, size, size, channels), dtype=np.uint8) for n in (30, 5))
    found = nearest_images(_split(test), _split(train))

    def small(images):
        step = max(1, size // 12)
        n, side = len(images), size // step
        return images.reshape(n, side, step, side, step, channels).mean((2, 4)).reshape(n, -1)

    expected = np.corrcoef(small(test), small(train))[:5, 5:]
    np.testing.assert_allclose(found.similarity, expected.max(1), atol=1e-5)
    assert np.array_equal(found.nearest, expected.argmax(1))


def test_pictures_of_one_color_are_like_nothing_but_themselves():
    train = np.stack([np.full((16, 16, 3), value, np.uint8) for value in (10, 90)])
    test = np.stack([np.full((16, 16, 3), value, np.uint8) for value in (90, 200)])
    found = nearest_images(_split(test), _split(train))
    assert found.exact.tolist() == [True, False]
    assert found.nearest[0] == 1
    assert found.similarity.tolist() == [1.0, 0.0]


def test_the_answer_is_kept_on_disk(monkeypatch):
    train, test = _split(_blobs(20)), _split(_blobs(5))
    first = nearest_images(test, train)
    monkeypatch.setattr(duplicates, "_compare", None)
    again = nearest_images(test, train)
    assert np.array_equal(first.nearest, again.nearest)
    assert np.array_equal(first.similarity, again.similarity)


def test_images_of_two_sizes_are_refused():
    with pytest.raises(BadDataset, match=r"\(24, 24, 3\) and \(12, 12, 3\): only images of one size"):
        nearest_images(_split(_blobs(2)), _split(_blobs(2, 12)))
