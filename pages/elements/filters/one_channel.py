"""One channel large: its images, its figures, its histogram, its map over the chosen image."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import streamlit as st

from core.data.images import enlarge
from core.filters.channel_statistics import BINS
from core.filters.filter_index import RankedImages
from core.filters.patches import tile, with_box
from pages.elements.as_text import plain
from pages.elements.figures.picture_row import picture_row
from pages.elements.filters.chosen_filters import (
    CHANNEL,
    PATCHES_PER_CHANNEL,
    Filters,
    chosen_channel,
    shown,
    toggle_channel,
)
from pages.elements.filters.costs import known_costs
from pages.elements.filters.tiles import figure_lines, kernels_of
from pages.elements.pickers.chosen_image import set_chosen_image


def channel_view(f: Filters, channel_map: Callable[[Filters, int], None]) -> None:
    """One channel large.

    Args:
        channel_map: Draws its map over the chosen image.
    """
    layer = f.layer
    c = chosen_channel(layer.channels)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.number_input(
            f"Channel of {plain(layer.name)}, 0 to {layer.channels - 1}", 0, layer.channels - 1, c,
            key="fl_channel_number", on_change=_type_channel, width=220,
        )  # fmt: skip
        st.button(
            "Switch it on again" if c in f.off.get(layer.name, []) else "Switch it off",
            icon=":material/power_settings_new:", on_click=toggle_channel, args=(f, c),
        )  # fmt: skip
        k = st.slider("Images", 1, PATCHES_PER_CHANNEL, 9, key="fl_k", width=220)
    left, right = st.columns([3, 2], gap="large")
    with left:
        _images(f, c, k)
    with right:
        _figures(f, c)
        _histogram(f, c)
        channel_map(f, c)


def _images(f: Filters, c: int, k: int) -> None:
    """The first k images of the list that is chosen."""
    ranked, note = _chosen_list(f, c)
    st.caption(f"{note} Click one to make it the chosen image of every page.")
    found = [i for i in range(min(k, len(ranked.rows))) if ranked.rows[i] >= 0]
    if found:
        picture_row(
            np.stack([_beside(f, int(ranked.rows[i]), int(ranked.places[i])) for i in found]),
            [f"{shown(ranked.values[i])} · {f.class_of(int(ranked.rows[i]))}" for i in found],
            [int(ranked.rows[i]) for i in found],
            key="fl_images", title="Make it the chosen image of every page", on_pick=lambda: _pick(f),
        )  # fmt: skip


def _chosen_list(f: Filters, c: int) -> tuple[RankedImages, str]:
    """Draw the choice of the list; returned is the list, and what it is ranked by."""
    one, names = f.one, f.dataset.class_names
    kinds = ["Strongest", "By norm", "Weakest"] + (["Within a class"] if one.has_classes else [])
    kind = st.segmented_control(
        "Images", kinds, default="Strongest", key="fl_kind", required=True, label_visibility="collapsed"
    )
    if kind == "By norm":
        return one.by_norm(c), "The whole map counts: the square root of the sum of its squares."
    if kind == "Weakest":
        return one.weakest(c), "The images whose largest value is smallest."
    label = None
    if kind == "Within a class":
        best = int(one.preferred(1)[c, 0])
        label = names.index(st.selectbox("Class", names, index=best, key=f"fl_class_{one.name}_{c}"))
    note = "The largest value on its map; beside each image the part that this place sees."
    return one.strongest(c, label), note


def _figures(f: Filters, c: int) -> None:
    one = f.one
    kernels, kernel_words = kernels_of(f)
    if kernels is not None:
        st.image(enlarge(kernels[c], 96), width=96, alt=f"The weights of filter {c}")
        st.caption(f"{kernel_words[0].upper()}{kernel_words[1:]}")
    for line in figure_lines(f, c, one.selectivity(), known_costs(f)):
        st.markdown(plain(line))
    st.markdown(
        f"Nearest kernel: channel {one.nearest_kernel[c]} (cosine {one.nearest_cosine[c]:.2f})"
        if one.nearest_kernel[c] >= 0
        else "It is the only filter of its layer."
    )


def _histogram(f: Filters, c: int) -> None:
    """How strongly images activate the channel, in the colors of the classes that it prefers."""
    one, names = f.one, f.dataset.class_names
    counts, top = one.histograms[c], float(one.histogram_tops[c])
    filled = np.flatnonzero(counts[:, 1:].sum(0))
    last = int(filled[-1]) + 1 if len(filled) else 1
    best = one.preferred(4)[c].tolist() if len(counts) > 1 else []
    groups = [(names[i], counts[i]) for i in best]
    rest = counts.sum(0) - sum((g for _, g in groups), np.zeros(BINS + 1, int))
    groups.append(("other classes" if best else "all images", rest))
    edges = np.linspace(0, top, BINS + 1)
    table = pd.DataFrame(
        [
            {"from": 0.0 if b == 0 else edges[b - 1], "to": 0.0 if b == 0 else edges[b], "bin": b,
             "label": "0 or less" if b == 0 else f"to {shown(edges[b])}", "images": int(group[b]),
             "class": name}
            for name, group in groups for b in range(last + 1)
        ]
    )  # fmt: skip
    order = list(dict.fromkeys(table["label"]))
    st.markdown("**How strongly images activate it**")
    st.vega_lite_chart(
        table,
        {
            "mark": {"type": "bar", "tooltip": True},
            "height": 280,
            "encoding": {
                "x": {"field": "label", "type": "nominal", "sort": order, "title": "largest value on the map",
                      "axis": {"labelOverlap": True, "labelAngle": 0}},
                "y": {"field": "images", "type": "quantitative", "title": "images"},
                "color": {"field": "class", "type": "nominal", "title": None, "sort": [n for n, _ in groups],
                          "legend": {"orient": "top", "columns": 3}},
            },
        },
        width="stretch",
        key="fl_histogram", alt="The mean activation of every class",
    )  # fmt: skip


def _beside(f: Filters, row: int, place: int) -> np.ndarray:
    """What the place sees, beside the whole image with a box around it: (side, 2 · side + gap, 4)."""
    pixels = f.pixels(row)
    longest = max(pixels.shape[:2])
    factor = max(1, 112 // longest)
    box = f.layer.box(place) if place >= 0 else None
    whole = with_box(pixels, box, factor)
    if longest > 112:
        whole = whole[:: -(-longest // 112), :: -(-longest // 112)]
    height, width = whole.shape[:2]
    out = np.zeros((height, width if place < 0 else width + 6 + height, 4), np.uint8)
    out[:, -width:, :3], out[:, -width:, 3] = whole, 255
    if place >= 0:
        out[:, :height] = tile(pixels, box, height)
    return out


def _type_channel() -> None:
    st.query_params[CHANNEL] = str(int(st.session_state["fl_channel_number"]))


def _pick(f: Filters) -> None:
    row = st.session_state["fl_images"]["picked"]
    if isinstance(row, int) and 0 <= row < len(f.split):
        set_chosen_image(f.dataset.name, f.split_name, row)
