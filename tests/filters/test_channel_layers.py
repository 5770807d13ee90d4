"""Where the channels of a convolution are looked at: its last stage, however the norm is built."""

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from core.data.preprocessing import Preprocessing
from core.filters.channel_layers import channel_layers
from core.filters.fused_statistics import PassingFigures
from core.filters.index import build_index
from core.models.card import ModelCard
from core.models.classifier import Classifier
from core.network.hooks import captured

SIZE, CHANNELS = 12, 6


class NormAct(nn.BatchNorm2d):
    """As timm's: it normalizes in its own forward, and holds a dropout and an activation."""

    def __init__(self, channels, act):
        super().__init__(channels)
        self.drop, self.act = nn.Identity(), act

    def forward(self, x):
        x = F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False)
        return self.act(self.drop(x))


class GroupNormAct(nn.GroupNorm):
    def __init__(self, channels, act):
        super().__init__(2, channels)
        self.drop, self.act = nn.Identity(), act

    def forward(self, x):
        return self.act(self.drop(super().forward(x)))


class Wrapped(nn.Module):
    """A norm inside a module that only passes on what it gives."""

    def __init__(self, channels, act):
        super().__init__()
        self.inside = nn.Sequential(nn.BatchNorm2d(channels), act)

    def forward(self, x):
        return self.inside(x)


class FunctionalNormAct(nn.BatchNorm2d):
    """With an activation that is no layer, and a layer inside that is never run."""

    def __init__(self, channels, act):
        super().__init__(channels)
        self.unused = act

    def forward(self, x):
        return F.relu(super().forward(x))


class Plain(nn.Module):
    def __init__(self, norm, act):
        super().__init__()
        self.conv = nn.Conv2d(3, CHANNELS, 3, padding=1, bias=False)
        self.norm = norm(CHANNELS, act)
        self.head = nn.Linear(CHANNELS, 3)

    def forward(self, x):
        return self.head(self.norm(self.conv(x)).mean((2, 3)))


def lively(module, seed=0):
    torch.manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d | nn.GroupNorm):
            nn.init.normal_(part.weight)
            nn.init.normal_(part.bias)
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
    return module.eval()


@pytest.mark.parametrize("act", [nn.Identity(), nn.ReLU(), nn.SiLU()], ids=lambda act: type(act).__name__)
@pytest.mark.parametrize("norm", [NormAct, GroupNormAct, Wrapped, FunctionalNormAct])
def test_figures_are_taken_where_the_norm_and_its_activation_end(norm, act):
    module = lively(Plain(norm, act))
    (layer,) = channel_layers(module, (SIZE, SIZE), 3)
    assert layer.activated == (norm is FunctionalNormAct or not isinstance(act, nn.Identity))
    preprocessing = Preprocessing((SIZE, SIZE), (0.5,) * 3, (0.25,) * 3)
    classifier = Classifier(module, ModelCard("own", "own", tuple("abc"), preprocessing), torch.device("cpu"))
    pixels = np.random.default_rng(0).integers(0, 256, (9, SIZE, SIZE, 3), np.uint8)
    labels = np.arange(9) % 3
    index = build_index(classifier, lambda rows: pixels[rows], labels, 3, k=4).of("conv")
    with captured(module, ["norm"]) as maps, torch.inference_mode():
        module(classifier.inputs(pixels))
    values = maps["norm"]
    largest = values.amax((2, 3)).T.sort(dim=1, descending=True)
    np.testing.assert_allclose(index.top_values, largest.values[:, :4], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(index.top_rows, largest.indices[:, :4])
    np.testing.assert_allclose(index.mean, values.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(index.std, values.std((0, 2, 3), correction=0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["efficientnet_lite0", "mobilenetv3_small_050", "resnet18"])
def test_every_convolution_of_a_network_of_timm_is_looked_at_behind_its_norm(name):
    module = timm.create_model(name, pretrained=False).eval()
    parts = dict(module.named_modules())
    layers = {layer.name: layer for layer in channel_layers(module, (64, 64), 3)}
    for before, norm in zip(list(parts), list(parts)[1:], strict=False):
        if isinstance(parts[before], nn.Conv2d) and isinstance(parts[norm], nn.BatchNorm2d):
            own = isinstance(getattr(parts[norm], "act", None), nn.Identity)
            assert layers[before].site.startswith(norm if own else ("bn", norm.rpartition(".")[0]))
            assert layers[before].site != before, before


def test_the_norms_of_the_default_network_are_part_of_the_one_pass():
    module = timm.create_model("efficientnet_lite0", pretrained=False).eval()
    sites = [layer.site for layer in channel_layers(module, (64, 64), 3)]
    assert not PassingFigures(module, dict.fromkeys(sites, lambda figures: None))._others


def test_a_block_that_ends_with_a_functional_activation_or_a_pool_is_no_place_of_its_own():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

        def forward(self, x):
            return F.relu(self.norm(self.conv(x)))

    pooled = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.MaxPool2d(2), nn.Dropout()))
    assert [layer.site for layer in channel_layers(nn.Sequential(Block()), (SIZE, SIZE), 3)] == ["0.norm"]
    assert [layer.site for layer in channel_layers(pooled, (SIZE, SIZE), 3)] == ["0"]
