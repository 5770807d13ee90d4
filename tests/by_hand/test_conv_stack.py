"""Stacks against the same layers in PyTorch: sizes, parameters, code, and gradients for receptive fields."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.by_hand.conv_layer import Layer, output_size
from core.by_hand.conv_stack import (
    BadStack,
    Paths,
    effective_side,
    gradient_norms,
    path_shares,
    receptive_field,
    stack_rows,
)
from core.by_hand.layer_cost import code, cost, describe, formula
from core.by_hand.stack_text import STACKS, parse_stack


def _module(layer):
    return eval(code(layer), {"torch": torch})  # the code that the page shows is what is tested


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (Layer(in_channels=32, out_channels=16, bias=True), "torch.nn.Conv2d(32, 16, kernel_size=3)"),
        (
            Layer(in_channels=4, out_channels=8, stride=(2, 1), padding="valid", dilation=(2, 2), groups=4),
            "torch.nn.Conv2d(4, 8, kernel_size=3, stride=(2, 1), groups=4, bias=False, dilation=2)",
        ),
        (
            Layer("conv_transpose", 4, 8, (2, 2), (2, 2), output_padding=(1, 1), bias=True),
            "torch.nn.ConvTranspose2d(4, 8, kernel_size=2, stride=2, output_padding=1)",
        ),
        (
            Layer("max_pool", 3, 3, (2, 2), (2, 2), ceil_mode=True),
            "torch.nn.MaxPool2d(kernel_size=2, ceil_mode=True)",
        ),
        (
            Layer("avg_pool", 3, 3, (3, 3), (2, 2), (1, 1)),
            "torch.nn.AvgPool2d(kernel_size=3, stride=2, padding=1)",
        ),
        (
            Layer(padding="same", padding_mode="circular", bias=True),
            'torch.nn.Conv2d(1, 1, kernel_size=3, padding="same", padding_mode="circular")',
        ),
    ],
)
def test_the_code_is_the_layer(layer, text):
    assert code(layer) == text
    module = _module(layer)
    out = module(torch.zeros(1, layer.in_channels, 13, 11))
    assert out.shape[1:] == (layer.out_channels, *output_size(layer, (13, 11)))
    assert cost(layer, (13, 11)).parameters == sum(p.numel() for p in module.parameters())
    assert cost(layer, (13, 11)).output_bytes == out.numel() * 4
    for axis in (0, 1):
        assert formula(layer, (13, 11), axis).endswith(f"= {out.shape[2 + axis]}")


def test_costs_by_hand():
    found = cost(Layer(in_channels=32, out_channels=16, bias=True), (128, 128))
    assert (found.parameters, found.macs) == (16 * (32 * 9 + 1), 126 * 126 * 16 * 32 * 9)
    assert cost(Layer("conv_transpose", 4, 8, (2, 2), (2, 2)), (5, 5)).macs == 25 * 4 * 8 * 4
    assert cost(Layer("max_pool", 4, 4, (2, 2), (2, 2)), (4, 4)).macs == 0
    assert "128 + 2 \\cdot 1 - 1 \\cdot (3 - 1) - 1" in formula(Layer(padding=(1, 1)), (128, 128), 0)


class _AsModule(torch.nn.Module):
    """A stack in PyTorch, all weights equal."""

    def __init__(self, stack):
        super().__init__()
        self.stack = stack

    def forward(self, x):
        return _run(self.stack, x)


def _run(stack, x):
    for part in stack:
        if isinstance(part, Paths):
            ways = [_run(inner, x) for inner in part.stacks]
            x = (
                (x + ways[0]) / 2
                if part.residual
                else sum(way.mean(1, keepdim=True) for way in ways) / len(ways)
            )
        else:
            kind = "avg_pool" if part.kind == "max_pool" else part.kind
            plain = Layer(kind, 1, 1, part.kernel_size, part.stride, part.padding, dilation=part.dilation)
            module = _module(plain).double()
            for weight in module.parameters():
                torch.nn.init.constant_(weight, 1 / weight[0, 0].numel())
            x = module(x)
    return x


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([
    "conv 1 k3 p1", "conv 1 k5 s2 p2", "conv 1 k3 p2 d2", "avg k2", "avg k3 s2 p1", "conv 1 k1 x2",
    "residual: conv 1 k3 p1; conv 1 k3 p1",
]), min_size=1, max_size=4), st.sampled_from([(33, 33), (40, 31)]))  # fmt: skip
def test_receptive_fields_are_those_of_gradients(lines, size):
    stack = parse_stack("\n".join(lines), 1)
    x = torch.zeros(1, 1, *size, dtype=torch.float64, requires_grad=True)
    out = _AsModule(stack)(x)
    row, column = (out.shape[2] - 1) // 2, (out.shape[3] - 1) // 2
    out[0, 0, row, column].backward()
    gradient = x.grad[0, 0].numpy()
    np.testing.assert_allclose(path_shares(stack, size), gradient, atol=1e-12)
    assert stack_rows(stack, size)[-1].size == out.shape[2:]
    jump, first, last = receptive_field(stack, size)
    read = np.nonzero(gradient.any(1))[0]
    assert read[0] >= max(0, row * jump + first)
    assert read[-1] <= min(size[0] - 1, row * jump + last)
    if not any(
        "d2" in line for line in lines
    ):  # at the image's edge a dilated kernel may step over the field's end
        assert read[0] == max(0, row * jump + first)
        assert read[-1] == min(size[0] - 1, row * jump + last)


def test_branches_and_transposed_layers():
    stack = parse_stack("branches: conv 1 k1 | conv 1 k5 p2\nup 1 k2 s2", 1)
    # Channels behind a join: the transposed layer of this text takes both.
    assert [row.path for row in stack_rows(stack, (9, 9))] == ["branch 1", "branch 2", ""]
    assert stack_rows(stack, (9, 9))[-1].size == (18, 18)
    assert stack[1].in_channels == 2
    shares = path_shares(parse_stack("branches: conv 1 k1 | conv 1 k5 p2", 1), (9, 9))
    assert shares[4, 4] == pytest.approx((1 + 1 / 25) / 2)
    assert shares.sum() == pytest.approx(1)
    x = torch.zeros(1, 1, 9, 9, dtype=torch.float64, requires_grad=True)
    up = torch.nn.ConvTranspose2d(1, 1, 4, stride=2, padding=1, bias=False).double()
    torch.nn.init.constant_(up.weight, 1 / 4)
    up(x)[0, 0, 8, 8].backward()
    np.testing.assert_allclose(path_shares(parse_stack("up 1 k4 s2 p1", 1), (9, 9)), x.grad[0, 0].numpy())


def test_every_shipped_stack_runs():
    for title, text, words in STACKS.values():
        rows = stack_rows(parse_stack(text, 3), (64, 64))
        assert title
        assert words
        assert all(parse_stack(describe(row.layer), row.layer.in_channels)[0] == row.layer for row in rows)
    assert stack_rows(parse_stack(STACKS["vgg"][1], 64), (64, 64))[-1].field == 7
    cheap = sum(row.cost.parameters for row in stack_rows(parse_stack(STACKS["pointwise"][1], 3), (8, 8))[1:])
    assert cheap < cost(Layer(in_channels=256, out_channels=256, bias=True), (8, 8)).parameters / 8


def test_the_effective_side_is_smaller_than_the_field():
    shares = path_shares(parse_stack("conv 1 k3 p1 x20", 1), (64, 64))
    assert effective_side(shares) < 25 < stack_rows(parse_stack("conv 1 k3 p1 x20", 1), (64, 64))[-1].field
    assert effective_side(path_shares(parse_stack("conv 1 k1", 1), (9, 9))) == 1
    assert effective_side(path_shares(parse_stack("conv 1 k3 p1", 1), (9, 9))) == 3
    weights = np.random.default_rng(0).random((9, 6))
    side = effective_side(weights, 0.5)
    squares = [weights[i : i + side, j : j + side].sum() for i in range(9) for j in range(6)]
    smaller = [weights[i : i + side - 1, j : j + side - 1].sum() for i in range(9) for j in range(6)]
    assert max(smaller) < 0.5 * weights.sum() <= max(squares)


def test_a_residual_path_carries_the_gradient():
    plain, residual = gradient_norms(30, 0.5, False), gradient_norms(30, 0.5, True)
    assert plain.shape == (31,)
    assert plain[0] < 1e-6 < 1 <= residual[0]
    assert plain[-1] == residual[-1] == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The stack is empty"),
        ("conv 8 k3\nblur 3", "Line 2, 'blur 3': 'blur' is not a layer"),
        ("conv k3", "how many filters"),
        ("conv 8 k3 q2", "'q2' is not a setting"),
        ("conv 8 s0", "stride is 0"),
        ("max 7 k2", "pooling keeps its 3 channels"),
        ("residual: conv 8 k3 p1", "ends with 3 channels, and it ends with 8"),
        ("sum: conv 8", "write residual: or branches:"),
        ("branches: conv 8 k1 |", "one of the paths is empty"),
        ("conv 8 x101", "1 to 100 times"),
        ("conv 8 k99999 p50000", "k99999 is too large: write at most k64"),
        ("conv 8 k3 x99\nconv 8 k1 x99", "more than 100 layers"),
    ],
)
def test_a_bad_line_is_named(text, message):
    with pytest.raises(BadStack, match=message):
        parse_stack(text, 3)


def test_layers_that_do_not_fit_are_named():
    with pytest.raises(BadStack, match=r"conv 8 k9 on 4 × 4: The kernel needs 9 rows"):
        stack_rows(parse_stack("max k2\nconv 8 k9", 3), (8, 8))
    with pytest.raises(BadStack, match="sizes 8 × 8 and 6 × 6"):
        stack_rows(parse_stack("branches: conv 8 k1 | conv 8 k3", 3), (8, 8))
