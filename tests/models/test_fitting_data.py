"""Which data set goes with which classifier."""

import numpy as np
import pytest

from core.data.catalogue import open_dataset
from core.data.dataset import ImageDataset, Split
from core.models import catalogue
from core.models.fitting_data import fitting_dataset, why_unfit
from core.models.pretrained import DEFAULT_NETWORK


def pictures(side, channels, class_names=("first", "second")):
    images = np.zeros((4, side, side, channels), np.uint8)
    split = Split(images, np.array([0, 1, 0, 1], np.int64))
    return ImageDataset("own", "Own", class_names, {"test": split})


@pytest.mark.parametrize(
    ("classifier", "dataset"),
    [
        (DEFAULT_NETWORK, "photos"),
        ("torchvision/resnet18", "photos"),
        ("fashion_mnist_cnn", "fashion_mnist"),
        ("cifar10_resnet18", "cifar10"),
        ("digits_cnn", "digits"),
    ],
)
def test_a_classifier_is_shown_with_what_it_was_trained_on_or_with_photos(classifier, dataset):
    assert fitting_dataset(catalogue.card_of(classifier)) == dataset


def test_an_imagenet_network_does_not_fit_small_gray_clothes():
    card = catalogue.card_of(DEFAULT_NETWORK)
    words = why_unfit(card, open_dataset("fashion_mnist"))
    assert "224 × 224 pixels" in words
    assert "Fashion-MNIST have 28 × 28" in words
    assert not why_unfit(card, pictures(160, 3))
    assert not why_unfit(card, pictures(160, 1))  # such as an X-ray


def test_a_data_set_of_which_half_of_the_classes_are_known_fits():
    card = catalogue.card_of("cifar10_resnet18")
    assert not why_unfit(card, pictures(4, 3, ("Cat", "sofa")))
    assert why_unfit(card, pictures(4, 3))


def test_a_network_for_gray_images_does_not_fit_colored_ones():
    card = catalogue.card_of("fashion_mnist_cnn")
    assert "in color" in why_unfit(card, pictures(32, 3))
    assert not why_unfit(card, pictures(32, 1))
    assert not why_unfit(card, open_dataset("fashion_mnist"))
