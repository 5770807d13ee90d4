"""A step: its gradient against autograd's, what 16-bit floats skip, and how often it waits for the device."""

import functools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from core.history import EpochRecord, StepRecord, of_kind
from core.training.augmentation import Augmentation, augment
from core.training.step import Stepper, loss_of, predictions, validate
from core.training.train import train
from core.training.training_settings import TrainingSettings
from tests.training.test_train import SMALL

CPU = torch.device("cpu")


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 3))


def batch(seed=0, n=20):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 3, 2, 2, generator=generator), torch.randint(3, (n,), generator=generator)


def stepper_of(module, short=None, steps=10, **settings):
    return Stepper(module, CPU, short, TrainingSettings(**settings), steps=steps)


def test_a_step_is_plain_gradient_descent_as_autograd_has_it():
    module, (inputs, targets) = network(), batch()
    found = stepper_of(module, optimizer="sgd", momentum=0.0, learning_rate=0.1)(module, inputs, targets, 1)
    other = network()
    loss = F.cross_entropy(other(inputs), targets)
    gradients = torch.autograd.grad(loss, list(other.parameters()))
    assert found.loss == pytest.approx(float(loss.detach()), rel=1e-6)
    assert found.correct == int((other(inputs).argmax(1) == targets).sum())
    assert found.gradient_norm == pytest.approx(math.sqrt(sum(float(g.square().sum()) for g in gradients)))
    assert not found.broken
    assert not found.skipped
    for moved, before, gradient in zip(module.parameters(), other.parameters(), gradients, strict=True):
        torch.testing.assert_close(moved, before - 0.1 * gradient, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("longest", [0.01, 1000.0])
def test_a_gradient_is_shortened_to_the_longest_allowed_and_told_before(longest):
    module, (inputs, targets) = network(), batch()
    settings = {"optimizer": "sgd", "momentum": 0.0, "learning_rate": 1.0}
    found = stepper_of(module, clip_gradient=longest, **settings)(module, inputs, targets, 1)
    with torch.no_grad():
        way = torch.cat([
            (a - b).flatten() for a, b in zip(network().parameters(), module.parameters(), strict=True)
        ])  # fmt: skip
    assert float(way.norm()) == pytest.approx(min(longest, found.gradient_norm), rel=1e-3)


def test_loss_or_gradient_that_is_not_finite_leaves_the_weights_as_they_were():
    module, (inputs, targets) = network(), batch()
    before = [p.clone() for p in module.parameters()]
    found = stepper_of(module)(module, inputs * math.inf, targets, 1)
    assert found.broken
    assert not found.skipped
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


class Steep(nn.Module):
    """A network whose gradient is so long that float16 holds it only at a small scale."""

    def __init__(self, slope):
        super().__init__()
        self.slope, self.weight = slope, nn.Parameter(torch.tensor([[0.1, -0.1]]))

    def forward(self, x):
        return (x @ self.weight * self.slope).half().float()


def test_a_skipped_step_moves_nothing_and_makes_the_scale_smaller():
    module = Steep(3.0)
    stepper = stepper_of(module, torch.float16, optimizer="sgd", learning_rate=0.01)
    before, scale = module.weight.detach().clone(), stepper.scaler.get_scale()
    inputs, targets = torch.ones(4, 1), torch.tensor([0, 1, 1, 1])
    found = stepper(module, inputs, targets, 1)
    assert (found.skipped, found.broken) == (True, False)
    assert math.isfinite(found.loss)
    assert torch.equal(module.weight, before)
    assert stepper.scaler.get_scale() == scale / 2
    number = 2
    while (found := stepper(module, inputs, targets, number)).skipped:
        number += 1
    assert math.isfinite(found.gradient_norm)
    assert not torch.equal(module.weight, before)


def test_a_gradient_that_is_infinite_at_any_scale_ends_the_run():
    class Endless(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient * math.inf

    class Broken(Steep):
        def forward(self, x):
            return Endless.apply(x @ self.weight)

    module = Broken(1.0)
    stepper = stepper_of(module, torch.float16, steps=100)
    for number in range(1, 101):
        found = stepper(module, torch.ones(4, 1), torch.tensor([0, 1, 1, 1]), number)
        if found.broken:
            break
    assert found.broken
    assert number < 30


def half_precision(monkeypatch, scale):
    """Train in float16, from such a scale on, of which these small networks have no room for."""
    monkeypatch.setattr("core.training.run_parts.short_floats", lambda where: torch.float16)
    monkeypatch.setattr(torch.amp, "GradScaler", functools.partial(torch.amp.GradScaler, init_scale=scale))


@pytest.mark.parametrize("first", [None, torch.float16])
@pytest.mark.parametrize("second", [None, torch.float16])
def test_a_state_fits_floats_of_another_kind(first, second):
    module, (inputs, targets) = network(), batch()
    stepper = stepper_of(module, first, lookahead=True)
    stepper(module, inputs, targets, 1)
    other = stepper_of(network(), second, lookahead=True)
    other.load(stepper.state())
    assert not other(other.module, inputs, targets, 2).broken


def test_a_float16_run_whose_first_steps_are_skipped_is_judged_by_the_others(tmp_path, monkeypatch):
    half_precision(monkeypatch, 2.0**24)
    records = list(train(tmp_path / "run", TrainingSettings.of(SMALL | {"learning_rate": 0.01})))
    first = next(of_kind(records, EpochRecord))
    assert first.skipped_steps
    for epoch in of_kind(records, EpochRecord):
        figures = (epoch.train_loss, epoch.train_accuracy, epoch.gradient_norm, epoch.largest_gradient_norm)
        assert all(math.isfinite(value) for value in figures)
    steps = list(of_kind(records, StepRecord))
    assert steps[0].gradient_norm is None
    assert all(math.isfinite(step.gradient_norm) for step in steps if step.gradient_norm is not None)
    assert records[-1].reason == "all epochs done"
    assert "no longer a finite number" not in records[-1].verdict
    assert records[-1].best_epoch


def test_an_epoch_of_skipped_steps_only_says_nothing_about_learning(tmp_path, monkeypatch):
    half_precision(monkeypatch, 2.0**22)
    settings = {**SMALL, "batch_size": 256, "train_images": 256, "epochs": 8}
    records = list(train(tmp_path / "run", TrainingSettings.of(settings)))
    epochs = list(of_kind(records, EpochRecord))
    assert epochs[0].train_loss is None
    assert epochs[0].skipped_steps == 1
    assert math.isfinite(epochs[0].validation_loss)
    assert epochs[-1].train_loss is not None
    assert records[-1].reason == "all epochs done"
    assert "finite" not in records[-1].verdict


class Waits(TorchDispatchMode):
    """Counts what would make the CPU wait for a GPU: numbers and shapes that are read from tensors."""

    READS = ("_local_scalar_dense", "nonzero", "masked_select", "bincount", "is_nonzero", "equal")

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.__name__.partition(".")[0]
        indices = args[1] if name in ("index", "index_put", "index_put_") else ()
        if name in self.READS or any(i is not None and i.dtype == torch.bool for i in indices):
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "muon"])
@pytest.mark.parametrize("short", [None, torch.bfloat16, torch.float16])
def test_a_step_waits_for_the_device_once(monkeypatch, optimizer, short):
    lists = []
    read = torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda self: lists.append(self.shape) or read(self))
    module, (inputs, targets) = network(), batch()
    stepper = stepper_of(module, short, optimizer=optimizer, lookahead=True, clip_gradient=1.0, steps=60)
    for number in range(1, 21):  # until the scale fits
        found = stepper(module, inputs, targets, number)
    assert not found.skipped
    lists.clear()
    with Waits() as waits:
        stepper(module, inputs, targets, 25)
    assert lists == [(3,)]
    assert waits.seen == []


def test_augmentation_reads_nothing_back_from_the_device(monkeypatch):
    moves = []
    for name in ("augmentation",):
        monkeypatch.setattr(
            f"core.training.{name}.moved", lambda values, device: moves.append(values.shape) or values
        )
    images = torch.randint(0, 256, (16, 8, 8, 3), dtype=torch.uint8)
    everything = Augmentation(flip="random", crop=1, color=0.3, rand_augment=6, cutout=3)
    augment(images, everything, torch.Generator().manual_seed(0))
    assert len(moves) == 4  # shifts and flips, factors of colors, all choices of RandAugment, squares


@pytest.mark.parametrize("classes", [1, 4])
def test_validation_is_the_mean_over_all_images_whatever_the_batches(classes):
    torch.manual_seed(0)
    module, images = nn.Linear(5, classes), torch.randn(700, 5)
    labels = torch.randint(max(2, classes), (700,))
    loss, accuracy = validate(module, lambda rows: images[rows], labels.numpy(), 8, CPU)
    with torch.no_grad():
        assert loss == pytest.approx(float(loss_of(module(images), labels, 0.0)), rel=1e-5)
        assert accuracy == pytest.approx(float(np.mean((predictions(module(images)) == labels).numpy())))
