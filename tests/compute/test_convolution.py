"""The fast convolution against PyTorch's own, forward and backward, and wherever it must step aside."""

import copy
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core import store
from core.compute import convolution, winograd
from core.compute.convolution import (
    COLUMNS,
    DIRECT,
    WINOGRAD_2,
    WINOGRAD_4,
    choose,
    convolve,
    fast_convolutions,
    nothing_measured,
)
from core.compute.own_forward import own_forward
from core.data.preprocessing import Preprocessing
from core.history import EpochRecord, of_kind
from core.models.card import ModelCard
from core.models.classifier import MOST_UNMEASURED_IMAGES, Classifier
from core.network.hooks import captured
from core.network.trace import trace_layers
from core.training.train import train
from core.training.training_settings import TrainingSettings

WAYS = (DIRECT, COLUMNS, WINOGRAD_2, WINOGRAD_4)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))
    monkeypatch.setattr(convolution, "_chosen", {})
    store.forget_memory()


def network() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(64, 96, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(96, 64, 3),
        nn.ReLU(), nn.Conv2d(64, 128, 1), nn.Conv2d(128, 64, 3, stride=2),
        nn.Conv2d(64, 64, 3, groups=2, padding=1),
    )  # fmt: skip


def pictures(n: int = 4, side: int = 26) -> Tensor:
    torch.manual_seed(2)
    return torch.randn(n, 64, side, side).to(memory_format=torch.channels_last)


def always(monkeypatch, way: str) -> list[tuple[int, ...]]:
    """Let every layer that has a choice go this way; returned are the shapes of those that did."""
    asked: list[tuple[int, ...]] = []

    def chosen(inputs: Tensor, weight: Tensor, *_: object) -> str:
        asked.append(tuple(weight.shape))
        return way if tuple(weight.shape[2:]) == (3, 3) or way == COLUMNS else DIRECT

    monkeypatch.setattr(convolution, "choose", chosen)
    monkeypatch.setattr(convolution, "LEAST_WORK", 0)
    return asked


SHAPES = (  # of the inputs, of a kernel, and the padding
    ((2, 5, 9, 7), (3, 3), (1, 1)), ((1, 3, 3, 3), (3, 3), (0, 0)), ((3, 4, 6, 6), (3, 3), (0, 0)),
    ((1, 2, 4, 11), (3, 3), (2, 0)), ((2, 3, 1, 2), (3, 3), (1, 2)), ((2, 5, 7, 6), (1, 1), (0, 0)),
    ((1, 2, 8, 9), (5, 3), (1, 2)), ((1, 2, 4, 4), (1, 1), (1, 1)),
)  # fmt: skip
WAYS_OF_SHAPES = [(way, *s) for s in SHAPES for way in WAYS if s[1] == (3, 3) or way in (DIRECT, COLUMNS)]


