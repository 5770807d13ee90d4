"""Channels switched off, against networks in which they were zeroed by hand."""

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix as sklearn_confusion
from torch import nn

from core.ablation.channel_ranges import parse_channels, write_channels
from core.ablation.effect import Effect, rank_among
from core.ablation.switch_off import ablated_logits, random_accuracies, random_channels
from core.errors import SettingError, UnknownName
from core.filters.channel_layers import layers_of
from core.network.hooks import hooks_left
from tests.filters.test_index import CLASSES, SIZE, images_of, make


def pixels_of(images):
    return lambda rows: images[rows]


def plain():
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(6, 5, 3), nn.GELU(), nn.Flatten(), nn.Linear(5 * 9, CLASSES),
    )  # fmt: skip


def by_hand(classifier, images, first, second, replace=lambda maps: 0.0):
    """The network of `Skipping`, written out, with channels replaced after the activation."""
    m = classifier.module
    with torch.no_grad():
        x = torch.relu(m.conv1(classifier.inputs(images)))
        x[:, first] = replace(x[:, first])
        y = m.norm2(m.conv2(x))
        y[:, second] = replace(y[:, second])
        x = torch.relu(x + y)  # the skip connection still carries x
        return m.head(torch.relu(m.conv3(x)).amax((2, 3))).numpy()


ROWS = np.arange(40)


def test_zeroed_channels_equal_zeroing_by_hand():
    classifier, (images, _) = make(), images_of(40)
    off = {"conv1": [1, 4], "conv2": [0, 5]}
    found = ablated_logits(classifier, pixels_of(images), ROWS, off)
    np.testing.assert_allclose(found, by_hand(classifier, images, [1, 4], [0, 5]), atol=1e-5)
    assert hooks_left() == 0


def test_zeroing_a_channel_is_not_zeroing_the_weights_of_its_convolution():
    classifier, (images, _) = make(), images_of(40)
    off = ablated_logits(classifier, pixels_of(images), ROWS, {"conv2": [3]})
    with torch.no_grad():
        classifier.module.conv2.weight[3] = 0
    weights = classifier.predict_logits(images)
    assert np.abs(off - weights).max() > 1e-3  # batch norm adds its shift


def test_the_mean_is_that_of_all_places_of_the_images():
    classifier, (images, _) = make(), images_of(40)
    found = ablated_logits(classifier, pixels_of(images), ROWS, {"conv1": [1, 4]}, how="mean")
    expected = by_hand(classifier, images, [1, 4], [], lambda maps: maps.mean((0, 2, 3), keepdim=True))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_resampled_channels_are_those_of_another_image_whatever_the_batch_size():
    images, _ = images_of(40)
    small, classifier = make(), make()
    small._memory_limit = 3
    found = ablated_logits(classifier, pixels_of(images), ROWS, {"conv1": [1, 4]}, how="resample", seed=3)
    again = ablated_logits(small, pixels_of(images), ROWS, {"conv1": [1, 4]}, how="resample", seed=3)
    np.testing.assert_allclose(found, again, atol=1e-5)
    circle = np.random.default_rng(3).permutation(40)
    donors = np.empty(40, int)
    donors[circle] = np.roll(circle, 1)
    assert not (donors == np.arange(40)).any()
    expected = by_hand(classifier, images, [1, 4], [], lambda maps: maps[donors])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    one = np.zeros((40, SIZE, SIZE, 1), np.uint8)  # equal images: another one's channel is its own
    found = ablated_logits(classifier, pixels_of(one), ROWS, {"conv1": [0, 1]}, how="resample")
    np.testing.assert_allclose(found, classifier.predict_logits(one), atol=1e-5)


@pytest.mark.parametrize("how", ["zero", "mean", "resample"])
def test_nothing_off_changes_nothing(how):
    classifier, (images, _) = make(), images_of(40)
    found = ablated_logits(classifier, pixels_of(images), ROWS, {"conv1": []}, how=how)
    np.testing.assert_allclose(found, classifier.predict_logits(images), atol=1e-6)


@pytest.mark.parametrize("how", ["zero", "mean"])
def test_everything_off_gives_one_class(how):
    classifier, (images, _) = make(plain()), images_of(40)
    off = {layer.name: range(layer.channels) for layer in layers_of(classifier)}
    logits = ablated_logits(classifier, pixels_of(images), ROWS, off, how=how)
    assert np.ptp(logits, axis=0).max() < 1e-5
    if how == "zero":
        np.testing.assert_allclose(logits[0], classifier.module[-1].bias.numpy(), atol=1e-6)


