"""Convolution arithmetic against torch.nn.functional, over random shapes and settings."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.by_hand.conv_arithmetic import divisor, forward
from core.by_hand.conv_layer import BadLayer, Layer, output_size
from tests.by_hand.conv_terms import fed_by, terms, unread

pairs = {n: st.tuples(st.integers(1, n), st.integers(1, n)) for n in (2, 3, 4)}
sizes = st.tuples(st.integers(1, 9), st.integers(1, 9))
quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _numbers(seed, *shape):
    return np.random.default_rng(seed).integers(-9, 10, shape).astype(np.float64)


@st.composite
def convolutions(draw, kind="conv"):
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    stride = draw(pairs[3])
    modes = ["zeros", "reflect", "replicate", "circular"] if kind == "conv" else ["zeros"]
    padding = draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
    if kind == "conv" and draw(st.booleans()):
        padding = draw(st.sampled_from(["same", "valid"] if stride == (1, 1) else ["valid"]))
    dilation = draw(pairs[2])
    extra = (0, 0)
    if kind == "conv_transpose":
        extra = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True))
    return Layer(
        kind,
        groups * draw(st.integers(1, 2)),
        groups * draw(st.integers(1, 2)),
        draw(pairs[4]),
        stride,
        padding,
        draw(st.sampled_from(modes)),
        dilation,
        groups,
        draw(st.booleans()),
        output_padding=extra,
    )


@st.composite
def poolings(draw, kind):
    kernel = draw(pairs[4])
    dilation = draw(pairs[2]) if kind == "max_pool" else (1, 1)
    return Layer(
        kind, 2, 2, kernel, draw(pairs[4]),
        tuple(draw(st.integers(0, k // 2)) for k in kernel),
        dilation=dilation, ceil_mode=draw(st.booleans()), count_include_pad=draw(st.booleans()),
    )  # fmt: skip


def _of_torch(layer, x, weight, bias):
    """PyTorch's answer through its own modules, so that padding modes are its own too."""
    to = {"kernel_size": layer.kernel_size, "stride": layer.stride, "padding": layer.padding}
    tensor = torch.from_numpy(x)[None]
    if layer.kind == "max_pool":
        return F.max_pool2d(tensor, **to, dilation=layer.dilation, ceil_mode=layer.ceil_mode)[0].numpy()
    if layer.kind == "avg_pool":
        more = {"ceil_mode": layer.ceil_mode, "count_include_pad": layer.count_include_pad}
        return F.avg_pool2d(tensor, **to, **more)[0].numpy()
    to |= {"dilation": layer.dilation, "groups": layer.groups, "bias": layer.bias, "dtype": torch.float64}
    if layer.kind == "conv":
        module = torch.nn.Conv2d(layer.in_channels, layer.out_channels, padding_mode=layer.padding_mode, **to)
    else:
        module = torch.nn.ConvTranspose2d(
            layer.in_channels, layer.out_channels, output_padding=layer.output_padding, **to
        )
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(weight))
        if bias is not None:
            module.bias.copy_(torch.from_numpy(bias))
        return module(tensor)[0].numpy()


def _arrays(layer, size, seed=0):
    x = _numbers(seed, layer.in_channels, *size)
    weight = None if layer.is_pooling else _numbers(seed + 1, *layer.weight_shape)
    return x, weight, _numbers(seed + 2, layer.out_channels) if layer.bias else None


def _agrees_with_torch(layer, size):
    x, weight, bias = _arrays(layer, size)
    try:
        expected = _of_torch(layer, x, weight, bias)
    except RuntimeError:
        with pytest.raises(BadLayer):  # what PyTorch refuses is refused here, and the other way round
            forward(layer, x, weight, bias)
        return
    found = forward(layer, x, weight, bias)
    assert output_size(layer, size) == expected.shape[1:]
    np.testing.assert_allclose(found, expected, atol=1e-9)
    _terms_make_the_cells(layer, x, weight, bias, found)


def _terms_make_the_cells(layer, x, weight, bias, found):
    size = x.shape[1:]
    fed = {}
    for (o, i, j), value in np.ndenumerate(found):
        parts = terms(layer, x, weight, o, (i, j))
        if layer.kind == "max_pool":
            # PyTorch too gives −∞ where a dilated window falls between the input's cells.
            assert max((part.value for part in parts), default=-np.inf) == value
        elif layer.kind == "avg_pool":
            assert sum(p.value for p in parts) / divisor(layer, size, (i, j)) == pytest.approx(value)
        else:
            total = sum(p.product for p in parts) + (0 if bias is None else bias[o])
            assert total == pytest.approx(value)
        for part in parts:
            if part.source is not None and o == 0:
                assert x[part.channel, part.source[0], part.source[1]] == part.value
                fed.setdefault(part.source, set()).add(((i, j), part.tap))
    for source in np.ndindex(size):
        assert set(fed_by(layer, size, source)) == fed.get(source, set())


