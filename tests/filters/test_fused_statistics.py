"""Figures made in the pass that makes the maps, against the layers one after the other."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from core.errors import UnknownName
from core.filters.fused_statistics import PassingFigures
from core.filters.map_statistics import figures_of
from core.network.hooks import captured, hooks_left

SIZE = 12


class NormWithActivation(nn.BatchNorm2d):
    """As timm's."""

    def __init__(self, channels, act):
        super().__init__(channels)
        self.act = act

    def forward(self, x):
        return self.act(super().forward(x))


class OwnNorm(nn.BatchNorm2d):
    """One that does something else than its class."""

    def forward(self, x):
        return super().forward(x) * 2


class Skipping(nn.Module):
    def __init__(self, twice=False):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(8)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(8, affine=False)
        self.conv3 = nn.Conv2d(8, 5, 3, groups=1, stride=2)
        self.relu3 = nn.ReLU6()
        self.twice = twice

    def forward(self, x):
        x = self.relu1(self.norm1(self.conv1(x)))
        inside = self.conv2(x)
        y = x + self.norm2(inside)
        if self.twice:
            y = y + inside  # the convolution's own output, which must be as it was
        y = self.relu3(self.conv3(y))
        return y.mean((2, 3))


def ready(module, seed=0):
    torch.manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_()
            part.running_var.uniform_(0.2, 3)
            if part.weight is not None:
                nn.init.normal_(part.weight)
                nn.init.normal_(part.bias)
    return module.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def images(n=3):
    x = torch.randn(n, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    return x.contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def check(module, sites, inputs=None):
    """All figures and the answer are the layers', and nothing stays. Returns what takes one pass."""
    inputs = images() if inputs is None else inputs
    with captured(module, sites) as maps:
        expected = module(inputs)
    found = {}
    figures = PassingFigures(module, {site: lambda f, site=site: found.update({site: f}) for site in sites})
    with figures.read():
        assert hooks_left() > 0
        for _ in range(2):
            torch.testing.assert_close(module(inputs), expected, rtol=1e-5, atol=1e-5, equal_nan=True)
    assert hooks_left() == 0
    assert not any("forward" in part.__dict__ for part in module.modules())
    torch.testing.assert_close(module(inputs), expected, equal_nan=True)
    for site in sites:
        whole = figures_of(maps[site])
        for name in ("largest", "total", "squares", "zeros"):
            one, other = getattr(found[site], name), getattr(whole, name)
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4, equal_nan=True)
        flat = maps[site].flatten(2)
        there = flat.gather(2, found[site].places.long()[..., None])[..., 0]
        torch.testing.assert_close(there, flat.amax(2), rtol=1e-4, atol=1e-4, equal_nan=True)
    return {site for site in sites if site not in figures._others}


def test_batch_norm_rectifiers_and_skip_connections_take_one_pass():
    assert check(ready(Skipping()), ["relu1", "norm2", "relu3"]) == {"relu1", "norm2", "relu3"}


def test_what_somebody_else_reads_stays_as_it_is():
    assert check(ready(Skipping(twice=True)), ["relu1", "norm2", "relu3"]) == {"relu1", "relu3"}


def test_the_batch_norm_before_a_rectifier_can_be_the_site():
    assert check(ready(Skipping()), ["norm1", "conv2"]) == {"norm1"}


@pytest.mark.parametrize("seed", range(8))
def test_random_chains(seed):
    chance = torch.Generator().manual_seed(seed)

    def one_of(*choices):
        return choices[int(torch.randint(len(choices), (), generator=chance))]

    layers, sites, channels = [], [], 3
    for _ in range(4):
        width = one_of(1, 4, 7, 16)
        layers.append(nn.Conv2d(channels, width, one_of(1, 3), padding=one_of(0, 1), stride=one_of(1, 1, 2)))
        between = one_of(None, nn.BatchNorm2d(width), OwnNorm(width), nn.Dropout(0.5))
        layers += [] if between is None else [between]
        layers.append(one_of(nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6(), nn.GELU(), nn.LeakyReLU(0.1)))
        sites.append(str(len(layers) - 1))
        channels = width
    check(ready(nn.Sequential(*layers), seed), sites)


@pytest.mark.parametrize("act", [nn.ReLU(), nn.ReLU6(), nn.SiLU()])
def test_a_batch_norm_with_its_activation_inside(act):
    module = ready(nn.Sequential(nn.Conv2d(3, 6, 3), NormWithActivation(6, act), nn.Conv2d(6, 4, 1)))
    assert check(module, ["1.act"]) == (set() if isinstance(act, nn.SiLU) else {"1.act"})


def test_a_layer_of_somebody_elses_making_is_run_as_it_is():
    module = ready(nn.Sequential(nn.Conv2d(3, 6, 3), OwnNorm(6), nn.ReLU()))
    check(module, ["2"])


def test_a_layer_with_code_of_its_own_keeps_it():
    module = ready(nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU()))
    own = module[1].forward = lambda x: x.clamp(max=1)
    with torch.inference_mode():
        expected, found = module(images()), []
        with PassingFigures(module, {"1": found.append}).read():
            assert torch.equal(module(images()), expected)
    assert module[1].forward is own
    assert torch.equal(found[0].largest, expected.amax((2, 3)))


def test_a_layer_that_somebody_watches_is_run_as_it_is():
    module = ready(nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU()))
    module[1].register_forward_hook(lambda part, inputs, output: output + 1)
    assert check(module, ["1", "2"]) == set()


def test_a_rectifier_that_is_used_twice_is_left_alone():
    relu = nn.ReLU()
    module = ready(nn.Sequential(nn.Conv2d(3, 6, 3), relu, nn.Conv2d(6, 6, 3), relu))
    assert "1" not in check(module, ["0", "2"])


def test_code_that_decides_by_what_it_computes():
    class Deciding(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.relu = nn.Conv2d(3, 4, 3), nn.ReLU()

        def forward(self, x):
            x = self.conv(x)
            return self.relu(x) if x.sum() > 0 else self.relu(-x)

    assert check(ready(Deciding()), ["relu"]) == set()


def test_numbers_that_are_none_stay_so():
    inputs = images()
    inputs[1, 0, 4, 4] = torch.nan
    inputs[2, 1, 2, 2] = torch.inf
    check(ready(Skipping()), ["relu1", "norm2", "relu3"], inputs)


def test_maps_in_another_order_are_made_by_the_layers():
    class Turned(nn.Conv2d):
        def forward(self, x):
            return super().forward(x).contiguous(memory_format=torch.contiguous_format)

    check(ready(nn.Sequential(Turned(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU())), ["2"])


def test_a_layer_that_is_not_there_is_named():
    figures = PassingFigures(ready(Skipping()), {"conv9": lambda figures: None})
    with pytest.raises(UnknownName, match="conv9"), figures.read():
        pass
    assert hooks_left() == 0


def test_functions_are_followed_no_further():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.relu = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()

        def forward(self, x):
            return self.norm(F.relu(self.conv(x)))

    assert check(ready(Functional()), ["norm"]) == set()
