"""Losses against PyTorch and scipy."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from tests.by_hand.losses import (
    BadDistribution,
    binary_cross_entropy,
    binary_gradients,
    bowl,
    cross_entropy,
    descend,
    entropy,
    kl_divergence,
    learn,
    sigmoid,
    softmax,
    softmax_by_hand,
    softmax_jacobian,
    squared_error,
)

logits = st.lists(st.floats(-30, 30), min_size=2, max_size=6)


def test_the_wildlife_exercise():
    losses = binary_cross_entropy(np.array([1, 0, 0]), np.array([0.1, 0.2, 0.7]), base=2)
    assert losses.mean() == pytest.approx(1.79, abs=0.005)
    np.testing.assert_allclose(losses, [3.3219, 0.3219, 1.7370], atol=1e-4)
    natural = binary_cross_entropy(np.array([1, 0, 0]), np.array([0.1, 0.2, 0.7])).mean()
    assert natural == pytest.approx(losses.mean() * math.log(2)) == pytest.approx(1.2432, abs=1e-4)


@given(st.sampled_from([0.0, 1.0]), st.floats(-12, 12))
def test_losses_and_slopes_are_pytorchs(y, z):
    z_torch = torch.tensor(z, dtype=torch.float64, requires_grad=True)
    p_torch = torch.sigmoid(z_torch)
    p_torch.retain_grad()
    target = torch.tensor(y, dtype=torch.float64)
    p = float(sigmoid(z))
    for loss, name, found in (
        (F.binary_cross_entropy(p_torch, target), "cross_entropy", binary_cross_entropy(y, p)),
        (F.mse_loss(p_torch, target), "squared_error", squared_error(y, p)),
    ):
        assert found == pytest.approx(loss.item(), rel=1e-6, abs=1e-12)
        z_torch.grad = p_torch.grad = None
        loss.backward(retain_graph=True)
        slopes = binary_gradients(y, p)
        assert slopes[f"{name}_z"] == pytest.approx(z_torch.grad.item(), rel=1e-5, abs=1e-9)
        assert slopes[f"{name}_p"] == pytest.approx(p_torch.grad.item(), rel=1e-5, abs=1e-9)


def test_certain_predictions():
    assert binary_cross_entropy(1, 0) == math.inf
    assert binary_cross_entropy(1, 1) == 0
    assert binary_cross_entropy(0, 0) == 0
    assert sigmoid(-1000) == 0
    assert sigmoid(1000) == 1
    assert binary_gradients(1, 0)["cross_entropy_p"] == -math.inf
    assert binary_gradients(1, 1)["cross_entropy_p"] == -1
    assert binary_gradients(0, 0)["cross_entropy_p"] == 1


def test_squared_error_learns_slowly_from_a_sure_mistake():
    fast, slow = (learn(1, 0.01, loss=loss, steps=60) for loss in ("cross_entropy", "squared_error"))
    assert fast[20] > 0.9
    assert slow[20] < 0.05
    assert (np.diff(fast) > 0).all()
    with pytest.raises(BadDistribution, match=r"A probability is 1.5: it must lie between 0 and 1"):
        binary_cross_entropy(1, 1.5)


@given(logits, st.integers(0, 10**6), st.sampled_from([math.e, 2.0]))
def test_cross_entropy_is_entropy_and_divergence(z, seed, base):
    q = softmax(np.array(z))
    p = np.random.default_rng(seed).dirichlet(np.ones(len(z)))
    assert entropy(p, base=base) == pytest.approx(stats.entropy(p, base=base), abs=1e-9)
    assert kl_divergence(p, q, base=base) == pytest.approx(stats.entropy(p, q, base=base), rel=1e-6, abs=1e-9)
    together = entropy(p, base=base) + kl_divergence(p, q, base=base)
    assert cross_entropy(p, q, base=base) == pytest.approx(together)
    assert kl_divergence(p, q) >= -1e-9
    torchs = F.cross_entropy(torch.tensor([z], dtype=torch.float64), torch.from_numpy(p)[None])
    assert cross_entropy(p, q) == pytest.approx(torchs.item(), rel=1e-6)


def test_a_class_ruled_out_costs_infinitely_much():
    assert cross_entropy(np.array([0.5, 0.5]), np.array([1.0, 0.0])) == math.inf
    assert cross_entropy(np.array([1.0, 0.0]), np.array([1.0, 0.0])) == 0
    with pytest.raises(BadDistribution, match=r"add up to 0.9"):
        cross_entropy(np.array([0.5, 0.4]), np.array([0.5, 0.5]))


@given(logits)
def test_softmax_is_scipys_and_its_jacobian_pytorchs(z):
    np.testing.assert_allclose(softmax(np.array(z)), special.softmax(z), rtol=1e-9)
    np.testing.assert_allclose(softmax_by_hand(np.array(z), dtype=np.float64), special.softmax(z), rtol=1e-9)
    jacobian = torch.autograd.functional.jacobian(
        lambda t: torch.softmax(t, 0), torch.tensor(z, dtype=torch.float64)
    )
    np.testing.assert_allclose(softmax_jacobian(np.array(z)), jacobian.numpy(), atol=1e-12)
    np.testing.assert_allclose(softmax_jacobian(np.array(z)).sum(axis=0), 0, atol=1e-12)


def test_large_numbers_overflow_by_hand_only():
    z = np.array([1000.0, 1001.0, 1002.0])
    assert np.isnan(softmax_by_hand(z)).all()
    np.testing.assert_allclose(softmax(z, dtype=np.float32), special.softmax(z), rtol=1e-6)
    assert np.isfinite(softmax_by_hand(np.array([88.0, 0]))).all()
    assert np.isnan(softmax_by_hand(np.array([89.0, 0]))[0])
    assert np.isfinite(softmax_by_hand(np.array([89.0, 0]), dtype=np.float64)).all()


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_steps_are_those_of_sgd(weight_decay):
    lowest, curvature = np.array([2.0, -1.0]), np.array([1.0, 3.0])
    w = torch.tensor([0.5, 2.0], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1, weight_decay=weight_decay)
    path = descend(w.detach().numpy().copy(), lowest, curvature, rate=0.1, weight_decay=weight_decay, steps=5)
    for step in range(5):
        np.testing.assert_allclose(path[step], w.detach().numpy())
        loss = (torch.from_numpy(curvature) * (w - torch.from_numpy(lowest)) ** 2).sum() / 2
        assert bowl(path[step], lowest, curvature)[0] == pytest.approx(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    np.testing.assert_allclose(path[5], w.detach().numpy())