@quick
@given(convolutions(), sizes)
def test_convolution_is_pytorchs(layer, size):
    _agrees_with_torch(layer, size)


@quick
@given(convolutions("conv_transpose"), sizes)
def test_transposed_convolution_is_pytorchs(layer, size):
    _agrees_with_torch(layer, size)


@quick
@given(st.one_of(poolings("max_pool"), poolings("avg_pool")), sizes)
def test_pooling_is_pytorchs(layer, size):
    _agrees_with_torch(layer, size)


@quick
@given(st.one_of(convolutions(), poolings("max_pool")), sizes)
def test_unread_rows_change_nothing(layer, size):
    if layer.kind == "conv" and layer.padding_mode != "zeros":
        return  # there a padding row shows an inner one, so an unread row may be read elsewhere
    x, weight, bias = _arrays(layer, size)
    try:
        before = forward(layer, x, weight, bias)
    except BadLayer:
        return
    rows, columns = unread(layer, size)
    top, left = layer.paddings[0][0], layer.paddings[1][0]
    inner_rows = [r - top for r in rows if 0 <= r - top < size[0]]
    inner_columns = [c - left for c in columns if 0 <= c - left < size[1]]
    x[:, inner_rows, :] = 1000
    x[:, :, inner_columns] = 1000
    np.testing.assert_array_equal(forward(layer, x, weight, bias), before)
    for cell in np.ndindex(size):
        if cell[0] not in inner_rows and cell[1] not in inner_columns:
            assert fed_by(layer, size, cell)


def test_a_stride_leaves_rows_over():
    assert unread(Layer(kernel_size=(3, 3), stride=(2, 2)), (6, 7)) == ([5], [])
    assert unread(Layer(kernel_size=(1, 1), stride=(3, 3)), (5, 4)) == ([1, 2, 4], [1, 2])


@pytest.mark.parametrize(
    ("settings", "field", "message"),
    [
        ({"stride": (0, 1)}, "stride", "stride is 0: choose a whole number, 1 or more"),
        ({"kind": "blur"}, "kind", "no layer of the kind 'blur'.*conv"),
        ({"padding": "full"}, "padding", 'padding is \'full\': write a whole number, "same" or "valid"'),
        ({"padding": "same", "stride": (2, 2)}, "padding", "stride 1 only"),
        ({"in_channels": 3, "groups": 2}, "groups", "in_channels = 3 is not a multiple"),
        ({"padding_mode": "mirror"}, "padding_mode", "'mirror'. Choose one of zeros, reflect"),
        (
            {"kind": "max_pool", "kernel_size": (2, 2), "padding": (2, 2)},
            "padding",
            "at most half of the kernel",
        ),
        ({"kind": "avg_pool", "dilation": (2, 2)}, "dilation", "average pooling has none"),
        ({"kind": "conv_transpose", "output_padding": (1, 1)}, "output_padding", "smaller than the stride"),
    ],
)
def test_a_bad_setting_is_named(settings, field, message):
    with pytest.raises(BadLayer, match=message) as caught:
        Layer(**settings)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernel_size": (5, 5), "padding": (0, 0)}, "The kernel needs 5 rows, but the padded input has 4"),
        ({"padding": (4, 4), "padding_mode": "reflect"}, "smaller than the input's 4 rows"),
        ({"padding": (5, 5), "padding_mode": "circular"}, "at most the input's 4 rows"),
        ({"kind": "conv_transpose", "padding": (4, 4)}, "cuts away all"),
    ],
)
def test_a_layer_that_does_not_fit_its_input_is_named(settings, message):
    with pytest.raises(BadLayer, match=message):
        output_size(Layer(**settings), (4, 4))


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(BadLayer, match=r"takes \(2, H, W\)"):
        forward(Layer(in_channels=2), np.zeros((1, 4, 4)), np.zeros((1, 2, 3, 3)))
    with pytest.raises(BadLayer, match=r"needs \(1, 1, 3, 3\)"):
        forward(Layer(), np.zeros((1, 4, 4)), np.zeros((1, 1, 2, 2)))
