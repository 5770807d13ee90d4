"""Hooks: what they see and change, and that none stays."""

import pytest
import torch
from torch import nn

from core.errors import UnknownName
from core.network.hooks import NoTensor, altered, captured, guided_relus, hooks_left, replaced


def network(inplace: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(inplace), nn.Conv2d(4, 4, 3), nn.ReLU6(inplace), nn.Flatten(),
        nn.Linear(4 * 8 * 8, 3),
    ).requires_grad_(False)  # fmt: skip


def inputs(n: int = 1) -> torch.Tensor:
    return torch.randn(n, 3, 12, 12, generator=torch.Generator().manual_seed(1))


def registered(module: nn.Module) -> int:
    return sum(len(part._forward_hooks) + len(part._backward_hooks) for part in module.modules())


@pytest.mark.parametrize("inplace", [False, True])
def test_captured_is_what_the_layer_answered_even_if_it_is_overwritten_next(inplace: bool) -> None:
    module = network(inplace)
    with captured(module, ["0", "2"]) as maps:
        assert hooks_left() == registered(module) == 2
        output = module(inputs())
    first = module[0](inputs())
    assert torch.equal(maps["0"], first)
    assert torch.equal(maps["2"], module[2](first.relu()))
    assert torch.equal(output, module(inputs()))
    assert hooks_left() == registered(module) == 0


def test_captured_maps_have_gradients() -> None:
    module, points = network(), inputs().requires_grad_()
    with captured(module, ["2"]) as maps:
        score = module(points)[0, 1]
    (gradient,) = torch.autograd.grad(score, maps["2"])
    weight = module[5].weight[1].reshape(1, 4, 8, 8)
    assert torch.allclose(gradient, weight * ((maps["2"] > 0) & (maps["2"] < 6)))


def test_replaced_runs_something_else_and_the_layers_own_hooks():
    module, plain, seen = network(), network(), []
    module[1].register_forward_hook(lambda part, inputs, output: seen.append(output))
    with replaced(module, {"1": torch.abs}):
        assert hooks_left() == 1
        assert torch.equal(module(inputs()), plain[2:](plain[0](inputs()).abs()))
    assert len(seen) == 1
    assert hooks_left() == 0
    assert torch.equal(module(inputs()), plain(inputs()))


def test_replaced_leaves_nothing_after_a_failure():
    module = network()
    with pytest.raises(RuntimeError), replaced(module, {"0": torch.abs}):
        module(inputs())  # the next convolution wants more channels
    assert torch.equal(module(inputs()), network()(inputs()))
    with pytest.raises(UnknownName, match="'9'"), replaced(module, {"9": torch.abs}):
        pass
    assert hooks_left() == 0


def test_altered_switches_a_channel_off() -> None:
    module = network()

    def without_second(output: torch.Tensor) -> torch.Tensor:
        output[:, 1] = 0
        return output

    with altered(module, {"0": without_second}):
        ours = module(inputs())
    hidden = module[0](inputs())
    hidden[:, 1] = 0
    assert torch.equal(ours, module[1:](hidden))
    assert not torch.equal(ours, module(inputs()))
    assert registered(module) == 0


def test_altered_keeps_the_shape() -> None:
    module = network()
    with (
        pytest.raises(ValueError, match=r"The output of '0' has the shape \(1, 4, 10, 10\)"),
        altered(module, {"0": lambda o: o[:, :2]}),
    ):
        module(inputs())
    assert hooks_left() == registered(module) == 0


def test_guided_relus_pass_only_positive_gradients_of_active_units() -> None:
    module, points = network(), (30 * inputs()).requires_grad_()
    with guided_relus(module) as count:
        score = module(points)[0, 1]
    assert count == 2
    (ours,) = torch.autograd.grad(score, points)
    first = module[0](points.detach())
    second = module[2](first.relu())
    assert (second > 6).any(), "no unit is at the ceiling of ReLU6: this tests nothing"
    gradient = module[5].weight[1].reshape(1, 4, 8, 8).clamp(min=0) * ((second > 0) & (second < 6))
    gradient = torch.nn.functional.conv_transpose2d(gradient, module[2].weight)
    gradient = gradient.clamp(min=0) * (first > 0)
    assert torch.allclose(ours, torch.nn.functional.conv_transpose2d(gradient, module[0].weight), atol=1e-5)


def test_guided_relus_leave_everybody_elses_gradients_alone() -> None:
    module, points = network(), inputs().requires_grad_()
    (before,) = torch.autograd.grad(module(points)[0, 1], points)
    score = module(points)[0, 1]
    with guided_relus(module):
        (during,) = torch.autograd.grad(score, points)  # of a run before the hooks were set
    (after,) = torch.autograd.grad(module(points)[0, 1], points)
    assert torch.equal(before, during)
    assert torch.equal(before, after)


def test_a_layer_that_is_not_there_is_named() -> None:
    module = network()
    with pytest.raises(UnknownName, match="There is no layer named '9'"), captured(module, ["0", "9"]):
        pass
    assert hooks_left() == registered(module) == 0


def test_an_output_that_is_no_tensor_is_named() -> None:
    module = nn.Sequential(nn.LSTM(4, 4))
    with pytest.raises(NoTensor, match="The layer '0' answers with a tuple"), captured(module, ["0"]):
        module(torch.zeros(1, 2, 4))
    assert hooks_left() == registered(module) == 0
