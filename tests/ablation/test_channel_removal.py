"""One channel off by subtraction, against the whole network with it replaced, on random networks."""

import random

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from core.ablation.channel_removal import _padding_around, channel_removal
from core.filters.channel_layers import NoConvolution, channel_layers, layers_of
from core.models.architectures import models
from core.models.catalogue import entries, load
from core.models.efficientnet_lite0 import BatchNormAct2d, EfficientNetLite0
from core.network.hooks import altered, hooks_left

SIZE, CLASSES = 18, 5


class RandomNetwork(nn.Module):
    """Convolutions with every setting there is, skip connections, pools, norms and several kinds of ends."""

    def __init__(self, seed):
        super().__init__()
        draw = random.Random(seed)
        channels, size, blocks = 3, SIZE, []
        for _ in range(draw.randint(2, 4)):
            out, side = draw.choice([4, 6, 8]), draw.choice([1, 2, 3, 5])
            groups = draw.choice([1, 1, 1, 2]) if channels % 2 == 0 and out % 2 == 0 else 1
            if draw.random() < 0.2 and size > 6:
                out = groups = channels  # depthwise
            padding = draw.choice([0, 1, side // 2]) if size > 6 else side // 2
            mode = draw.choice(["zeros", "zeros", "reflect", "replicate", "circular"])
            dilation = draw.choice([1, 1, 2]) if size > 10 else 1
            stride = draw.choice([1, 1, 2]) if size > 8 else 1
            conv = nn.Conv2d(
                channels, out, side, stride, padding, dilation, groups, draw.random() < 0.7, mode
            )  # fmt: skip
            parts = [conv]
            if draw.random() < 0.4:
                parts.append(nn.BatchNorm2d(out))
            active = draw.choice(
                [nn.ReLU(), nn.ReLU(inplace=True), nn.GELU(), nn.LeakyReLU(), nn.PReLU(out), nn.Identity()]
            )
            parts.append(active)
            size = (size + 2 * padding - dilation * (side - 1) - 1) // stride + 1
            if size > 5 and draw.random() < 0.5:
                pool = draw.choice(
                    [nn.MaxPool2d(2), nn.AvgPool2d(3, 2, 1), nn.MaxPool2d(3, 2, ceil_mode=True)]
                )
                parts.append(pool)
                size = pool(torch.zeros(1, 1, size, size)).shape[-1]
            if draw.random() < 0.3:
                parts.append(nn.Dropout2d(0.5))
            if draw.random() < 0.2:
                parts.append(nn.BatchNorm2d(out))  # behind the activation: what is off is no longer 0
            blocks.append(nn.Sequential(*parts))
            channels = out
        self.blocks = nn.ModuleList(blocks)
        self.skips = [draw.choice(["", "", "+", "+=", "cat"]) for _ in blocks]
        self.around = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1) if skip in ("+", "+=") else
            nn.Conv2d(2 * channels, channels, 1) if skip == "cat" else nn.Identity()
            for skip, channels in zip(self.skips, [b[0].out_channels for b in blocks], strict=True)
        )  # fmt: skip
        self.end = draw.choice(["mean", "max", "flatten", "hidden"])
        features = channels * size * size if self.end in ("flatten", "hidden") else channels
        self.head = (
            nn.Sequential(nn.Linear(features, 7), nn.ReLU(), nn.Linear(7, CLASSES))
            if self.end == "hidden" else nn.Linear(features, CLASSES)
        )  # fmt: skip

    def forward(self, x):
        for block, skip, around in zip(self.blocks, self.skips, self.around, strict=True):
            x = block(x)
            if skip == "+":
                x = F.relu(around(x) + x)
            elif skip == "+=":
                y = around(x)
                y += x
                x = F.relu(y, inplace=True)
            elif skip == "cat":
                x = around(torch.cat([x, x.flip(2)], dim=1))
        if self.end == "mean":
            return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))
        if self.end == "max":
            return self.head(x.amax((2, 3)))
        return self.head(torch.flatten(x, 1))


