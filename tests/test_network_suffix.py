"""The rest of a network, against the whole network with the layer's output replaced."""

import pytest
import torch
import torchvision
from torch import nn

from core.channel_layers import channel_layers
from core.hooks import altered, hooks_left
from core.models import models
from core.network_suffix import cut_behind


def network(name):
    torch.manual_seed(0)
    if name == "torchvision":
        return torchvision.models.resnet18(num_classes=4).eval()
    settings = {"speed_cnn": {"widths": "8,8"}, "wide_cnn": {"width": 1 / 64}, "resnet18": {"width": 1 / 16}}[
        name
    ]
    return models[name](channels=3, number_of_classes=4, input_size=(32, 32), **settings).eval()


@pytest.mark.parametrize("name", ["speed_cnn", "wide_cnn", "resnet18", "torchvision"])
def test_the_rest_gives_what_the_whole_gives_whatever_the_layer(name):
    module = network(name)
    inputs = torch.randn(3, 3, 32, 32)
    for layer in channel_layers(module, (32, 32), 3)[::2]:
        with torch.no_grad():
            suffix = cut_behind(module, layer.site, inputs)
            assert suffix is not None, layer.site
            maps = suffix.begin(inputs)
            for channel in (0, layer.channels - 1):

                def off(output, channel=channel):
                    output[:, channel] = 0
                    return output

                found = suffix.go_on(off(maps.clone()))
                with altered(module, {layer.site: off}):
                    expected = module(inputs)
                torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert hooks_left() == 0


class Deciding(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.head = nn.Linear(2, 2)

    def forward(self, x):
        x = self.conv(x).amax((2, 3))
        return self.head(x if x.sum() > 0 else -x)


class Overwriting(nn.Module):
    """What goes around the layer is overwritten behind it: it cannot be kept from one run to the next."""

    def __init__(self):
        super().__init__()
        self.before, self.conv, self.head = nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 1), nn.Linear(2, 2)

    def forward(self, x):
        around = self.before(x)
        y = self.conv(around)
        around.add_(y)
        return self.head(around.amax((2, 3)))


@pytest.mark.parametrize("module", [Deciding(), Overwriting()])
def test_a_network_that_cannot_be_cut_is_left_whole(module):
    with torch.no_grad():
        assert cut_behind(module.eval(), "conv", torch.randn(2, 1, 8, 8)) is None
