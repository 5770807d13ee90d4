"""Receptive fields against gradients: with positive weights, whatever a place depends on has a gradient."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from core.errors import UnknownName
from core.models.architectures import models
from core.network.receptive_field import (
    Box,
    UnknownReceptiveField,
    box_or_measure,
    gradient_box,
    receptive_field,
    receptive_fields,
)
from core.network.trace import BadNetwork


@pytest.fixture
def averaging(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let max pools average: the same geometry, but a gradient to every pixel of a window."""

    def average(x: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
                ceil_mode: bool = False, return_indices: bool = False) -> Tensor:  # fmt: skip
        assert dilation in (1, (1, 1))
        return F.avg_pool2d(x, kernel_size, stride or kernel_size, padding, ceil_mode)

    monkeypatch.setattr(F, "max_pool2d", average)


def open_up(module: nn.Module) -> nn.Module:
    """Positive weights that average, so that every activation lies in the open part of its nonlinearity."""
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        values = torch.rand(parameter.shape, generator=generator) + 0.5
        parameter.data = values / (parameter[0].numel() if parameter.ndim > 1 else 1)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.zero_()
            part.running_var.fill_(1)
            part.bias.data.fill_(0.1)
            part.weight.data.fill_(0.9)
    return module.double().eval()


def outputs_by_layer(module: nn.Module, image: Tensor) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(part: nn.Module, inputs: object, output: Tensor) -> None:
            found[name] = output

        return hook

    handles = [part.register_forward_hook(keep(name)) for name, part in module.named_modules()]
    module(image)
    for handle in handles:
        handle.remove()
    return found


def box_of_gradient(output: Tensor, image: Tensor, y: int, x: int) -> Box:
    (gradient,) = torch.autograd.grad(output[0, :, y, x].sum(), image, retain_graph=True)
    rows, columns = torch.nonzero(gradient[0].abs().sum(0), as_tuple=True)
    return Box(int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1)


