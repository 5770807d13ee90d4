"""Convolution by hand: what comes out of a layer, cell by cell, and why, in NumPy and the standard library.

The tests compare `forward` with `torch.nn.functional` over random shapes and settings.
"""

import numpy as np

from core.by_hand.conv_layer import PADDING_MODES, BadLayer, Layer, Pair, output_size


def forward(
    layer: Layer, x: np.ndarray, weight: np.ndarray | None = None, bias: np.ndarray | None = None
) -> np.ndarray:
    """The layer's output.

    Shape:
        x: (C, H, W)
        weight: `layer.weight_shape`; None for pooling
        bias: (out_channels,) or None
        returns: (out_channels, H_out, W_out) float64
    Raises:
        BadLayer: The shapes do not fit the layer.
    """
    x = np.asarray(x, np.float64)
    check_arrays(layer, x, weight, bias)
    height, width = output_size(layer, (x.shape[1], x.shape[2]))
    if layer.is_pooling:
        return _pool(layer, x, (height, width))
    assert weight is not None
    weight = np.asarray(weight, np.float64)
    out = np.zeros((layer.out_channels, height, width))
    if bias is not None:
        out += np.asarray(bias, np.float64)[:, None, None]
    if layer.kind == "conv_transpose":
        return out + _conv_transpose(layer, x, weight, (height, width))
    ins, outs = layer.in_channels // layer.groups, layer.out_channels // layer.groups
    padded = _padded(layer, x)
    for (ky, kx), (rows, columns) in _tap_slices(layer, (height, width)):
        read = padded[:, rows, columns]
        for g in range(layer.groups):
            group = slice(g * outs, (g + 1) * outs)
            out[group] += np.tensordot(weight[group, :, ky, kx], read[g * ins : (g + 1) * ins], axes=1)
    return out


def divisor(layer: Layer, size: Pair, cell: Pair) -> int:
    """What average pooling divides the sum of a window by: its cells, with or without the padding's."""
    count = 1
    for axis in (0, 1):
        before, after = layer.paddings[axis]
        start = cell[axis] * layer.stride[axis] - before
        # Rows that only ceil_mode reaches are never counted, those of the padding where asked for.
        stop = min(start + layer.kernel_size[axis], size[axis] + after)
        if not layer.count_include_pad:
            start, stop = max(start, 0), min(stop, size[axis])
        count *= stop - start
    return count


def check_arrays(layer: Layer, x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None) -> None:
    """Raise `BadLayer` unless input, weight and bias have the layer's shapes."""
    if x.ndim != 3 or x.shape[0] != layer.in_channels:
        raise BadLayer(
            "input", f"The input has the shape {x.shape}: the layer takes ({layer.in_channels}, H, W)."
        )
    if layer.is_pooling:
        return
    if weight is None or weight.shape != layer.weight_shape:
        shape = None if weight is None else weight.shape
        raise BadLayer("weight", f"The weight has the shape {shape}: the layer needs {layer.weight_shape}.")
    if bias is not None and bias.shape != (layer.out_channels,):
        raise BadLayer(
            "bias", f"The bias has the shape {bias.shape}: the layer needs ({layer.out_channels},)."
        )


def _padded(layer: Layer, x: np.ndarray) -> np.ndarray:
    if layer.padding_mode == "zeros":
        return np.pad(x, ((0, 0), *layer.paddings))
    return np.pad(x, ((0, 0), *layer.paddings), mode=PADDING_MODES[layer.padding_mode])  # type: ignore[call-overload]


def _tap_slices(layer: Layer, out: Pair) -> list[tuple[Pair, tuple[slice, slice]]]:
    """For every tap of the kernel, the part of the padded input that it reads for all output cells."""
    (kh, kw), (sh, sw), (dh, dw) = layer.kernel_size, layer.stride, layer.dilation
    return [
        (
            (ky, kx),
            (
                slice(ky * dh, ky * dh + (out[0] - 1) * sh + 1, sh),
                slice(kx * dw, kx * dw + (out[1] - 1) * sw + 1, sw),
            ),
        )
        for ky in range(kh)
        for kx in range(kw)
    ]


def _conv_transpose(layer: Layer, x: np.ndarray, weight: np.ndarray, out: Pair) -> np.ndarray:
    """Every input cell stamps the kernel, times its value, onto the output; the padding is then cut off."""
    ins, outs = layer.in_channels // layer.groups, layer.out_channels // layer.groups
    (top, bottom), (left, right) = layer.paddings
    canvas = np.zeros((layer.out_channels, out[0] + top + bottom, out[1] + left + right))
    for (ky, kx), (rows, columns) in _tap_slices(layer, (x.shape[1], x.shape[2])):
        for g in range(layer.groups):
            group = slice(g * ins, (g + 1) * ins)
            canvas[g * outs : (g + 1) * outs, rows, columns] += np.tensordot(
                weight[group, :, ky, kx].T, x[group], axes=1
            )
    return canvas[:, top : top + out[0], left : left + out[1]]


def _pool(layer: Layer, x: np.ndarray, out: Pair) -> np.ndarray:
    fill = -np.inf if layer.kind == "max_pool" else 0.0
    pads = [(0, 0)]
    for axis in (0, 1):
        before, after = layer.paddings[axis]
        reached = (out[axis] - 1) * layer.stride[axis] + layer.extent[axis]
        pads.append((before, max(after, reached - before - x.shape[axis + 1])))
    padded = np.pad(x, pads, constant_values=fill)
    windows = np.stack([padded[:, rows, columns] for _, (rows, columns) in _tap_slices(layer, out)])
    if layer.kind == "max_pool":
        return windows.max(axis=0)
    size = (x.shape[1], x.shape[2])
    divisors = [[divisor(layer, size, (i, j)) for j in range(out[1])] for i in range(out[0])]
    return windows.sum(axis=0) / np.array(divisors)
