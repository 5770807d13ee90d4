"""Photos: crops of what is installed with scikit-image."""

import hashlib

import cv2
import numpy as np
import pytest

from core.data import samples
from core.data.catalogue import open_dataset
from core.data.sets import datasets
from core.errors import Unavailable


@pytest.fixture(scope="module")
def small():
    return datasets["photos"](size=32)


def test_every_photograph_is_in_both_splits_and_the_color_ones_are_in_the_majority(small):
    classes = small.number_of_classes
    counts = {name: split.counts(classes) for name, split in small.splits.items()}
    assert set(counts) == {"train", "test"}
    assert all(count.min() >= 5 for count in counts.values())
    total = sum(counts.values())
    assert 500 <= total.sum() <= 700
    assert 0.2 <= counts["test"].sum() / total.sum() <= 0.35
    in_color = [
        ~(split.images[..., :1] == split.images).all(axis=(1, 2, 3)) for split in small.splits.values()
    ]
    assert np.concatenate(in_color).mean() > 0.7


def test_the_same_images_every_time(small):
    assert datasets["photos"](size=32).fingerprint == small.fingerprint


def test_no_crop_is_there_twice(small):
    hashes = [
        hashlib.sha256(image.tobytes()).digest() for split in small.splits.values() for image in split.images
    ]
    assert len(set(hashes)) == len(hashes)


def test_a_crop_is_a_part_of_the_photograph_it_is_labeled_with():
    """At half of the cat's height no pixel is resized: these twenty crops are found exactly."""
    cat = samples.sample_image("chelsea").pixels
    dataset = datasets["photos"](size=cat.shape[0] // 2)
    label = dataset.class_names.index("Cat")
    found = 0
    for split in dataset.splits.values():
        for crop in split.images[split.labels == label]:
            left, top = cv2.minMaxLoc(cv2.matchTemplate(cat, crop, cv2.TM_SQDIFF))[2]
            found += np.array_equal(cat[top : top + len(crop), left : left + len(crop)], crop)
    assert found == 20


def test_the_default_is_what_imagenet_networks_take_and_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))
    dataset = open_dataset("photos")
    assert dataset.input_size == (224, 224)
    assert dataset.channels == 3
    assert "overlap" in dataset.note
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_without_the_photographs_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "_sample_folder", lambda: tmp_path)
    with pytest.raises(Unavailable, match=r"photographs of scikit-image .* pip install"):
        datasets["photos"]()
