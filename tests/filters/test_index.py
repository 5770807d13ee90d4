"""The filter index against a plain loop over all activations."""

import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from core.data.dataset import indexed_rows
from core.data.preprocessing import Preprocessing
from core.errors import SettingError, UnknownName
from core.filters.channel_layers import NoConvolution, channel_layers, find_layer
from core.filters.channel_statistics import BINS
from core.filters.filter_index import FilterIndex
from core.filters.index import build_index
from core.filters.similar_kernels import kernel_strengths
from core.models.card import ModelCard
from core.models.classifier import Classifier
from core.network.hooks import hooks_left
from core.network.receptive_field import receptive_field
from core.stored import from_answer, to_answer

SIZE, CLASSES = 12, 3


class Skipping(nn.Module):
    """A convolution with its activation, one that ends in a sum, and one whose ReLU is a function."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 3, padding=1)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(6)
        self.conv3 = nn.Conv2d(6, 5, 3, stride=2)
        self.head = nn.Linear(5, CLASSES)

    def forward(self, x):
        x = self.relu1(self.conv1(x))
        x = torch.relu(x + self.norm2(self.conv2(x)))
        return self.head(torch.relu(self.conv3(x)).amax((2, 3)))


def make(module=None, seed=0):
    torch.manual_seed(seed)
    module = module or Skipping()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.bias)
            part.running_var.uniform_(0.5, 2)
    preprocessing = Preprocessing((SIZE, SIZE), (0.5,), (0.5,), 1)
    card = ModelCard("tiny", "tiny", tuple("abc"), preprocessing)
    return Classifier(module, card, torch.device("cpu"))


def images_of(n=53, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, SIZE, SIZE, 1), dtype=np.uint8), rng.integers(0, CLASSES, n)


def indexed(classifier, images, labels, classes=CLASSES, **settings):
    return build_index(classifier, lambda rows: images[rows], labels, classes, **settings)


def assert_same(found, expected, *, rtol=0.0, atol=0.0):
    """All arrays of two indexes within a tolerance, and everything else but the engine the same."""
    one, other = to_answer(found), to_answer(replace(expected, engine=found.engine))
    assert one.keys() == other.keys()
    for name, value in one.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_allclose(value, other[name], rtol=rtol, atol=atol, err_msg=name)
        else:
            assert value == other[name]


def all_maps(classifier, images):
    """By convolution, what stands at its site, calculated by hand."""
    m = classifier.module
    with torch.no_grad():
        first = torch.relu(m.conv1(classifier.inputs(images)))
        second = m.norm2(m.conv2(first))
        third = m.conv3(torch.relu(first + second))
    return {"conv1": first.numpy(), "conv2": second.numpy(), "conv3": third.numpy()}


def ranked(values, k):
    return np.lexsort((np.arange(len(values)), -values))[:k]


@pytest.mark.parametrize("k", [1, 4, 60])
def test_the_index_equals_a_loop_over_all_activations(k):
    classifier, (images, labels) = make(), images_of()
    index = indexed(classifier, images, labels, k=k)
    for name, maps in all_maps(classifier, images).items():
        one = index.of(name)
        for c in range(maps.shape[1]):
            flat = maps[:, c].reshape(len(images), -1)
            strongest, norms = flat.max(1), np.sqrt((flat.astype(np.float64) ** 2).sum(1))
            n = min(k, len(images))
            order = ranked(strongest, k)
            np.testing.assert_allclose(one.top_values[c, :n], strongest[order], rtol=1e-5, atol=1e-6)
            assert one.top_rows[c, :n].tolist() == order.tolist()
            assert one.top_places[c, :n].tolist() == flat[order].argmax(1).tolist()
            assert (one.top_rows[c, n:] == -1).all()
            np.testing.assert_allclose(one.norm_values[c, :n], norms[ranked(norms, k)], rtol=1e-5)
            assert one.weak_rows[c, :n].tolist() == ranked(-strongest, k).tolist()
            for label in range(CLASSES):
                own = np.flatnonzero(labels == label)
                order = own[ranked(strongest[own], k)]
                assert one.class_rows[c, label, : len(order)].tolist() == order.tolist()
                np.testing.assert_allclose(one.class_means[c, label], flat[own].mean(), rtol=1e-4, atol=1e-6)
                top = one.histogram_tops[c]
                edges = np.linspace(0, top, BINS + 1)
                counts = [
                    np.sum(strongest[own] <= 0),
                    *(np.sum((strongest[own] > a) & (strongest[own] <= b)) for a, b in pairwise(edges)),
                ]
                assert one.histograms[c, label].tolist() == [int(v) for v in counts]
            np.testing.assert_allclose(one.mean[c], flat.mean(), rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(one.std[c], flat.std(), rtol=1e-3)
            np.testing.assert_allclose(one.zeros[c], (flat == 0).mean(), rtol=1e-6)
    assert hooks_left() == 0


def test_the_index_says_how_its_figures_were_taken():
    classifier, (images, labels) = make(), images_of(6)
    index = indexed(classifier, images, labels)
    assert index.engine.startswith(
        "one pass over each map for normalization, activation, and figures at 2 of 3"
    )
    assert index.engine.endswith("or it is read by several layers (1)")  # conv3: its ReLU is no layer
    assert from_answer(FilterIndex, to_answer(index)).engine == index.engine


def test_a_dead_channel_is_found_and_equal_values_keep_the_lower_row():
    classifier, (images, labels) = make(), images_of()
    with torch.no_grad():
        classifier.module.conv1.bias[2] = -100
    one = indexed(classifier, images, labels, k=5).of("conv1")
    assert np.flatnonzero(one.dead()).tolist() == [2]
    assert one.top_rows[2].tolist() == one.weak_rows[2].tolist() == [0, 1, 2, 3, 4]
    assert one.zeros[2] == 1
    assert one.selectivity()[2] == 0


def test_a_channel_that_knows_one_class_is_selective():
    module = nn.Sequential(
        nn.Conv2d(1, 2, 1), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(2, 3)
    )
    classifier = make(module)
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([1.0, 0.0])[:, None, None, None])
        module[0].bias.copy_(torch.tensor([0.0, 1.0]))
    labels = np.arange(30) % 3
    images = np.zeros((30, SIZE, SIZE, 1), np.uint8)
    images[labels == 1] = 255
    one = indexed(classifier, images, labels).of("0")
    assert one.selectivity().tolist() == [1, 0]
    assert one.preferred(1)[0].tolist() == [1]


def test_the_batch_size_makes_no_difference():
    images, labels = images_of()
    small, large = make(), make()
    small._memory_limit = 1
    a, b = indexed(small, images, labels), indexed(large, images, labels)
    assert_same(a, b, rtol=1e-4, atol=1e-6)


def test_the_number_of_threads_makes_no_difference_at_all():
    images, labels = images_of()
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(indexed(make(), images, labels))
    finally:
        torch.set_num_threads(before)
    assert_same(found[1], found[0])


def test_an_index_without_compiled_loops_is_the_same(monkeypatch):
    images, labels = images_of()
    expected = indexed(make(), images, labels)
    for name in ("core.filters.map_statistics_numba", "core.filters.channel_statistics_numba"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it could not be imported
    found = indexed(make(), images, labels)
    assert found.engine.endswith("the maps are on a GPU or not channels last, or Numba is missing (2)")
    assert_same(found, expected, rtol=1e-5, atol=1e-6)


def test_many_classes_are_counted_together():
    images, labels = images_of()
    one = indexed(make(), images, labels * 70, classes=211).layers[0]
    assert one.class_rows.shape == (6, 0, 16)
    assert not one.has_classes
    assert one.histograms.shape == (6, 1, BINS + 1)
    assert one.histograms.sum() == 6 * len(images)


def test_channels_are_looked_at_after_their_activation_where_it_is_a_layer():
    layers = channel_layers(Skipping(), (SIZE, SIZE), 1)
    assert [(n.name, n.site, n.activated) for n in layers] == [
        ("conv1", "relu1", True),
        ("conv2", "norm2", False),  # the sum comes before the activation
        ("conv3", "conv3", False),  # its ReLU is no layer
    ]
    pooled = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), nn.BatchNorm2d(2), nn.GELU(), nn.Conv2d(2, 2, 3), nn.Flatten()
    )
    assert [(n.name, n.site, n.map_size) for n in channel_layers(pooled, (12, 12), 1)] == [
        ("0", "3", (5, 5)),
        ("4", "4", (3, 3)),
    ]
    shared = nn.ReLU()
    twice = nn.Sequential(nn.Conv2d(1, 2, 3), shared, nn.Conv2d(2, 2, 3), shared, nn.Flatten())
    assert [n.site for n in channel_layers(twice, (12, 12), 1)] == ["0", "2"]


def test_the_field_of_a_place_is_the_receptive_field_with_its_border():
    classifier, (images, labels) = make(), images_of(6)
    layer = indexed(classifier, images, labels).layers[2].layer
    field = receptive_field(classifier.module, "conv3", (SIZE, SIZE), 1)
    height, width = field.map_size
    for place in range(height * width):
        top, left, tall, wide = layer.box(place)
        box = field.box(*divmod(place, width))
        assert (tall, wide) == field.size
        assert (max(0, top), max(0, left)) == (box.top, box.left)
        assert (min(SIZE, top + tall), min(SIZE, left + wide)) == (box.bottom, box.right)


def test_rows_of_a_smaller_index_are_stratified_and_always_the_same():
    labels = np.repeat([0, 1], [90, 10])
    rows = indexed_rows(labels, 20)
    assert np.bincount(labels[rows]).tolist() == [18, 2]
    assert rows.tolist() == indexed_rows(labels, 20).tolist()
    assert len(indexed_rows(labels, 1000)) == 100


def test_bad_questions_are_refused():
    classifier, (images, labels) = make(), images_of(5)
    with pytest.raises(SettingError, match="k is 0: choose a whole number from 1"):
        indexed(classifier, images, labels, k=0)
    with pytest.raises(UnknownName, match="There is no convolution named 'conv9'"):
        indexed(classifier, images, labels, layers=["conv9"])
    with pytest.raises(SettingError, match="no images to index"):
        indexed(classifier, images[:0], labels[:0])
    with pytest.raises(NoConvolution, match="has no convolution"):
        channel_layers(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), (2, 2), 1)
    with pytest.raises(UnknownName, match="'conv'"):
        find_layer(channel_layers(Skipping(), (SIZE, SIZE), 1), "conv")


class Killed(BaseException):
    """As a signal would end it."""


@pytest.mark.parametrize("batch", [1, 4 * 5 * SIZE * SIZE * 6])
def test_a_killed_index_goes_on_and_ends_as_if_it_had_not_been(tmp_path, monkeypatch, batch):
    monkeypatch.setattr("core.filters.index.SECONDS_BETWEEN_SAVES", 0.0)
    monkeypatch.setattr("core.filters.index.MOST_BATCH_BYTES", batch)
    monkeypatch.setattr("core.filters.index.MOST_BATCHES_A_CALL", 2)
    images, labels = images_of()
    expected = indexed(make(), images, labels)
    part, asked = tmp_path / "x.part", []

    def stop_at(images):
        def progress(share, message):
            if share * 53 >= images:
                raise Killed

        return progress

    for stop in (12, 31, 44):
        with pytest.raises(Killed):
            indexed(make(), images, labels, part=part, progress=stop_at(stop))
    answer = build_index(
        make(), lambda rows: asked.extend(rows.tolist()) or images[rows], labels, CLASSES, part=part
    )
    assert len(asked) < 20  # what was saved is not looked at again
    assert_same(answer, expected)


@pytest.mark.parametrize("spoil", ["cut", "other settings", "nothing"])
def test_a_part_that_cannot_be_used_is_begun_anew(tmp_path, monkeypatch, spoil):
    monkeypatch.setattr("core.filters.index.SECONDS_BETWEEN_SAVES", 0.0)
    monkeypatch.setattr("core.filters.index.MOST_BATCH_BYTES", 4 * 5 * SIZE * SIZE * 6)
    images, labels = images_of()
    part, asked = tmp_path / "x.part", []
    if spoil != "nothing":
        indexed(make(), images, labels, k=3 if spoil == "other settings" else 16, part=part)
        assert part.exists()
    if spoil == "cut":
        part.write_bytes(part.read_bytes()[:200])
    answer = build_index(
        make(), lambda rows: asked.extend(rows.tolist()) or images[rows], labels, CLASSES, part=part
    )
    assert sorted(asked) == list(range(53))
    expected = indexed(make(), images, labels)
    assert_same(answer, expected)


def test_the_strength_of_a_kernels_places_is_its_norm_over_the_input_channels():
    weight = torch.randn(5, 7, 3, 2, generator=torch.Generator().manual_seed(0))
    weight[4] = 0
    found = kernel_strengths(weight).pictures
    assert found.shape == (5, 3, 2, 1)
    for c in range(4):
        norms = np.array(
            [[np.sqrt((weight[c, :, i, j].numpy() ** 2).sum()) for j in range(2)] for i in range(3)]
        )
        shares = (norms - norms.min()) / (norms.max() - norms.min())
        np.testing.assert_allclose(found[c, ..., 0] / 255, shares, atol=0.5 / 255 + 1e-6)
    assert not found[4].any()
