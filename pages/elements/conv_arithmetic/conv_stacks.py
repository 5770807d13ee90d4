"""A stack of layers: what comes out, what it costs, and how much of the photo one unit sees."""

import pandas as pd
import streamlit as st

from core.by_hand.conv_stack import (
    BadStack,
    Row,
    Stack,
    effective_side,
    gradient_norms,
    path_shares,
    receptive_field,
    stack_rows,
)
from core.by_hand.stack_text import STACKS, parse_stack
from core.data.images import ReadImage, enlarge
from pages.elements.as_text import as_written
from pages.elements.conv_arithmetic.conv_sizes import memory_words
from pages.elements.conv_arithmetic.field_picture import boxed, lit, square
from pages.elements.conv_arithmetic.predict_first import predict_first

_HELP = (
    "One layer a line: `conv 64 k3 s2 p1` (filters, kernel, stride, padding; also `d2`, `g4`, `same`, "
    "`x5` for "
    "five times), `max k2`, `avg k2`, `up 64 k2 s2`, `residual: …; …`, `branches: … | …; …`."
)


def conv_stacks(photo: ReadImage) -> None:
    """Draw the stack of the address: table, receptive field on the photo, pyramid and gradients."""
    st.session_state.setdefault("conv_stack", STACKS["vgg"][1])
    st.pills(
        "Begin with",
        list(STACKS),
        format_func=lambda n: STACKS[n][0],
        key="conv_stack_preset",
        on_change=_take_preset,
    )
    left, right = st.columns([2, 3])
    with left:
        text = st.text_area("Layers", key="conv_stack", bind="query-params", height=210, help=_HELP)
        st.caption(_HELP)
        with st.container(horizontal=True):
            side = int(
                st.number_input(
                    "Image side", 8, 256, 128, key="conv_stack_side", bind="query-params", width=130
                )
            )
            channels = int(
                st.number_input(
                    "Channels", 1, 4096, 64, key="conv_stack_channels", bind="query-params", width=130
                )
            )
        read = _read(text, side, channels)
    if read is None:
        return
    stack, rows = read
    with right:
        hide = st.toggle(
            "Predict first",
            key="conv_stack_predict",
            bind="query-params",
            help="Hides sizes, costs and pictures until you have typed how much one unit sees.",
        )
        if hide and not _predicted(stack, side):
            return
        _table(rows, side)
        for title, known, words in STACKS.values():
            if known == text.strip():
                st.info(f"**{title}.** {words}", icon=":material/lightbulb:")
    _field(stack, side, photo)
    _pyramid(rows, side, photo)
    _gradients()
    _shipped(photo)


def _take_preset() -> None:
    name = st.session_state["conv_stack_preset"]
    if name in STACKS:
        st.session_state["conv_stack"] = STACKS[name][1]
        st.session_state["conv_stack_channels"] = {"vgg": 64, "pointwise": 256, "inception": 192}.get(name, 3)


def _read(text: str, side: int, channels: int) -> tuple[Stack, list[Row]] | None:
    """The stack, or the last good one where a line is wrong, which is then named under the text."""
    try:
        stack = parse_stack(text, channels)
        st.session_state["conv_stack_good"] = (stack, stack_rows(stack, (side, side)))
    except BadStack as error:
        st.error(as_written(error), icon=":material/error:")
        if "conv_stack_good" in st.session_state:
            st.caption("The last good stack is shown beside and below.")
    found: tuple[Stack, list[Row]] | None = st.session_state.get("conv_stack_good")
    return found


def _table(rows: list[Row], side: int) -> None:
    table = pd.DataFrame(
        {
            "layer": [f"{row.path}: {row.text}" if row.path else row.text for row in rows],
            "output": [f"{row.layer.out_channels} × {row.size[0]} × {row.size[1]}" for row in rows],
            "parameters": [row.cost.parameters for row in rows],
            "MACs": [row.cost.macs for row in rows],
            "sees": [row.field for row in rows],
            "jump": [row.jump for row in rows],
        }
    )
    st.dataframe(
        table,
        hide_index=True,
        height=min(420, 38 + 35 * len(rows)),
        column_config={
            "parameters": st.column_config.NumberColumn(format="localized"),
            "MACs": st.column_config.NumberColumn(format="compact"),
            "sees": st.column_config.NumberColumn(
                "sees (pixels)", help="The side of the receptive field of one unit."
            ),
            "jump": st.column_config.NumberColumn(help="The pixels of the image from one unit to the next."),
        },
    )
    with st.container(horizontal=True):
        st.metric("Parameters", f"{sum(row.cost.parameters for row in rows):,}")
        st.metric("MACs", f"{sum(row.cost.macs for row in rows):,}")
        st.metric("Outputs in memory", memory_words(sum(row.cost.output_bytes for row in rows)))


