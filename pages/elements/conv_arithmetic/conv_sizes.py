"""Sizes, parameters, MACs and memory of one layer, with the formula and its numbers."""

import streamlit as st

from core.by_hand.conv_layer import KINDS, BadLayer, Layer, Pair, output_size
from core.by_hand.conv_presets import size_presets
from core.by_hand.layer_cost import code, cost, formula
from pages.elements.as_text import as_written
from pages.elements.conv_arithmetic.predict_first import predict_first

_DEFAULTS = {
    "rows": 128,
    "columns": 128,
    "in": 32,
    "out": 16,
    "kernel": 3,
    "stride": 1,
    "dilation": 1,
    "groups": 1,
    "added": 0,
}


def conv_sizes() -> None:
    """Draw the form of one layer, and what follows from it."""
    st.markdown(
        "The output has as many rows as the window has places to stand: how far it can move, divided by the "
        "stride, plus one."
    )
    titles = {p.name: p.title for p in size_presets()}
    chosen = st.pills(
        "Exercises",
        [p.name for p in size_presets()],
        key="conv_size_preset",
        on_change=_take_preset,
        format_func=lambda name: titles[name],
    )
    layer_and_size = _form()
    if layer_and_size is not None:
        st.session_state["conv_size_good"] = layer_and_size
    elif "conv_size_good" in st.session_state:
        st.caption("The last good result is shown below.")
    else:
        return
    layer, size = st.session_state["conv_size_good"]
    if st.toggle("Predict first", key="conv_size_predict", bind="query-params") and not _predicted(
        layer, size
    ):
        return
    _result(layer, size)
    for preset in size_presets():
        if preset.name == chosen and preset.layer == layer and preset.size == size and preset.note:
            st.info(f"**What went wrong:** {preset.note}", icon=":material/history_edu:")


def _form() -> tuple[Layer, Pair] | None:
    """The layer and its input's size, or None where a setting is wrong, which is then named."""
    with st.container(horizontal=True, key="conv_size_form"):
        kind = st.selectbox(
            "Layer",
            list(KINDS),
            format_func=lambda k: KINDS[k],
            key="conv_size_kind",
            bind="query-params",
            width=220,
        )
        pooling = kind in ("max_pool", "avg_pool")
        rows = _number("rows", "Rows", 1, 8192)
        columns = _number("columns", "Columns", 1, 8192)
        channels = _number("in", "Channels in", 1, 8192)
        filters = channels if pooling else _number("out", "Filters", 1, 8192)
        kernel = _number("kernel", "Kernel", 0, 999)
        stride = _number("stride", "Stride", 0, 999)
        padding = st.text_input(
            "Padding",
            "0",
            key="conv_size_padding",
            bind="query-params",
            width=110,
            help='A whole number, and for a convolution also "same" or "valid".',
        )
        dilation = 1 if kind == "avg_pool" else _number("dilation", "Dilation", 0, 999)
        groups = 1 if pooling else _number("groups", "Groups", 0, 8192)
        added = _number("added", "Output padding", 0, 999) if kind == "conv_transpose" else 0
        bias = not pooling and st.checkbox("Bias", True, key="conv_size_bias", bind="query-params")
        ceil = pooling and st.checkbox("Ceil mode", False, key="conv_size_ceil", bind="query-params")
    try:
        layer = Layer(
            kind or "conv",
            channels,
            filters,
            (kernel, kernel),
            (stride, stride),
            _padding(padding),
            dilation=(dilation, dilation),
            groups=groups,
            bias=bias,
            ceil_mode=ceil,
            output_padding=(added, added),
        )
        output_size(layer, (rows, columns))
    except BadLayer as error:
        st.error(f"**{error.field.replace('_', ' ')}**: {as_written(error)}", icon=":material/error:")
        return None
    return layer, (rows, columns)


def _number(name: str, label: str, least: int, most: int) -> int:
    return int(
        st.number_input(
            label, least, most, _DEFAULTS[name], key=f"conv_size_{name}", bind="query-params", width=130
        )
    )


def _padding(text: str) -> Pair | str:
    text = text.strip().lower()
    return (int(text), int(text)) if text.isdigit() and len(text) < 5 else text


def _take_preset() -> None:
    """Put an exercise's numbers into the form, before its widgets are drawn: hence a callback."""
    found = [p for p in size_presets() if p.name == st.session_state["conv_size_preset"]]
    if not found:
        return
    layer, size = found[0].layer, found[0].size
    values = {
        "kind": layer.kind,
        "rows": size[0],
        "columns": size[1],
        "in": layer.in_channels,
        "out": layer.out_channels,
        "kernel": layer.kernel_size[0],
        "stride": layer.stride[0],
        "padding": str(layer.paddings[0][0]),
        "dilation": layer.dilation[0],
        "groups": layer.groups,
        "bias": layer.bias,
    }
    for name, value in values.items():
        st.session_state[f"conv_size_{name}"] = value


def _predicted(layer: Layer, size: Pair) -> bool:
    """Ask for the output's rows; True once something was typed, which is then judged."""
    rows = output_size(layer, size)[0]
    return predict_first("How many rows come out?", rows, "rows come out", about=(layer, size))


def _result(layer: Layer, size: Pair) -> None:
    height, width = output_size(layer, size)
    st.latex(formula(layer, size, 0))
    if formula(layer, size, 0).partition("=")[2] != formula(layer, size, 1).partition("=")[2]:
        st.latex(formula(layer, size, 1))
    found = cost(layer, size)
    with st.container(horizontal=True):
        st.metric("Output", f"{height} × {width} × {layer.out_channels}", border=True)
        st.metric("Parameters", f"{found.parameters:,}", border=True, help=_parameters_words(layer))
        st.metric(
            "MACs", f"{found.macs:,}", border=True, help="Multiply-accumulate operations for one image."
        )
        st.metric(
            "Output in memory", memory_words(found.output_bytes), border=True, help="One image in float32."
        )
    st.caption(_parameters_words(layer))
    st.code(code(layer), language="python")


def _parameters_words(layer: Layer) -> str:
    if layer.is_pooling:
        return "Pooling has nothing to learn."
    first, second, kh, kw = layer.weight_shape
    words = f"{first} × {second} × {kh} × {kw} = {first * second * kh * kw:,} weights"
    return f"{words} + {layer.out_channels} biases" if layer.bias else words


def memory_words(count: int) -> str:
    """Bytes as people read them."""
    for unit, size in (("GB", 2**30), ("MB", 2**20), ("KB", 2**10)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count} bytes"