def test_the_effect_counts_what_changed():
    rng = np.random.default_rng(0)
    labels, before, after = (rng.integers(0, 4, 200) for _ in range(3))
    effect = Effect(labels, before, after, 4)
    expected = sklearn_confusion(labels, after) - sklearn_confusion(labels, before)
    assert (effect.difference == expected).all()
    assert (effect.difference.sum(1) == 0).all()
    assert effect.accuracy == pytest.approx(((before == labels).mean(), (after == labels).mean()))
    changed = int((before != after).sum())
    assert len(effect.lost) + len(effect.gained) + len(effect.other) == changed
    assert (len(effect.gained) - len(effect.lost)) / 200 == pytest.approx(
        effect.accuracy[1] - effect.accuracy[0]
    )
    flips = effect.flips()
    assert sum(len(rows) for _, _, rows in flips) == changed
    assert [len(rows) for _, _, rows in flips] == sorted((len(rows) for _, _, rows in flips), reverse=True)
    for start, stop, rows in flips:
        assert (before[rows] == start).all()
        assert (after[rows] == stop).all()
    assert effect.by_class[:, 0].sum() == 200
    assert effect.by_class[:, 2].tolist() == np.diagonal(sklearn_confusion(labels, after)).tolist()


def test_the_random_control_draws_as_many_channels_of_the_same_layers():
    classifier, (images, labels) = make(), images_of(40)
    layers = layers_of(classifier)
    drawn = [random_channels(layers, {"conv1": [1, 4], "conv3": [0]}, seed) for seed in range(30)]
    assert all(len(set(d["conv1"])) == 2 and len(d["conv3"]) == 1 for d in drawn)
    assert {c for d in drawn for c in d["conv1"]} == set(range(6))
    found = random_accuracies(classifier, pixels_of(images), ROWS, labels, {"conv1": [1, 4]}, repeats=3)
    for seed, accuracy in enumerate(found):
        off = random_channels(layers, {"conv1": [1, 4]}, seed)["conv1"]
        assert accuracy == pytest.approx((by_hand(classifier, images, off, []).argmax(1) == labels).mean())


def test_all_channels_off_are_not_special():
    classifier, (images, labels) = make(), images_of(40)
    off = {"conv1": range(6)}
    others = random_accuracies(classifier, pixels_of(images), ROWS, labels, off, repeats=4)
    own = (ablated_logits(classifier, pixels_of(images), ROWS, off).argmax(1) == labels).mean()
    assert rank_among(own, others) == 1
    assert rank_among(0.1, np.array([0.5, 0.6, 0.7])) == 0.25


def test_channels_are_read_as_they_are_written():
    words = ["conv1:100,200,240", "blocks.0.4:0-3,7"]
    found = parse_channels(words)
    assert found == {"conv1": [100, 200, 240], "blocks.0.4": [0, 1, 2, 3, 7]}
    assert write_channels(found) == words
    assert parse_channels(["a:1,1", "a:0"]) == {"a": [0, 1]}


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("conv1", "'conv1' does not name any channels: write LAYER:NUMBERS"),
        ("conv1:x", "'x' in 'conv1:x' is not a channel"),
        ("conv1:-3", "'-3' in 'conv1:-3' is not a channel"),
        ("conv1:0-99999999", "more channels than any layer"),
    ],
)
def test_nonsense_is_refused(word, message):
    with pytest.raises(SettingError, match=message):
        parse_channels([word])


def test_what_is_not_there_cannot_be_switched_off():
    classifier, (images, labels) = make(), images_of(40)
    ask = pixels_of(images)
    with pytest.raises(UnknownName, match="no convolution named 'conv7'"):
        ablated_logits(classifier, ask, ROWS, {"conv7": [0]})
    with pytest.raises(SettingError, match="Channel 6 of 'conv1' does not exist: it has 6, from 0 to 5"):
        ablated_logits(classifier, ask, ROWS, {"conv1": [6]})
    with pytest.raises(SettingError, match="how is 'twice': choose one of zero, mean, resample"):
        ablated_logits(classifier, ask, ROWS, {}, how="twice")
    with pytest.raises(SettingError, match="repeats is 0"):
        random_accuracies(classifier, ask, ROWS, labels, {"conv1": [0]}, repeats=0)
    assert hooks_left() == 0
