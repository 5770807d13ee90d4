import numpy as np
import pytest
from sklearn.model_selection import StratifiedShuffleSplit

from core.data import dataset
from core.data.dataset import ImageDataset, Split, channel_mean_std, stratified_indices
from core.errors import BadDataset, Unavailable, UnknownName

rng = np.random.default_rng(0)


def _split(n=60, classes=3, channels=3, size=5):
    images = rng.integers(0, 256, (n, size, size, channels), dtype=np.uint8)
    return Split(images, rng.integers(0, classes, n).astype(np.int64), tuple(f"{i}.png" for i in range(n)))


def _dataset(**changes):
    values = {
        "name": "x",
        "title": "X",
        "class_names": ("a", "b", "c"),
        "splits": {"train": _split(), "test": _split(20)},
    }
    return ImageDataset(**(values | changes))


def test_mean_and_std_are_numpy_s():
    images = _split(50).images
    mean, std = channel_mean_std(images)
    np.testing.assert_allclose(mean, (images / 255).mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, (images / 255).std((0, 1, 2)), rtol=1e-12)


def test_mean_and_std_do_not_depend_on_the_blocks(monkeypatch):
    split = _split(50)
    whole = channel_mean_std(split.images), dataset.hash_of_images(split.images, split.labels)
    monkeypatch.setattr(dataset, "_BLOCK_BYTES", 200)
    assert (channel_mean_std(split.images), dataset.hash_of_images(split.images, split.labels)) == whole


def test_a_channel_of_one_color_can_be_divided_by():
    assert channel_mean_std(np.full((4, 3, 3, 1), 255, np.uint8)) == ((1.0,), (1 / 255,))


@pytest.mark.parametrize("count", [1, 7, 50, 199])
def test_strata_have_their_share_to_within_one_image(count):
    labels = np.repeat(np.arange(4), [120, 60, 17, 3]).astype(np.int64)
    rest, drawn = stratified_indices(labels, count, seed=3)
    assert len(drawn) == count
    assert np.array_equal(np.sort(np.concatenate([rest, drawn])), np.arange(200))
    exact = count * np.bincount(labels) / 200
    assert np.abs(np.bincount(labels[drawn], minlength=4) - exact).max() < 1


def test_strata_have_the_sizes_that_scikit_learn_gives_them():
    labels = np.repeat(np.arange(3), [100, 40, 60]).astype(np.int64)
    _, theirs = next(StratifiedShuffleSplit(1, test_size=50, random_state=0).split(labels, labels))
    _, ours = stratified_indices(labels, 50, seed=0)
    assert np.array_equal(np.bincount(labels[ours]), np.bincount(labels[theirs]))


def test_the_seed_decides_which_images_are_drawn():
    labels = np.zeros(100, np.int64)
    draws = [stratified_indices(labels, 10, seed)[1].tolist() for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


def test_a_part_keeps_images_labels_files_and_masks_together():
    base = _split(30)
    masks = {"left": base.images[..., 0] > 128}
    split = Split(base.images, base.labels, base.files, masks)
    part = split.subset(11, seed=5)
    for i, file in enumerate(part.files):
        row = int(file.removesuffix(".png"))
        assert part.labels[i] == split.labels[row]
        assert np.array_equal(part.images[i], split.images[row])
        assert np.array_equal(part.masks["left"][i], split.masks["left"][row])


def test_rows_of_a_large_map_are_gathered_in_a_file(monkeypatch, tmp_path):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))
    monkeypatch.setattr(dataset, "GATHERED_IN_MEMORY", 100)
    pixels = _split(40).images
    mapped = np.memmap(tmp_path / "x.bin", np.uint8, "w+", shape=pixels.shape)
    mapped[:] = pixels
    part = Split(mapped, np.zeros(40, np.int64)).take(np.array([3, 9, 4]))
    assert isinstance(part.images, np.memmap)
    assert np.array_equal(part.images, pixels[[3, 9, 4]])
    assert [path.name for path in (tmp_path / "cache").iterdir()] == []


def test_fingerprints_follow_pixels_labels_and_class_names():
    a = _dataset()
    pixels = a.splits["train"].images.copy()
    pixels[3, 2, 1, 0] ^= 1
    labels = np.roll(a.splits["train"].labels, 1)
    others = [
        _dataset(splits=a.splits | {"train": Split(pixels, a.splits["train"].labels)}),
        _dataset(splits=a.splits | {"train": Split(a.splits["train"].images, labels)}),
        _dataset(splits=a.splits, class_names=("a", "b", "d")),
    ]
    prints = [dataset.fingerprint for dataset in (a, *others)]
    assert len(set(prints)) == 4
    assert _dataset(splits=a.splits, title="another title").fingerprint == prints[0]


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((2, 3, 3, 3)), np.zeros(2, np.int64), r"float64 .*\(N, H, W, 3\) uint8"),
        (np.zeros((2, 3, 3, 4), np.uint8), np.zeros(2, np.int64), r"\(2, 3, 3, 4\)"),
        (np.zeros((2, 3, 3, 3), np.uint8), np.zeros(3, np.int64), r"\(3,\): give \(2,\) int64"),
    ],
)
def test_a_split_of_wrong_arrays_is_refused(images, labels, message):
    with pytest.raises(BadDataset, match=message):
        Split(images, labels)


def test_labels_beyond_the_class_names_are_refused():
    with pytest.raises(BadDataset, match="labels from 0 to 2, but there are 2 class names"):
        _dataset(class_names=("a", "b"))


def test_a_missing_split_says_how_to_get_it():
    only_test = _dataset(splits={"test": _split()}, note="Install the package.")
    with pytest.raises(Unavailable, match=r"X has no train images here\. Install the package\."):
        only_test.split("train")
    with pytest.raises(UnknownName, match=r"no split of x named 'tets'. Did you mean 'test'"):
        only_test.split("tets")


@pytest.mark.parametrize("share", [0.0, 1.0, 0.001])
def test_a_share_that_leaves_nothing_is_refused(share):
    with pytest.raises(BadDataset, match="leaves nothing on one side"):
        _split().divide(share)
