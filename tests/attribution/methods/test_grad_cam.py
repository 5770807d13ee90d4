"""Grad-CAM against the sum written out by hand, on networks that hold their maps in different ways."""

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import nn

from core.attribution.methods import methods
from core.network.feature_maps import feature_maps
from core.network.unit import outputs
from tests.network.test_feature_maps import VIT, classifier_of


def by_hand(c, image, target, layer, read):
    """ReLU of the channels' sum, each weighted with the mean of its gradients; `read` gives (h, w, C)."""
    seen = []
    handle = c.module.get_submodule(layer).register_forward_hook(lambda *found: seen.append(found[2]))
    inputs = c.inputs(image[None]).requires_grad_()
    logit = c.logits(inputs)[0, target]
    handle.remove()
    (gradient,) = torch.autograd.grad(logit, seen[0])
    values, slopes = read(seen[0].detach()[0].double()), read(gradient[0].double())
    weights = slopes.reshape(-1, slopes.shape[-1]).mean(0)
    return (values * weights).sum(-1).clamp(min=0).numpy()


def swin():
    return timm.create_model(
        "swin_tiny_patch4_window7_224", img_size=32, window_size=4, embed_dim=12, depths=(2, 2),
        num_heads=(2, 2), num_classes=4,
    )  # fmt: skip


NETWORKS = {
    "vit": (lambda: timm.create_model("vit_tiny_patch16_224", **VIT), lambda t: t[1:].reshape(8, 8, -1)),
    "deit distilled": (
        lambda: timm.create_model("deit_tiny_distilled_patch16_224", **VIT), lambda t: t[2:].reshape(8, 8, -1)
    ),
    "cait": (
        lambda: timm.create_model(
            "cait_xxs24_224", img_size=32, patch_size=4, embed_dim=24, depth=2, num_heads=2, num_classes=4
        ),
        lambda t: t.reshape(8, 8, -1),
    ),
    "swin timm": (swin, lambda t: t),
    "swin torchvision": (
        lambda: torchvision.models.SwinTransformer([4, 4], 12, [2, 2], [2, 2], [4, 4], num_classes=4),
        lambda t: t,
    ),
    "mambaout": (lambda: timm.create_model("mambaout_femto", num_classes=4), lambda t: t),
    "resnet": (lambda: timm.create_model("resnet10t", num_classes=4), lambda t: t.permute(1, 2, 0)),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_the_map_is_the_sum_written_out(name):
    torch.manual_seed(0)
    make, read = NETWORKS[name]
    side = 64 if name in ("mambaout", "resnet") else 32
    c = classifier_of(make().eval(), (side, side))
    image = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    found = methods["grad_cam"](c, image, 1)
    layer = found.found["layer"]
    expected = by_hand(c, image, 1, layer, read)
    assert found.values.shape == expected.shape
    assert min(found.values.shape) >= 7
    assert found.values.any()
    assert found.note == ""
    assert np.allclose(found.values, expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())


def test_a_map_that_is_coarse_says_so():
    module = nn.Sequential(nn.Conv2d(3, 4, 5, 5), nn.ReLU(), nn.Flatten(), nn.Linear(36, 4))
    found = methods["grad_cam"](classifier_of(module, (16, 16)), np.full((16, 16, 3), 9, np.uint8), 0)
    assert "3 × 3, so the map is coarse" in found.note or "blank" in found.note


def test_places_that_move_nothing_are_told_from_a_dead_network():
    c = classifier_of(timm.create_model("vit_tiny_patch16_224", **VIT).eval(), (32, 32))
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    found = methods["grad_cam"](c, image, 0, layer="norm")
    assert found.is_blank
    assert "only the class token is looked at" in found.note


def test_every_layer_that_is_offered_gives_a_map_of_its_size():
    c = classifier_of(swin().eval(), (32, 32))
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    for layer, one in list(feature_maps(c).items())[::7]:
        assert methods["grad_cam"](c, image, 0, layer=layer).values.shape == one.size
        with torch.no_grad():
            assert tuple(outputs(c, layer, c.inputs(image[None])).shape) == (1, *one.shape)
