"""Summaries: parameters by hand, MACs as PyTorch's own counter counts them."""

from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from core.models.architectures import models
from core.network.summary import short, summarize

NETWORKS: dict[str, tuple[Any, tuple[int, int]]] = {
    "resnet18": (torchvision.models.resnet18, (64, 80)),
    "densenet121": (torchvision.models.densenet121, (64, 64)),
    "mobilenet_v3_small": (torchvision.models.mobilenet_v3_small, (64, 64)),
    "vit_b_16": (lambda: torchvision.models.vit_b_16(image_size=64), (64, 64)),
    "timm/tf_efficientnet_lite0": (lambda: timm.create_model("tf_efficientnet_lite0"), (64, 64)),
    "timm/convnext_atto": (lambda: timm.create_model("convnext_atto"), (64, 64)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_macs_and_parameters_of_published_networks(name: str) -> None:
    make, size = NETWORKS[name]
    module = make().eval()
    summary = summarize(module, size)
    assert summary.parameters == sum(p.numel() for p in module.parameters())
    # The counter does not know every processor's own attention, but the products that it is made of.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        module(torch.zeros(1, 3, *size))
    assert 2 * summary.macs == counter.get_total_flops()
    for layer in summary.layers:
        if layer.name:
            path = f"{type(module).__name__}.{layer.name}"
            own = sum(counter.get_flop_counts().get(path, {}).values())
            children = any(True for _ in module.get_submodule(layer.name).children())
            assert children or 2 * layer.macs == own, layer.name


def test_the_wide_cnn_is_the_one_of_the_report() -> None:
    module = models["wide_cnn"](channels=3, number_of_classes=10, input_size=(32, 32))
    summary = summarize(module, (32, 32))
    shapes = {layer.name: layer.output_shape for layer in summary.layers}
    assert [shapes[f"pool{i}"] for i in (1, 2, 3, 4)] == [
        (256, 14, 14), (1024, 6, 6), (2048, 2, 2), (2048, 1, 1)
    ]  # fmt: skip
    by_hand = {
        "conv1": 5 * 5 * 3 * 256 + 256,
        "conv2": 9 * 256 * 1024 + 1024,
        "conv3": 9 * 1024 * 2048 + 2048,
        "conv4": 2048 * 2048 + 2048,
        "hidden1": 2048 * 1024 + 1024,
        "hidden2": 1024 * 256 + 256,
        "output": 256 * 10 + 10,
    }
    assert {layer.name: layer.parameters for layer in summary.layers if layer.parameters} == by_hand
    assert round(summary.macs / 1e6) == 676
    assert round(summary.parameters / 1e6) == 28


class Odd(nn.Module):
    """Grouped, depthwise, transposed, dilated, a layer run twice, a parameter of its own, one unused."""

    def __init__(self) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.grouped = nn.Conv2d(6, 4, (1, 3), groups=2, dilation=(1, 2), bias=False)
        self.transposed = nn.ConvTranspose2d(4, 6, 4, stride=2)
        self.twice = nn.Conv2d(6, 6, 1)
        self.pool = nn.AdaptiveAvgPool2d((2, 3))
        self.scale = nn.Parameter(torch.ones(1, 6, 1, 1), requires_grad=False)
        self.unused = nn.Linear(5, 5)
        self.linear = nn.Linear(36, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.transposed(self.grouped(self.depthwise(x))) * self.scale
        return self.linear(self.pool(self.twice(self.twice(x))).flatten(1))


def test_every_kind_of_convolution_by_hand() -> None:
    module = Odd()
    module.depthwise.requires_grad_(False)
    summary = summarize(module, (9, 10), channels=6)
    layers = {layer.name: layer for layer in summary.layers}
    assert [layer.name for layer in summary.layers] == [
        "depthwise", "grouped", "transposed", "twice", "pool", "linear", "", "unused"
    ]  # fmt: skip
    assert layers["depthwise"].macs == 9 * 10 * 6 * 9
    assert layers["grouped"].output_shape == (4, 9, 6)
    assert layers["grouped"].macs == 9 * 6 * 4 * 3 * 3
    assert layers["transposed"].macs == 9 * 6 * 4 * 6 * 16
    assert layers["twice"].calls == 2
    assert layers["twice"].macs == 2 * 20 * 14 * 36
    assert layers["twice"].parameters == 6 * 6 + 6
    assert layers["linear"].macs == 36 * 3
    assert layers["linear"].whole_image
    assert layers[""].frozen == 6
    assert layers["unused"].output_shape is None
    assert summary.frozen == 6 * 9 + 6 + 6
    assert layers["grouped"].receptive_field == (3, 7)
    assert layers["grouped"].jump == (1, 1)
    with FlopCounterMode(display=False) as counter:
        module(torch.zeros(1, 6, 9, 10))
    assert counter.get_total_flops() == 2 * summary.macs


def test_shared_parameters_count_once_and_the_network_is_left_alone() -> None:
    linear = nn.Linear(4, 4)
    twin = nn.Linear(4, 4)
    twin.weight = linear.weight
    module = nn.Sequential(nn.Flatten(), linear, twin).train()
    summary = summarize(module, (2, 2), channels=1)
    assert [layer.parameters for layer in summary.layers] == [0, 20, 4]
    assert module.training
    assert "forward" not in vars(module[1])
    assert linear.weight.device.type == "cpu"


def test_counts_for_people() -> None:
    assert [short(n) for n in (7, 1234, 27_813_634, 676e6, 4.1e9)] == [
        "7",
        "1.2 k",
        "27.8 M",
        "676 M",
        "4.1 G",
    ]
