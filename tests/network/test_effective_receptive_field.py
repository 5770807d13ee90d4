"""The effective receptive field against PyTorch's gradients, and that nothing is left behind."""

import numpy as np
import pytest
import torch
from torch import nn

from core.data.preprocessing import Preprocessing
from core.errors import UnknownName
from core.models.card import ModelCard
from core.models.classifier import Classifier
from core.network.effective_receptive_field import effective_field
from core.network.receptive_field import UnknownReceptiveField
from tests.network.test_feature_maps import Patches, classifier_of


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 4, 3, stride=2, padding=1),
        nn.Flatten(),
        nn.Linear(4 * 64, 2),
    )
    card = ModelCard(
        name="tiny",
        architecture="tiny",
        class_names=("a", "b"),
        preprocessing=Preprocessing((16, 16), (0.5,) * 3, (0.25,) * 3),
    )
    return Classifier(module, card, torch.device("cpu"))


images = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3), dtype=np.uint8)


def test_it_is_the_gradient_of_all_channels(classifier):
    found, place = effective_field(classifier, images, layer="2", draws=200)
    assert place == (3, 3)
    inputs = classifier.inputs(images).clone().requires_grad_()
    output = classifier.module[2](classifier.module[1](classifier.module[0](inputs)))
    squares = 0
    for channel in range(4):
        (gradient,) = torch.autograd.grad(output[0, channel, 3, 3], inputs, retain_graph=True)
        squares = squares + (gradient[0] ** 2).sum(0)
    expected = squares.sqrt().numpy()
    np.testing.assert_allclose(found, expected / expected.max(), atol=0.12)
    assert (found > 0).sum() <= 25
    assert not found[:4].any()


def test_the_network_is_left_as_it_was(classifier):
    before = {name: p.clone() for name, p in classifier.module.state_dict().items()}
    forwards = [vars(part).get("forward") for part in classifier.module.modules()]
    effective_field(classifier, images, layer="0", draws=1)
    assert not any(part._forward_hooks for part in classifier.module.modules())
    assert [vars(part).get("forward") for part in classifier.module.modules()] == forwards
    assert all(torch.equal(before[name], p) for name, p in classifier.module.state_dict().items())


def test_layers_without_places_are_named(classifier):
    with pytest.raises(UnknownReceptiveField, match="'4' is not a map"):
        effective_field(classifier, images, layer="4")
    with pytest.raises(UnknownName, match="no layer named 'conv'"):
        effective_field(classifier, images, layer="conv")


@pytest.mark.parametrize(("kind", "tokens"), [("channels last", 0), ("tokens", 0), ("tokens", 1)])
def test_a_map_is_read_however_the_layer_holds_it(kind, tokens):
    found = []
    for held in ((kind, tokens), ("channels first", 0)):
        torch.manual_seed(0)
        c = classifier_of(Patches(*held), (32, 24))
        pixels = np.random.default_rng(0).integers(0, 256, (1, 32, 24, 3), np.uint8)
        found.append(effective_field(c, pixels, layer="held", draws=2))
    (field, place), (expected, where) = found
    assert place == where == (3, 2)
    np.testing.assert_allclose(field, expected, atol=1e-5)