@pytest.mark.parametrize(("way", "shape", "kernel", "padding"), WAYS_OF_SHAPES)
def test_every_way_gives_the_convolution_and_its_gradients(way, shape, kernel, padding):
    torch.manual_seed(0)
    inputs = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(6, shape[1], *kernel, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(6, dtype=torch.float64, requires_grad=True)
    expected = F.conv2d(inputs, weight, bias, padding=padding)
    found = convolve(inputs, weight, bias, padding, way=way)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    back = torch.randn_like(expected)
    leaves = (inputs, weight, bias)
    for mine, theirs in zip(
        torch.autograd.grad(found, leaves, back), torch.autograd.grad(expected, leaves, back), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("side", [7, 8])
def test_nothing_has_gaps_in_memory(way, side):
    """What batch norm is handed: with gaps it takes five to ten times as long, its gradient twenty."""
    torch.manual_seed(0)
    inputs = torch.randn(2, 4, side, side).to(memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(5, 4, 3, 3).to(memory_format=torch.channels_last)
    found = convolve(inputs, weight, None, (1, 1), way=way)
    gradient = torch.autograd.grad(found, inputs, torch.ones_like(found))[0]
    for made in (found, gradient):
        assert made.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("way", [COLUMNS, WINOGRAD_2, WINOGRAD_4])
def test_little_memory_changes_nothing(monkeypatch, way):
    inputs, weight = (
        torch.randn(3, 5, 9, 8, dtype=torch.float64),
        torch.randn(6, 5, 3, 3, dtype=torch.float64),
    )
    inputs.requires_grad_(), weight.requires_grad_()
    results = []
    for limit in (2**28, 0):
        monkeypatch.setattr(winograd, "MOST_KEPT", limit)
        monkeypatch.setattr(convolution, "MOST_BYTES", limit)
        output = convolve(inputs, weight, None, (1, 1), way=way)
        results.append([output, *torch.autograd.grad(output.square().sum(), (inputs, weight))])
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("way", [COLUMNS, WINOGRAD_2, WINOGRAD_4])
def test_only_the_gradient_that_is_wanted_is_computed(way):
    for wanted in (0, 1):
        leaves = [torch.randn(1, 3, 6, 6), torch.randn(4, 3, 3, 3)]
        leaves[wanted].requires_grad_()
        convolve(*leaves, None, (1, 1), way=way).sum().backward()
        assert leaves[wanted].grad is not None
        assert leaves[1 - wanted].grad is None


@pytest.mark.parametrize(
    ("way", "dtype", "error"),
    [
        (COLUMNS, torch.float32, 1e-6), (WINOGRAD_4, torch.float32, 1e-5),
        (COLUMNS, torch.bfloat16, 5e-3), (WINOGRAD_2, torch.bfloat16, 8e-3),
    ],
)  # fmt: skip
def test_the_error_is_that_of_the_floats(way, dtype, error):
    torch.manual_seed(0)
    inputs, weight = torch.randn(2, 256, 12, 12).relu(), torch.randn(64, 256, 3, 3) / 48
    expected = F.conv2d(inputs.double(), weight.double())
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        found = convolve(inputs, weight, way=way)
    assert found.dtype == dtype
    assert float((found - expected).pow(2).mean().sqrt() / expected.std()) < error


@pytest.mark.parametrize("way", [COLUMNS, WINOGRAD_4])
def test_a_network_answers_and_learns_the_same(monkeypatch, way):
    asked = always(monkeypatch, way)
    plain = network()
    fast = fast_convolutions(copy.deepcopy(plain))
    assert list(fast.state_dict()) == list(plain.state_dict())
    assert repr(fast) == repr(plain)
    inputs = pictures()
    results = []
    for module in (plain, fast):
        given = inputs.clone().requires_grad_()
        output = module(given)
        output.square().mean().backward()
        results.append([output.detach(), given.grad, *(p.grad for p in module.parameters())])
    # Three layers have a choice; the ones with a stride and with groups have none.
    assert asked == [(96, 64, 3, 3), (64, 96, 3, 3), (128, 64, 1, 1)]
    for mine, theirs in zip(results[1], results[0], strict=True):
        assert float((mine - theirs).abs().max()) < 1e-5 * float(theirs.abs().max())


def test_a_weight_that_is_changed_or_copied_is_noticed(monkeypatch):
    always(monkeypatch, WINOGRAD_4)
    plain = network().requires_grad_(False)
    fast = fast_convolutions(copy.deepcopy(plain))
    inputs = pictures()

    def assert_same() -> None:
        torch.testing.assert_close(fast(inputs), plain(inputs), rtol=1e-4, atol=1e-5)

    assert_same()
    for module in (plain, fast):
        module[0].weight[3] = 0.5
    assert_same()
    other = network()
    other[0].weight.data.mul_(2)
    for module in (plain, fast):
        module.load_state_dict(other.state_dict())
    assert_same()
    twin = copy.deepcopy(fast)
    twin[0].weight.mul_(3)
    assert not torch.allclose(twin(inputs), fast(inputs))
    assert_same()
    with torch.inference_mode():
        assert_same()


def test_hooks_and_pickles_see_an_ordinary_layer(monkeypatch):
    always(monkeypatch, WINOGRAD_4)
    plain = network()
    fast = fast_convolutions(copy.deepcopy(plain))
    with captured(fast, ["3"]) as mine, captured(plain, ["3"]) as theirs:
        fast(pictures()), plain(pictures())
    torch.testing.assert_close(mine["3"], theirs["3"], rtol=1e-4, atol=1e-5)
    assert type(fast[0]) is nn.Conv2d
    assert own_forward(copy.deepcopy(fast)[0]) is own_forward(fast[0]) is not None
    restored = pickle.loads(pickle.dumps(fast))
    assert own_forward(restored[0]) is None
    assert torch.equal(restored[0].weight, plain[0].weight)


class Names:
    """Keeps which operations of ATen ran."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def begin(self, inputs: Tensor) -> None: ...

    def leave(self, layer: str, module: nn.Module, output: object) -> None: ...

    def operation(self, function: object, *_: object) -> None:
        self.seen.append(str(function))


def test_who_traces_sees_plain_convolutions(monkeypatch):
    always(monkeypatch, WINOGRAD_4)
    plain = network().eval()
    fast = fast_convolutions(copy.deepcopy(plain))
    seen = []
    for module in (plain, fast):
        names = Names()
        trace_layers(module, (26, 26), 64, [names])
        seen.append(names.seen)
    assert seen[0] == seen[1]
    assert any("convolution" in name for name in seen[1])
    graph = torch.fx.symbolic_trace(fast)
    assert [node.op for node in graph.graph.nodes].count("call_module") == len(fast)
    inputs = pictures()
    _, mine = torch.func.jvp(fast, (inputs,), (inputs,))
    _, theirs = torch.func.jvp(plain, (inputs,), (inputs,))
    torch.testing.assert_close(mine, theirs)


def test_the_choice_is_measured_once_and_kept(monkeypatch):
    measured = []
    fastest = convolution._fastest
    monkeypatch.setattr(convolution, "_fastest", lambda *a: measured.append(tuple(a[1].shape)) or fastest(*a))
    monkeypatch.setattr(convolution, "LEAST_WORK", 2e7)
    fast = fast_convolutions(network()).eval()
    inputs = pictures()
    first = fast(inputs)
    assert measured == [(96, 64, 3, 3), (64, 96, 3, 3)]  # the others are too little work
    assert torch.equal(fast(inputs), first)
    convolution._chosen.clear()  # as another process finds it
    assert torch.equal(fast(inputs), first)
    assert len(measured) == 2
    with torch.no_grad():
        fast(inputs)  # without gradients, something else may be the fastest
    assert len(measured) == 4


def test_who_waits_for_a_few_images_does_not_wait_for_measuring(monkeypatch):
    measured = []
    monkeypatch.setattr(convolution, "_fastest", lambda *a: measured.append(a) or COLUMNS)
    monkeypatch.setattr(convolution, "LEAST_WORK", 0)
    fast, inputs = fast_convolutions(network()).eval(), pictures()
    with nothing_measured():
        expected = fast(inputs)
        assert choose(inputs, fast[0].weight, (1, 1), fast[0]) == DIRECT
    assert not measured
    torch.testing.assert_close(fast(inputs), expected, atol=1e-5, rtol=1e-5)  # now they are
    n = len(measured)
    assert n >= 3
    with nothing_measured():  # what is known is used
        assert choose(inputs, fast[0].weight, (1, 1), fast[0]) == COLUMNS
    assert len(measured) == n


@pytest.mark.parametrize(
    ("images", "measures"),
    [
        (1, False),
        (MOST_UNMEASURED_IMAGES, False),
        (MOST_UNMEASURED_IMAGES + 1, True),
    ],
)
def test_a_classifier_measures_for_many_images_only(monkeypatch, images, measures):
    measured = []
    monkeypatch.setattr(convolution, "_fastest", lambda *a: measured.append(a) or DIRECT)
    monkeypatch.setattr(convolution, "LEAST_WORK", 0)
    module = nn.Sequential(nn.Conv2d(3, 64, 1), nn.Conv2d(64, 64, 3), nn.AdaptiveMaxPool2d(1), nn.Flatten())
    preprocessing = Preprocessing((6, 6), (0.5,) * 3, (0.25,) * 3)
    card = ModelCard("test", "none", tuple(map(str, range(64))), preprocessing)
    classifier = Classifier(module, card, torch.device("cpu"))
    classifier.predict_logits(np.zeros((images, 6, 6, 3), np.uint8))
    assert bool(measured) == measures


def test_the_fastest_way_is_chosen_and_the_direct_one_if_nothing_gains(monkeypatch):
    inputs, weight = pictures(), torch.randn(64, 64, 3, 3)
    cost = {DIRECT: 3.0, COLUMNS: 2.8, WINOGRAD_4: 2.9}
    clock = [0.0]

    def timed(*_: object, way: str, owner: object) -> Tensor:
        clock[0] += cost[way]
        return inputs

    monkeypatch.setattr(convolution, "convolve", timed)
    monkeypatch.setattr(convolution.time, "perf_counter", lambda: clock[0])
    arguments = (inputs, weight, (1, 1), None, False, False)
    assert convolution._fastest(*arguments) == DIRECT  # less than GAIN
    cost[WINOGRAD_4] = 1.0
    assert convolution._fastest(*arguments) == WINOGRAD_4


def test_a_training_that_is_resumed_goes_on_exactly(monkeypatch, tmp_path):
    asked = always(monkeypatch, WINOGRAD_2)
    monkeypatch.setattr(convolution, "FEWEST_CHANNELS", 8)
    settings = TrainingSettings(
        dataset="digits", architecture="small_cnn", epochs=2, batch_size=64, train_images=300,
        architecture_settings="widths=8,16; hidden=8", learning_rate=0.01,
    )  # fmt: skip
    left = iter([False] * 3 + [True])
    whole = list(train(tmp_path / "whole", settings))
    parts = [
        *train(tmp_path / "parts", settings, stop=lambda: next(left)),
        *train(tmp_path / "parts", settings),
    ]
    assert set(asked) == {(16, 8, 3, 3)}
    losses = [[r.train_loss for r in of_kind(records, EpochRecord)] for records in (whole, parts)]
    assert losses[0] == losses[1]
    assert losses[0][1] < losses[0][0]
    for file in ("weights.safetensors", "last.safetensors"):
        assert (tmp_path / "parts" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
