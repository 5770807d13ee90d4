"""A network that flattens with `view` runs, in every analysis; all others keep their channels last."""

import numpy as np
import pytest
import torch
from torch import nn

from core.attribution.methods import methods
from core.compute.memory_layout import best_layout
from core.network.activations import activations
from core.occlusion.occlusion import occlusion_logits
from tests.network.test_feature_maps import classifier_of


class Views(nn.Module):
    """As Captum's `BasicModel_ConvNet` flattens."""

    def __init__(self):
        super().__init__()
        self.conv, self.relu, self.pool = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2)
        self.conv2, self.fc = nn.Conv2d(4, 6, 3), nn.Linear(6 * 5 * 5, 4)

    def forward(self, x):
        x = self.pool(self.relu(self.conv(x)))
        x = self.relu(self.conv2(x))
        return self.fc(x.view(-1, 6 * 5 * 5))


def image():
    return np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)


@pytest.fixture
def views():
    torch.manual_seed(0)
    return classifier_of(Views(), (16, 16))


def test_its_logits_are_its_own(views):
    torch.manual_seed(0)
    plain, inputs = Views().eval(), views.inputs(image()[None])
    assert inputs.is_contiguous()
    with torch.no_grad():
        expected = plain(inputs).numpy()
    np.testing.assert_allclose(views.predict_logits(image()[None]), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", [method.name for method in methods])
def test_every_method_runs(views, method):
    assert np.isfinite(methods[method](views, image(), 1).values).all()


def test_occlusion_gives_what_whole_passes_give(views):
    from core.occlusion.full_forwards import full_forwards

    found = occlusion_logits(views, image(), window=3, stride=1)
    plain = occlusion_logits(views, image(), window=3, stride=1, engine=full_forwards)
    np.testing.assert_allclose(found.logits, plain.logits, rtol=1e-4, atol=1e-5)
    assert activations(views, image(), "conv2").maps.shape == (6, 5, 5)


def test_other_networks_keep_their_channels_last():
    c = classifier_of(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 14 * 14, 4)), (16, 16))
    assert c.inputs(image()[None]).is_contiguous(memory_format=torch.channels_last)


def test_a_network_that_fails_in_another_way_is_not_judged_here():
    class Fails(nn.Module):
        def forward(self, x):
            return x.view(7).sum() if x.shape[1] == 3 else x

    assert best_layout(Fails(), torch.zeros(1, 4, 2, 2)) is torch.channels_last
    assert best_layout(Fails(), torch.zeros(1, 3, 2, 2)) is torch.channels_last
