"""Rates against torch's schedulers, Muon's step against an SVD, Lookahead against its formula."""

import pytest
import torch
from torch import nn

from core.training.optimizers import (
    Lookahead,
    Muon,
    gradient_norm,
    make_optimizer,
    orthogonal,
    rate_factor,
    set_rate_factor,
)
from core.training.training_settings import OPTIMIZERS

STEPS = 40


def rates_of(make):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    scheduler = make(optimizer)
    rates = []
    for _ in range(STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def our_rates(schedule):
    return [0.5 * rate_factor(schedule, i / STEPS) for i in range(STEPS)]


def test_schedules_are_torchs():
    lr = torch.optim.lr_scheduler
    assert our_rates("cosine") == pytest.approx(rates_of(lambda o: lr.CosineAnnealingLR(o, STEPS)))
    linear = rates_of(lambda o: lr.LinearLR(o, 1.0, 1e-12, total_iters=STEPS))
    assert our_rates("linear") == pytest.approx(linear, abs=1e-9)
    assert our_rates("constant") == [0.5] * STEPS


def test_one_cycle_is_torchs_between_its_corners():
    cycle = rates_of(
        lambda o: torch.optim.lr_scheduler.OneCycleLR(
            o, 0.5, total_steps=STEPS + 1, pct_start=(0.3 * STEPS + 1) / (STEPS + 1), final_div_factor=1e9,
            cycle_momentum=False,
        )
    )  # fmt: skip
    assert our_rates("one_cycle") == pytest.approx(cycle, abs=1e-6)


def test_the_factor_reaches_every_group():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(16, 2))
    for name in OPTIMIZERS:
        optimizer = make_optimizer(network, name, learning_rate=0.1, momentum=0.9, weight_decay=0.01)
        full = [group["lr"] for group in optimizer.param_groups]
        set_rate_factor(optimizer, 0.25)
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([v / 4 for v in full])


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_a_step_is_torchs(name):
    torch.manual_seed(0)
    ours, theirs = nn.Linear(5, 3), nn.Linear(5, 3)
    theirs.load_state_dict(ours.state_dict())
    mine = make_optimizer(ours, name, learning_rate=0.1, momentum=0.9, weight_decay=0.0)
    kinds = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
        "adam": lambda p: torch.optim.Adam(p, lr=0.1),
        "adamw": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.0),
    }
    other = kinds[name](theirs.parameters())
    x = torch.randn(8, 5)
    for network, optimizer in ((ours, mine), (theirs, other)):
        for _ in range(3):
            optimizer.zero_grad()
            network(x).square().sum().backward()
            optimizer.step()
    assert torch.allclose(ours.weight, theirs.weight, atol=1e-6)


def test_biases_and_norms_are_not_decayed():
    network = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    optimizer = make_optimizer(network, "adamw", learning_rate=0.1, momentum=0.9, weight_decay=0.5)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimizer.step()
    for name, parameter in network.named_parameters():
        expected = 0.95 if name == "0.weight" else 1.0
        assert torch.allclose(parameter, before[name] * expected), name


@pytest.mark.parametrize("shape", [(6, 20), (20, 6), (8, 8)])
def test_orthogonal_keeps_directions_and_evens_lengths(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, _, vt = torch.linalg.svd(matrix, full_matrices=False)
    values = (u.T @ orthogonal(matrix, rounds=5) @ vt.T).diagonal()
    off = u.T @ orthogonal(matrix, rounds=5) @ vt.T - values.diag()
    assert float(off.abs().max()) < 1e-4
    assert float(values.min()) > 0.5
    assert float(values.max()) < 1.4


def test_lookahead_pulls_every_fifth_step_and_ends_on_the_average():
    network = nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(0.0)
    slow = Lookahead(network)
    network.weight.data.fill_(1.0)
    slow.step(network, 0.5, 4)
    assert float(network.weight) == 1.0
    slow.step(network, 0.5, 5)
    decay = 0.95**5 * 0.5**3
    assert float(network.weight) == pytest.approx(1 - decay)
    network.weight.data.fill_(7.0)
    slow.step(network, 1.0, 6)
    assert float(network.weight) == pytest.approx(1 - decay), "the last step leaves the slow weights"


def test_the_gradient_norm_is_that_of_one_long_vector():
    a, b = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))
    a.grad, b.grad = torch.tensor([3.0, 0.0]), torch.tensor([4.0])
    assert gradient_norm([a, b, nn.Parameter(torch.zeros(1))]) == 5.0
    assert gradient_norm([nn.Parameter(torch.zeros(1))]) == 0.0


def test_muon_moves_shifts_of_norms_at_the_batchs_rate_and_biases_of_linear_layers_at_the_plain_one():
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 8), nn.Linear(8, 2)
    )
    optimizer = make_optimizer(
        network, "muon", learning_rate=0.1, momentum=0.6, weight_decay=0.0, batch_size=1000
    )
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, 1e-3)
    optimizer.step()
    moved = {name: float((before[name] - p).mean()) / (1.85 * 1e-3) for name, p in network.named_parameters()}
    for name in ("1.weight", "3.bias", "4.bias"):
        assert moved[name] == pytest.approx(0.1, rel=1e-3)
    for name in ("0.bias", "1.bias"):
        assert moved[name] == pytest.approx(0.1 * 1000 * Muon.VECTOR_RATE, rel=1e-3)
    assert moved["4.weight"] == pytest.approx(0.1 * 1000 * Muon.HEAD_RATE / 8**2, rel=1e-3)


def test_muon_in_16_bits_goes_the_way_of_32():
    torch.manual_seed(0)
    weight = torch.randn(32, 16, 3, 3)
    gradient = torch.randn_like(weight)
    steps = []
    for short in (None, torch.bfloat16):
        layer = nn.Conv2d(16, 32, 3, bias=False)
        with torch.no_grad():
            layer.weight.copy_(weight)
        layer.weight.grad = gradient.clone()
        make_optimizer(
            nn.Sequential(layer, nn.Flatten(), nn.Linear(1, 1)), "muon", learning_rate=0.1, momentum=0.6,
            weight_decay=0.0, short=short,
        ).step()  # fmt: skip
        steps.append(layer.weight.detach() - weight * 32**0.5 / weight.norm())
    assert float((steps[1] - steps[0]).norm() / steps[0].norm()) < 0.02