def settled(module):
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.bias, 0, 0.3)
            part.running_mean.normal_(0, 0.3)
            part.running_var.uniform_(0.5, 2)
    return module.eval().requires_grad_(False)


def furthest(module, removal, site, inputs, instead=0.0):
    """The largest difference to running everything, as a share of the largest logit; and pairs left out."""
    return furthest_of(module, removal, site, inputs, range(removal.channels), instead)


def furthest_of(module, removal, site, inputs, channels, instead=0.0):
    """The same for some of the channels."""
    with torch.inference_mode():
        expected = module(inputs)
        base = removal.begin(inputs, instead)
        apart = float((base - expected).abs().max())
        found = base.repeat(removal.channels, 1, 1)
        for image, channel, logits in removal.each(channels):
            found[channel, image] = logits
        for c in channels:

            def off(output, c=c):
                output[:, c] = instead if isinstance(instead, float) else instead[:, c]
                return output

            with altered(module, {site: off}):
                apart = max(apart, float((found[c] - module(inputs)).abs().max()))
    return apart / max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize("seed", range(24))
def test_a_random_network_answers_as_if_it_were_run_whole(seed):
    torch.manual_seed(seed)
    module = settled(RandomNetwork(seed))
    inputs = torch.randn(3, 3, SIZE, SIZE)
    cut = 0
    for layer in channel_layers(module, (SIZE, SIZE), 3):
        removal = channel_removal(module, layer.site, inputs[:2])
        if removal is not None:
            cut += 1
            assert furthest(module, removal, layer.site, inputs) < 1e-5, (layer.name, removal.engine)
    assert cut  # most layers of most networks can be cut
    assert hooks_left() == 0


@pytest.mark.parametrize(
    ("name", "settings"),
    [("wide_cnn", {"width": 1 / 32}), ("resnet18", {"width": 1 / 16}), ("speed_cnn", {"widths": "8,8"})],
)
def test_the_projects_own_networks_are_cut_at_every_layer(name, settings):
    torch.manual_seed(0)
    module = settled(models[name](channels=3, number_of_classes=4, input_size=(32, 32), **settings))
    inputs = torch.randn(3, 3, 32, 32)
    for layer in channel_layers(module, (32, 32), 3)[::3]:
        removal = channel_removal(module, layer.site, inputs)
        assert "share subtracted" in removal.engine
        assert furthest(module, removal, layer.site, inputs) < 1e-5


SHIPPED = [entry.name for entry in entries() if entry.kind == "shipped"]


@pytest.mark.parametrize("name", [pytest.param("efficientnet_lite0", marks=pytest.mark.all), *SHIPPED])
def test_every_shipped_network_is_cut_at_every_layer(name):
    """Against hooks that put zeros in a channel's place, for some channels of each layer."""
    if name == "efficientnet_lite0":
        torch.manual_seed(0)
        module, shape = settled(EfficientNetLite0()), (3, 64, 64)
        layers = channel_layers(module, shape[1:], 3)
    else:
        classifier = load(name)
        module, card = classifier.module, classifier.card.preprocessing
        shape = (card.channels, *card.input_size)
        try:
            layers = layers_of(classifier)
        except NoConvolution:
            pytest.skip("a network without channels")
    inputs = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    for layer in layers:
        removal = channel_removal(module, layer.site, inputs)
        assert removal is not None, layer.site
        assert removal.channels == layer.channels
        assert "share subtracted" in removal.engine
        some = sorted({0, 1, layer.channels // 2, layer.channels - 1})
        assert furthest_of(module, removal, layer.site, inputs, some) <= 1e-5, layer.site


@pytest.mark.parametrize("activation", [nn.ReLU(inplace=True), nn.SiLU(), nn.Softmax(dim=1)])
def test_a_batch_norm_that_holds_its_activation_is_cut_behind_it_or_left_whole(activation):
    torch.manual_seed(0)
    norm = BatchNormAct2d(6)
    norm.act = activation
    module = settled(
        nn.Sequential(
            nn.Conv2d(3, 6, 3),
            norm,
            nn.Conv2d(6, 4, 3),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4, 3),
        )
    )
    inputs = torch.randn(3, 3, 9, 9)
    removal = channel_removal(module, "1.act", inputs)
    assert removal is not None
    assert furthest(module, removal, "1.act", inputs) <= 1e-5
    before = channel_removal(module, "0", inputs)
    if isinstance(activation, nn.Softmax):  # one channel moves all others: the norm is no step of channels
        assert before is None or "run for each channel" in before.engine
    if before is not None:
        assert furthest(module, before, "0", inputs) <= 1e-5


def test_what_stands_in_a_channels_place_may_be_anything():
    torch.manual_seed(0)
    module = settled(torchvision.models.shufflenet_v2_x0_5(num_classes=4))
    inputs, site = torch.randn(2, 3, 64, 64), "stage2.0.branch2.1"
    removal = channel_removal(module, site, inputs)
    shape = (24, 16, 16)
    for instead in (torch.randn(1, *shape), torch.randn(2, *shape)):
        assert furthest(module, removal, site, inputs, instead) < 1e-5


def test_the_last_layer_has_a_closed_form():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
    )
    module.eval()
    removal = channel_removal(module, "1", torch.randn(2, 3, 9, 9))
    assert removal.engine.startswith("closed form")
    assert furthest(module, removal, "1", torch.randn(6, 3, 9, 9)) < 1e-6


