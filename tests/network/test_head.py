"""What goes into the head whose logits are used, also where there are two heads or only a class token."""

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import nn

from core.embedding.embed import feature_layers, features_of, last_before_head
from core.network.head import NoHead, head_of
from core.network.hooks import hooks_left
from tests.network.test_feature_maps import VIT, classifier_of


class TwoHeads(nn.Module):
    """The second head is for something else and comes last."""

    def __init__(self):
        super().__init__()
        self.conv, self.first, self.second = nn.Conv2d(3, 8, 3), nn.Linear(8, 4), nn.Linear(4, 4)

    def forward(self, x):
        x = self.conv(x).relu().mean((2, 3))
        logits = self.first(x)
        self.second(logits)
        return logits


NETWORKS = {
    "two heads": (TwoHeads, "first"),
    "distilled": (lambda: timm.create_model("deit_tiny_distilled_patch16_224", **VIT), "head"),
    "vit timm": (lambda: timm.create_model("vit_tiny_patch16_224", **VIT), "head"),
    "vit torchvision": (
        lambda: torchvision.models.VisionTransformer(32, 4, 1, 2, 24, 48, num_classes=4), "heads.head"
    ),
    "resnet": (lambda: timm.create_model("resnet10t", num_classes=4), "fc"),
    "squeezenet": (lambda: torchvision.models.squeezenet1_1(num_classes=4), "classifier.1"),
    "densenet": (
        lambda: torchvision.models.DenseNet(4, (1, 1), 8, num_classes=4), "classifier"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_features_are_what_the_head_is_given(name):
    torch.manual_seed(0)
    make, head = NETWORKS[name]
    c = classifier_of(make().eval(), (32, 32))
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    assert head_of(c).layer == head
    layer = last_before_head(c)
    offered = {one.name: one for one in feature_layers(c)}
    assert layer in offered
    seen = []
    handle = c.module.get_submodule(head).register_forward_hook(
        lambda part, given, answer: seen.append(given[0])
    )
    with torch.no_grad():
        c.module(c.inputs(images))
    handle.remove()
    expected = seen[0].mean((2, 3)) if seen[0].ndim == 4 else seen[0]
    features, _ = features_of(c, images, layer)
    assert features.shape[1] == offered[layer].width
    np.testing.assert_allclose(features, expected.numpy(), rtol=1e-4, atol=1e-5)
    assert hooks_left() == 0


def test_a_network_without_weights_at_its_end_is_refused():
    class Means(nn.Module):
        def forward(self, x):
            return x.mean((2, 3))

    with pytest.raises(NoHead, match="has no layer that makes its logits"):
        head_of(classifier_of(Means(), (8, 8), classes=3))


def test_features_of_channels_last_and_of_tokens_are_means_over_their_places():
    torch.manual_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    c = classifier_of(timm.create_model("mambaout_femto", num_classes=4).eval(), (32, 32))
    assert features_of(c, images, "stages.0")[0].shape == (2, 48)
    c = classifier_of(timm.create_model("vit_tiny_patch16_224", **VIT).eval(), (32, 32))
    with torch.no_grad():
        tokens = c.module.forward_features(c.inputs(images))
    np.testing.assert_allclose(
        features_of(c, images, "norm")[0], tokens[:, 1:].mean(1).numpy(), rtol=1e-4, atol=1e-5
    )