def _field(stack: Stack, side: int, photo: ReadImage) -> None:
    st.subheader("What one unit sees", anchor=False)
    depth = _depth(len(stack))
    part = stack[:depth]
    shares = path_shares(part, (side, side))
    jump, first, last = receptive_field(part, (side, side))
    middle = (stack_rows(part, (side, side))[-1].size[0] - 1) // 2
    pixels = square(photo.pixels, side)
    theory, counted = st.columns(2)
    box = (middle * jump + first, middle * jump + last)
    theory.image(
        boxed(pixels, box),
        width="stretch",
        caption=f"Theory: the middle unit sees {round(last - first) + 1} × "
        f"{round(last - first) + 1} pixels, orange where it looks beyond the image.",
        alt="The field that theory gives",
    )
    counted.image(
        lit(pixels, shares),
        width="stretch",
        caption="Counted: the brighter, the more paths lead from the pixel "
        f"to that unit. 95% of them come from {effective_side(shares)} × {effective_side(shares)} pixels.",
        alt="The paths to the middle unit, counted",
    )


def _depth(layers: int) -> int:
    """The layer behind which one looks: the last, also when the stack has grown, until another is chosen."""
    before, chosen = st.session_state.get("conv_stack_layers"), st.session_state.get("conv_stack_depth")
    if chosen is not None and (chosen > layers or chosen == before):
        st.session_state["conv_stack_depth"] = layers
    st.session_state["conv_stack_layers"] = layers
    if layers == 1:
        return 1
    return int(st.slider("Behind layer", 1, layers, layers, key="conv_stack_depth", bind="query-params"))


def _predicted(stack: Stack, side: int) -> bool:
    _, first, last = receptive_field(stack, (side, side))
    sees = round(last - first) + 1
    return predict_first(
        "How many pixels of a row does one unit behind the last layer see?",
        sees,
        f"pixels are seen, out of {side}",
        about=(stack, side),
    )


def _pyramid(rows: list[Row], side: int, photo: ReadImage) -> None:
    sizes = list(dict.fromkeys(row.size[0] for row in rows if row.size[0] < side))
    if not sizes:
        return
    st.subheader("The pyramid", anchor=False)
    st.caption("The photo with as many pixels as each layer has places: what is left of where things are.")
    pixels = square(photo.pixels, side)
    for column, size in zip(st.columns(min(6, len(sizes) + 1)), [side, *sizes][:6], strict=False):
        column.image(
            enlarge(square(pixels, size), 240),
            width="stretch",
            caption=f"{size} × {size}",
            alt=f"The image at {size} × {size}",
        )


def _gradients() -> None:
    st.subheader("Why a residual path carries the gradient", anchor=False)
    st.caption(
        "A random network of layers x → relu(W x), and the same with its input added. On a chain the "
        "gradient is "
        "multiplied at every layer and vanishes or explodes; past an addition it has its own path."
    )
    with st.container(horizontal=True):
        depth = st.slider("Layers", 2, 100, 40, key="conv_gradient_depth", bind="query-params", width=320)
        gain = st.slider(
            "Size of the weights, He's = 1",
            0.2,
            1.6,
            0.4,
            0.05,
            key="conv_gradient_gain",
            bind="query-params",
            width=320,
        )
    table = pd.concat(
        pd.DataFrame(
            {"layer": range(depth + 1), "gradient": gradient_norms(depth, gain, residual), "network": name}
        )
        for residual, name in ((False, "chain"), (True, "residual"))
    )
    spec = {
        "mark": {"type": "line", "point": depth <= 40, "tooltip": True},
        "encoding": {
            "x": {"field": "layer", "type": "quantitative", "title": "layer, from the image to the answer"},
            "y": {
                "field": "gradient",
                "type": "quantitative",
                "scale": {"type": "log"},
                "title": "length of the gradient",
                "axis": {"format": ".0e"},
            },
            "color": {"field": "network", "type": "nominal", "scale": {"range": ["#e8710a", "#0b8aa8"]}},
        },
        "height": 260,
    }
    st.vega_lite_chart(table, spec, width="stretch", alt="The cost of the layers")


def _shipped(photo: ReadImage) -> None:
    """Sizes and the measured receptive field of a trained network; only this needs PyTorch."""
    if not st.toggle("Compare with a shipped network", key="conv_stack_network", bind="query-params"):
        return
    from pages.elements.conv_arithmetic.network_field import network_field

    network_field(photo)