def compare(module: nn.Module, size: tuple[int, int], channels: int = 3, checks: int = 60) -> int:
    """Hold random places of all layers against their gradient; how many were held."""
    open_up(module)
    image = (torch.rand(1, channels, *size, dtype=torch.float64) + 0.1).requires_grad_()
    outputs = outputs_by_layer(module, image)
    fields = receptive_fields(module, size, channels)
    assert set(fields) >= set(outputs), "a layer has no receptive field"
    pick = random.Random(0)
    maps = [name for name, output in outputs.items() if output.ndim == 4]
    if len(maps) > checks:
        maps = pick.sample(maps, checks)
    for name in maps:
        output, field = outputs[name], fields[name]
        assert not isinstance(field, Exception), field
        height, width = output.shape[2:]
        assert field.map_size == (height, width)
        for y, x in {(0, 0), (pick.randrange(height), pick.randrange(width)), (height - 1, width // 2)}:
            expected, found = box_of_gradient(output, image, y, x), field.box(y, x)
            assert (found.top, found.left, found.bottom, found.right) == (
                expected.top, expected.left, expected.bottom, expected.right
            ), (name, y, x)  # fmt: skip
    return len(maps)


OURS: dict[str, tuple[dict[str, Any], tuple[int, int]]] = {
    "wide_cnn": ({"width": 1 / 64}, (32, 32)),
    "small_cnn": ({"widths": "4,6,8"}, (61, 47)),
    "vgg": ({"width": 1 / 16, "depth": "19"}, (64, 50)),
    "resnet18": ({"width": 1 / 16}, (40, 33)),
    "speed_cnn": ({"widths": "8,12,12"}, (32, 32)),
}


@pytest.mark.parametrize("name", OURS)
@pytest.mark.usefixtures("averaging")
def test_our_networks_agree_with_gradients_at_every_layer(name: str) -> None:
    settings, size = OURS[name]
    module = models[name](channels=3, number_of_classes=3, input_size=size, **settings)
    assert compare(module, size) >= 9


def lite0() -> nn.Module:
    return timm.create_model("tf_efficientnet_lite0")


PUBLISHED = {
    "resnet18": (torchvision.models.resnet18, (97, 128)),
    "efficientnet_lite0": (lite0, (96, 75)),  # pads "same": unevenly, with an operation of its own
    "densenet121": (torchvision.models.densenet121, (96, 96)),
    "mobilenet_v3_small": (torchvision.models.mobilenet_v3_small, (96, 96)),  # squeeze-excite
    "convnext_atto": (lambda: timm.create_model("convnext_atto"), (96, 96)),  # channels last, layer norm
}


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.usefixtures("averaging")
def test_published_networks_agree_with_gradients(name: str) -> None:
    make, size = PUBLISHED[name]
    assert compare(make(), size, checks=25) == 25


class Mixture(nn.Module):
    """Everything that convolutional networks do to places, and that the others above do not."""

    def __init__(self) -> None:
        super().__init__()
        self.dilated = nn.Conv2d(3, 4, 3, dilation=(3, 2), padding=(2, 0))
        self.grouped = nn.Conv2d(4, 4, (2, 3), stride=(2, 1), groups=2)
        self.transposed = nn.ConvTranspose2d(4, 4, 3, stride=2, padding=1, output_padding=1)
        self.bilinear = nn.Upsample(scale_factor=1.5, mode="bilinear")
        self.nearest = nn.Upsample(scale_factor=2)
        self.reflect = nn.ReflectionPad2d((1, 2, 3, 1))
        self.adaptive = nn.AdaptiveAvgPool2d((7, 5))
        self.shuffle = nn.PixelShuffle(2)
        self.branch = nn.Conv2d(4, 4, 5, padding=2)
        self.last = nn.Conv2d(4, 4, (5, 4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.transposed(self.grouped(self.dilated(x)))
        x = self.nearest(self.bilinear(x)[:, :, 2:, ::2])
        x = torch.cat([self.reflect(x), self.reflect(self.branch(x))], dim=1)
        x = self.shuffle(torch.cat([x, x], 1))
        return self.adaptive(self.last(F.pad(x, (1, 2, 3, 1))))


@pytest.mark.usefixtures("averaging")
def test_dilation_groups_transposed_resizing_padding_slices_and_branches() -> None:
    assert compare(Mixture(), (26, 31)) == 11


def test_size_and_jump_are_the_textbook_figures_and_clipping_is_said() -> None:
    module = torchvision.models.resnet18()
    field = receptive_field(module, "layer4", (224, 224))
    assert field.size == (435, 435)
    assert field.jump == (32, 32)
    assert field.box(0, 0).clipped
    first = receptive_field(module, "conv1", (224, 224))
    assert first.box(0, 0) == Box(0, 0, 4, 4, clipped=True)
    assert first.box(10, 20) == Box(17, 37, 24, 44, clipped=False)


def test_linear_layers_and_global_pools_see_the_whole_image() -> None:
    fields = receptive_fields(torchvision.models.vgg11(), (64, 64))
    field = fields["classifier.0"]
    assert not isinstance(field, Exception)
    assert field.is_whole_image
    assert field.jump is None
    assert field.box(0, 0) == Box(0, 0, 64, 64)


def test_padding_alone_is_seen_by_a_corner_of_a_padded_map() -> None:
    module = nn.Sequential(nn.Conv2d(1, 1, 1, padding=2))
    with pytest.raises(UnknownReceptiveField, match="sees only padding"):
        receptive_field(module, "0", (5, 5), 1).box(0, 3)
    with pytest.raises(UnknownReceptiveField, match=r"row from 0 to 8 and a column from 0 to 8"):
        receptive_field(module, "0", (5, 5), 1).box(9, 0)


class Sorting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.sort(dim=2).values)


def test_what_cannot_be_followed_is_named_and_measured_instead() -> None:
    torch.manual_seed(0)
    module, image = Sorting().eval(), torch.rand(1, 1, 8, 8)
    with pytest.raises(UnknownReceptiveField, match=r"'conv' cannot be worked out.*'sort'"):
        receptive_field(module, "conv", (8, 8), 1)
    box, reason = box_or_measure(module, "conv", image, 1, 2)
    assert "sort" in reason
    assert (box.left, box.right) == (2, 5)
    exact, reason = box_or_measure(nn.Sequential(nn.Conv2d(1, 2, 3)), "0", image, 1, 2)
    assert (exact, reason) == (Box(1, 2, 4, 5), "")


def test_measuring_refuses_what_has_no_places() -> None:
    module, image = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten()), torch.rand(1, 1, 8, 8)
    with pytest.raises(UnknownReceptiveField, match="not a map"):
        gradient_box(module, "1", image, 0, 0)
    with pytest.raises(UnknownName, match="no layer named '7'"):
        gradient_box(module, "7", image, 0, 0)


def test_a_network_that_refuses_the_image_says_so() -> None:
    with pytest.raises(BadNetwork, match=r"takes no image of 1 × 32 × 32"):
        receptive_fields(torchvision.models.resnet18(), (32, 32), channels=1)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_a_norm_over_the_channels_does_not_silence_what_is_measured():
    """The sum of what it gives is the same whatever comes in: as a plain sum its gradient would be zero."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(1, 8), nn.Conv2d(8, 8, 1), ChannelNorm()
    )
    box = gradient_box(module, "3", torch.rand(1, 3, 12, 12), 5, 5)
    assert (box.height, box.width) == (12, 12)  # the group norm looks at all places


class ChannelNorm(nn.Module):
    def forward(self, x):
        return nn.functional.layer_norm(x.permute(0, 2, 3, 1), x.shape[1:2]).permute(0, 3, 1, 2)
