"""Fused networks: fewer steps, the same logits, and the network itself left as it was."""

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import nn

from core.network.fused_classifier import (
    fused_classifier,
    fused_network,
    is_watched,
    known_network,
    network_of,
)
from core.network.fused_graph import ByPlace, PaddedConv2d
from tests.network.module_state import state_of
from tests.network.test_feature_maps import classifier_of

TORCHVISION = {"densenet121", "mobilenet_v3_small", "convnext_tiny", "resnet18"}
TIMM = {
    "nf_resnet26", "vgg11_bn", "repvgg_a0", "mobileone_s0", "convnext_atto", "tf_efficientnet_lite0",
    "hrnet_w18_small",
}  # fmt: skip


def network(name):
    torch.manual_seed(0)
    module = (
        torchvision.models.get_model(name, weights=None, num_classes=4)
        if name in TORCHVISION
        else timm.create_model(name, num_classes=4)
    ).eval()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d) and part.running_mean is not None:
            part.running_mean.uniform_(-0.1, 0.1)
            part.running_var.uniform_(0.8, 1.2)
    for parameter in module.parameters():
        if not parameter.any():  # what begins at zero says nothing
            nn.init.uniform_(parameter, 0.1, 0.3)
    return module


def kinds(graph):
    return {type(part) for node in graph.nodes if (part := graph.part(node)) is not None}


@pytest.mark.parametrize("name", sorted(TORCHVISION | TIMM))
def test_a_fused_network_gives_the_logits_of_the_network(name):
    c = classifier_of(network(name), (64, 64))
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    expected, before = c.predict_logits(images), state_of(c.module)
    for layout in (torch.channels_last, torch.contiguous_format):
        found = fused_classifier(c, layout)
        assert found is not None
        np.testing.assert_allclose(
            found.predict_logits(images), expected, rtol=0, atol=1e-5 * np.abs(expected).max()
        )
    assert state_of(c.module) == before
    if name != "densenet121":  # whose norms stand before the convolutions
        assert nn.BatchNorm2d not in kinds(network_of(c).graph)


def test_weights_that_are_standardized_in_every_pass_are_standardized_once():
    c = classifier_of(network("nf_resnet26"), (64, 64))
    assert any(type(part).__name__ == "ScaledStdConv2d" for part in c.module.modules())
    assert all("Std" not in kind.__name__ for kind in kinds(network_of(c).graph))


def test_parallel_convolutions_are_one():
    c = classifier_of(network("repvgg_a0"), (64, 64))
    before = sum(isinstance(part, nn.Conv2d) for part in c.module.modules())
    graph = network_of(c).graph
    after = sum(isinstance(graph.part(node), nn.Conv2d) for node in graph.nodes)
    assert (before, after) == (44, 22)


def test_layers_between_two_permutations_are_one_step_on_maps():
    assert ByPlace in kinds(network_of(classifier_of(network("convnext_tiny"), (64, 64))).graph)


def test_padding_that_is_larger_on_one_side_is_kept():
    conv = timm.layers.create_conv2d(3, 4, 3, stride=2, padding="same", bias=True)
    module = nn.Sequential(conv, nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    found = fused_network(module, torch.rand(1, 3, 10, 12))
    assert kinds(found.graph) >= {PaddedConv2d}
    x = torch.randn(2, 3, 10, 12)
    with torch.no_grad():
        torch.testing.assert_close(found.graph.as_module()(x), module(x))


def test_a_convolution_whose_weights_depend_on_the_image_stays_as_it_is():
    class Dynamic(nn.Conv2d):
        def forward(self, x):
            return torch.conv2d(x, self.weight * x.mean(), self.bias)

    module = nn.Sequential(Dynamic(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    found = fused_network(module, torch.rand(1, 3, 9, 9))
    assert Dynamic in kinds(found.graph)
    x = torch.randn(2, 3, 9, 9)
    with torch.no_grad():
        torch.testing.assert_close(found.graph.as_module()(x), module(x))


def test_new_weights_are_fused_anew():
    c = classifier_of(network("resnet18"), (64, 64))
    image = np.full((1, 64, 64, 3), 99, np.uint8)
    first = fused_classifier(c).predict_logits(image)
    assert fused_classifier(c) is fused_classifier(c)
    c.module.bn1.running_var.mul_(2)
    again = fused_classifier(c).predict_logits(image)
    expected = c.predict_logits(image)
    np.testing.assert_allclose(again, expected, atol=1e-5 * np.abs(expected).max())
    assert np.abs(again - first).max() > 1e-3 * np.abs(expected).max()


def test_a_network_that_someone_watches_or_that_learns_is_not_fused():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    x = torch.rand(1, 3, 9, 9)
    assert known_network(module) is None
    handle = module[0].register_forward_hook(lambda *_: None)
    assert is_watched(module)
    assert fused_network(module, x) is None
    handle.remove()
    assert fused_network(module, x) is not None
    assert fused_network(module.train(), x) is None


def test_gradients_are_those_of_the_network():
    c = classifier_of(network("mobilenet_v3_small"), (64, 64))
    inputs = c.inputs(np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8))
    found = []
    for asked in (c, fused_classifier(c)):
        points = inputs.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(asked.logits(points)[:, 1].sum(), points)
        found.append(gradient)
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-4 * float(found[0].abs().max()))
