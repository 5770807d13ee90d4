"""All channels of a layer as cards, sorted and searched, page by page."""

import numpy as np
import streamlit as st

from core.ablation.channel_ranges import parse_channels
from pages.elements.filters.chosen_filters import CHANNEL, VIEW, VIEWS, Filters, toggle_channel
from pages.elements.filters.costs import cost_buttons, cost_caption, known_costs
from pages.elements.filters.filter_cards import filter_cards
from pages.elements.filters.tiles import figure_lines, kernels_of, patch_tiles

A_PAGE = 24
PATCHES_PER_CARD = 6
TWIN_CORRELATION = 0.95


def cards_view(f: Filters) -> None:
    """All channels of the layer as cards, sorted and searched, page by page."""
    one, layer = f.one, f.layer
    costs = known_costs(f)
    selectivity, dead = one.selectivity(), one.dead()
    twins, cosines = f.answer[f"{f.number}/twins"], f.answer[f"{f.number}/twin_cosines"]
    sorts: dict[str, np.ndarray] = {
        "number": np.arange(layer["channels"]),
        "most selective": -selectivity,
        "least selective": selectivity,
        "strongest activation": -one.top_values[:, 0],
        "strongest norm": -one.norm_values[:, 0],
        "highest mean": -one.mean,
        "largest spread": -one.std,
        "most often zero": -one.zeros,
        "nearest copy of another": -cosines,
    }
    if costs is not None:
        costly = np.argsort(costs.ranked())
        sorts = {"costs most": costly, "costs least": -costly, "loss rises most": -costs.loss, **sorts}
    place = st.container()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        order_by = st.selectbox("Sort by", list(sorts), key="fl_sort", width=210)
        preferred = st.selectbox(
            "Prefers", ["any class", *f.dataset.class_names], key="fl_prefers", width=160,
            help="Channels whose mean activation is highest on this class.",
        )  # fmt: skip
        search = st.text_input(
            "Channels", key="fl_search", placeholder="3, 10-20, dead, copy, off", width=230,
            help="Numbers and ranges, or one of the words dead, copy and off.",
        )  # fmt: skip
        cost_buttons(f, costs)
    keep = _searched(search, f, dead, cosines)
    if preferred in f.dataset.class_names:
        keep &= one.preferred(1)[:, 0] == f.dataset.class_names.index(preferred)
    order = [int(c) for c in np.argsort(sorts[order_by or "number"], kind="stable") if keep[c]]
    off = set(f.off.get(layer["name"], []))
    kernels, kernel_words = kernels_of(f)
    framed = f" Framed: {kernel_words}." if kernels is not None else ""
    st.caption(
        f"{len(order):,} of {layer['channels']:,} channels, looked at {layer['place']}. "
        f"{int(dead.sum())} dead, {int((cosines >= TWIN_CORRELATION).sum())} near copies of another, "
        f"{len(off)} off. "
        f"Click the patches to look closer.{framed}"
    )
    if costs is not None:
        st.caption(cost_caption(costs))
    if not order:
        st.info("No channel is like that: search for something else.", icon=":material/search_off:")
        return
    pages = -(-len(order) // A_PAGE)
    if st.session_state.get("fl_page", 1) > pages:
        st.session_state["fl_page"] = 1
    number = st.pagination(pages, key="fl_page") if pages > 1 else 1
    some = np.array(order[(number - 1) * A_PAGE : number * A_PAGE])
    cards = []
    for c in some.tolist():
        badges = []
        if dead[c]:
            badges.append(["dead", "It answers the same to every image."])
        if cosines[c] >= TWIN_CORRELATION:
            badges.append(
                [f"copy of {twins[c]}", f"The cosine of the angle between their kernels is {cosines[c]:.3f}."]
            )
        cards.append(
            {
                "channel": c,
                "values": [float(v) for v in one.top_values[c, :PATCHES_PER_CARD] if np.isfinite(v)],
                "badges": badges,
                "lines": figure_lines(f, c, selectivity, costs),
                "off": c in off,
            }
        )
    if kernels is not None:
        kernels = kernels[some]
    n = PATCHES_PER_CARD - (kernels is not None)
    for card in cards:
        card["values"] = card["values"][:n]
    patches = patch_tiles(f, f.number, one.top_rows[some, :n], one.top_places[some, :n])
    with place:  # the pictures first, what orders them below
        filter_cards(
            cards, patches, kernels, kernel_words, key="fl_cards", on_open=_open,
            on_switch=lambda: _switch(f),
        )  # fmt: skip


def _searched(text: str, f: Filters, dead: np.ndarray, cosines: np.ndarray) -> np.ndarray:
    """Which channels a search keeps: (C,) bool."""
    word = (text or "").strip().lower()
    if not word:
        return np.ones(len(dead), bool)
    keep = np.zeros(len(dead), bool)
    off = f.off.get(f.layer["name"], [])
    known = {"dead": dead, "copy": cosines >= TWIN_CORRELATION, "off": np.isin(np.arange(len(dead)), off)}
    if word in known:
        return known[word]
    for channels in parse_channels([f"{f.layer['name']}:{word}"]).values():
        inside = [c for c in channels if c < len(keep)]
        keep[inside] = True
    return keep


def _open() -> None:
    channel = st.session_state["fl_cards"]["opened"]
    if isinstance(channel, int):
        st.query_params[CHANNEL] = str(channel)
        st.session_state[VIEW] = VIEWS[1]
        st.session_state["fl_channel_number"] = channel


def _switch(f: Filters) -> None:
    channel = st.session_state["fl_cards"]["switched"]
    if isinstance(channel, int):
        toggle_channel(f, channel)
