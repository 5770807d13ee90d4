"""Occlusion on networks of every make: optional arguments, caches, and what torch.fx cannot follow."""

import numpy as np
import pytest
import timm
import torch
from torch import nn

from core.attribution.methods import methods
from core.embedding.embed import features_of, last_before_head
from core.network.activations import activations
from core.network.default_map import default_map
from core.network.hooks import hooks_left
from core.occlusion.full_forwards import full_forwards
from core.occlusion.occlusion import occlusion_logits
from tests.network.module_state import state_of
from tests.network.test_feature_maps import VIT, classifier_of


class Masked(nn.Module):
    """Its forward has optional arguments, as every ViT of timm has."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 4)

    def forward(self, x, mask=None, scale=1.0):
        x = self.conv(x) * scale
        if mask is not None:
            x = x * mask
        return self.fc(x.relu().mean((2, 3)))


def image(side):
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)


def check(c, side, window, stride):
    found = occlusion_logits(c, image(side), window=window, stride=stride)
    plain = occlusion_logits(c, image(side), window=window, stride=stride, engine=full_forwards)
    largest = float(np.abs(plain.logits).max())
    np.testing.assert_allclose(found.logits, plain.logits, rtol=0, atol=1e-5 * max(1.0, largest))
    return found.engine


def test_a_forward_with_optional_arguments_gets_the_exact_engine():
    torch.manual_seed(0)
    assert check(classifier_of(Masked(), (32, 32)), 32, 7, 2) == "incremental"


def test_a_vit_is_answered_by_whole_passes():
    torch.manual_seed(0)
    c = classifier_of(timm.create_model("vit_tiny_patch16_224", **VIT).eval(), (32, 32))
    assert check(c, 32, 8, 4) == "full forwards"


FAMILIES = {
    "resnet10t": {}, "vit_tiny_patch16_224": VIT, "tf_efficientnet_lite0": {}, "mobilenetv3_small_050": {},
    "levit_128s": {"img_size": 64}, "mambaout_femto": {}, "efficientformerv2_s0": {"img_size": 64},
}  # fmt: skip
ANALYSES = [*(method.name for method in methods), "activations", "embedding"]


# The cheapest, and one that keeps a cache; `tests/families` asks the same of every family.
QUICK = ("resnet10t", "levit_128s")


@pytest.mark.parametrize(
    "family", [name if name in QUICK else pytest.param(name, marks=pytest.mark.all) for name in FAMILIES]
)
def test_every_analysis_leaves_the_network_as_it_was(family):
    """Attributes, caches, buffers, hooks and the class of each part: no proxy of torch.fx, nothing at all."""
    torch.manual_seed(0)
    settings = {"num_classes": 4, **FAMILIES[family]}
    side = 32 if settings.get("img_size") == 32 else 64
    c = classifier_of(timm.create_model(family, **settings).eval(), (side, side))
    picture = image(side)
    c.predict_logits(picture[None])
    before, answer = state_of(c.module), c.predict_logits(picture[None])
    for name in ANALYSES:
        if name == "activations":
            activations(c, picture, default_map(c).layer)
        elif name == "embedding":
            features_of(c, picture[None], last_before_head(c))
        elif name == "occlusion":
            check(c, side, side // 4, side // 8)
        elif name == "integrated_gradients":
            methods[name](c, picture, 1, n_steps=4, tolerance=None)
        else:
            methods[name](c, picture, 1)
        assert state_of(c.module) == before, name
        assert hooks_left() == 0, name
    np.testing.assert_array_equal(c.predict_logits(picture[None]), answer)
