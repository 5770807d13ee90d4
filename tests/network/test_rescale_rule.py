"""DeepLIFT's multipliers add up for activations and max pools, be they modules, functions or methods."""

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from core.attribution.methods import methods
from core.network.rescale_rule import layers_without_rule, rescaled
from tests.network.test_feature_maps import VIT, classifier_of

ACTIVATIONS = [
    nn.ReLU(True), nn.ReLU6(True), nn.SiLU(), nn.GELU(), nn.Hardswish(), nn.Sigmoid(), nn.LeakyReLU(0.1),
    nn.PReLU(), nn.Softplus(), nn.Tanh(),
]  # fmt: skip
POOLS = [
    nn.MaxPool2d(2), nn.MaxPool2d(3, 2, 1), nn.MaxPool2d(3, 2, ceil_mode=True), nn.AdaptiveMaxPool2d(3),
]  # fmt: skip
FUNCTIONS = {
    "F.relu": F.relu, "relu in place": lambda x: F.relu(x, inplace=True), "relu_": lambda x: x.relu_(),
    "statement": lambda x: (F.relu_(x), x)[1], "method": lambda x: x.sigmoid(), "torch": torch.tanh,
    "clamp": lambda x: x.clamp(0, 2), "gelu": F.gelu, "hardtanh": lambda x: F.hardtanh(x, -0.5, 0.5),
    "max_pool2d": lambda x: F.max_pool2d(x, 3, 2, 1), "torch.max_pool2d": lambda x: torch.max_pool2d(x, 2),
    "adaptive": lambda x: F.adaptive_max_pool2d(x, 3), "keywords": lambda x: F.max_pool2d(x, kernel_size=2),
    "max_pool1d": lambda x: F.max_pool1d(x.flatten(2), 4, 2),
    "MaxPool1d": lambda x: nn.MaxPool1d(3)(x.flatten(2)),
    "max_pool3d": lambda x: F.max_pool3d(x[:, None], (2, 3, 3))[:, 0],
}  # fmt: skip


def check_sum(module, scale=6.0):
    torch.manual_seed(0)
    both = (scale * torch.randn(2, 3, 12, 12)).requires_grad_()
    with rescaled():
        answers = module(both)
        (multipliers,) = torch.autograd.grad(answers[0, 1], both)
    plain = module(both.detach())
    assert torch.allclose(answers, plain, atol=1e-6)
    total = float((multipliers[0] * (both[0] - both[1]).detach()).sum())
    assert total == pytest.approx(float(plain[0, 1] - plain[1, 1]), abs=3e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("pool", POOLS)
def test_modules_add_up(activation, pool):
    """Summation to delta: exactly what DeepLIFT promises, for overlapping windows and ceilings too."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 6, 3), activation, pool, nn.Conv2d(6, 6, 1), type(activation)(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(6, 3),
    ).requires_grad_(False)  # fmt: skip
    check_sum(module)
    assert getattr(activation, "inplace", False) == isinstance(activation, nn.ReLU | nn.ReLU6)


class Calls(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.conv, self.function, self.head = nn.Conv2d(3, 6, 3), function, nn.LazyLinear(3)

    def forward(self, x):
        return self.head(self.function(self.conv(x)).flatten(1))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_add_up(name):
    torch.manual_seed(0)
    module = Calls(FUNCTIONS[name])
    module(torch.zeros(1, 3, 12, 12))
    check_sum(module.requires_grad_(False))


def test_max_pooling_in_one_dimension_as_captum_expects():
    """Captum's lin–maxpool–lin: [0, 0, 0, −8]."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin1, self.pool, self.lin2 = (
                nn.Linear(4, 4, bias=False),
                nn.MaxPool1d(4),
                nn.Linear(1, 1, bias=False),
            )
            self.lin1.weight = nn.Parameter(torch.eye(4))
            self.lin2.weight = nn.Parameter(torch.ones(1, 1))

        def forward(self, x):
            return self.lin2(self.pool(self.lin1(x[:, None])))[:, 0]

    inputs = torch.tensor([[1.0, 2.0, 3.0, 4.0], [-1.0, -2.0, -3.0, 12.0]], requires_grad=True)
    with rescaled():
        (multipliers,) = torch.autograd.grad(Net().requires_grad_(False)(inputs)[0, 0], inputs)
    assert (multipliers[0] * (inputs[0] - inputs[1])).tolist() == [0, 0, 0, -8]


def test_layers_without_a_rule_are_found():
    covered = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.GELU(), nn.MaxPool2d(2), nn.Flatten())
    assert layers_without_rule(covered.eval(), (12, 12), 3) == {}
    vit = timm.create_model("vit_tiny_patch16_224", **VIT).eval()
    found = layers_without_rule(vit, (32, 32), 3)
    assert found["layer norm"] == (
        "blocks.0.norm1",
        "blocks.0.norm2",
        "blocks.1.norm1",
        "blocks.1.norm2",
        "norm",
    )
    assert "attention" in found or {"softmax", "products of activations"} <= set(found)


def test_a_sum_that_is_off_says_so_in_words():
    torch.manual_seed(0)
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    c = classifier_of(timm.create_model("vit_tiny_patch16_224", **VIT).eval(), (32, 32))
    with torch.no_grad():
        for parameter in c.module.parameters():
            parameter.mul_(3)
    found = methods["deeplift"](c, image, 0)
    assert found.completeness_error > 5
    assert "DeepLIFT has no rule for" in found.note
    assert "blocks.0.norm1" in found.note
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.LazyLinear(4))
    module(torch.zeros(1, 3, 32, 32))
    assert methods["deeplift"](classifier_of(module, (32, 32)), image, 0).note == ""