def test_a_channel_that_is_silent_on_an_image_is_left_out():
    module = nn.Sequential(nn.Conv2d(1, 3, 1), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)).eval()
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([1.0, 0.0, -1.0])[:, None, None, None])
        module[0].bias.copy_(torch.tensor([0.0, -1.0, 0.0]))
    removal = channel_removal(module, "1", torch.ones(1, 1, 2, 2))
    removal.begin(torch.stack([torch.ones(1, 2, 2), -torch.ones(1, 2, 2)]))
    pairs = [(int(i), int(c)) for images, channels, _ in removal.each() for i, c in zip(images, channels)]  # noqa: B905
    assert sorted(pairs) == [(0, 0), (1, 2)]


def test_blocks_of_any_size_give_the_same():
    torch.manual_seed(0)
    module = settled(models["wide_cnn"](channels=3, number_of_classes=4, input_size=(32, 32), width=1 / 64))
    inputs = torch.randn(5, 3, 32, 32)
    removal = channel_removal(module, "activation2", inputs[:2])
    for together in (1, 3, 1000):
        removal._together = together
        assert furthest(module, removal, "activation2", inputs) < 1e-5


class Deciding(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.head = nn.Linear(2, 2)

    def forward(self, x):
        x = self.conv(x).amax((2, 3))
        return self.head(x if x.sum() > 0 else -x)


class Overwriting(nn.Module):
    """What goes around the layer is overwritten behind it, and used as if it were not."""

    def __init__(self):
        super().__init__()
        self.before, self.conv, self.head = nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 1), nn.Linear(2, 2)

    def forward(self, x):
        around = self.before(x)
        y = self.conv(around)
        around.add_(y)
        return self.head(around.amax((2, 3)))


class OverTheBatch(nn.Module):
    """What one image gets depends on the others."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 2, 3), nn.Linear(2, 2)

    def forward(self, x):
        x = self.conv(x).amax((2, 3))
        return self.head(x - x.mean(0))


@pytest.mark.parametrize("module", [Deciding(), Overwriting(), OverTheBatch()])
def test_a_network_that_cannot_be_cut_is_left_whole(module):
    assert channel_removal(module.eval(), "conv", torch.randn(2, 1, 8, 8)) is None


@pytest.mark.parametrize(("padding", "kernel"), [("same", (4, 3)), ("valid", 3), ((2, 1), 3), (0, 1)])
def test_padding_by_hand_is_that_of_the_layer(padding, kernel):
    conv = torch.nn.Conv2d(1, 2, kernel, padding=padding, dilation=(1, 2))
    image = torch.randn(1, 1, 9, 8)
    padded = torch.nn.functional.pad(image, _padding_around(conv))
    expected = torch.nn.functional.conv2d(padded, conv.weight, conv.bias, dilation=conv.dilation)
    torch.testing.assert_close(conv(image), expected)
