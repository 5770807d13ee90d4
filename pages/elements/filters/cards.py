"""All channels of a layer as cards, sorted and searched, page by page."""

from dataclasses import dataclass

import numpy as np
import streamlit as st

from core.ablation.atlas import Atlas
from core.ablation.channel_ranges import parse_channels
from core.filters.filter_index import LayerIndex
from pages.elements.filters.chosen_filters import CHANNEL, VIEW, VIEWS, Filters, toggle_channel
from pages.elements.filters.costs import cost_buttons, cost_caption, known_costs
from pages.elements.filters.filter_cards import FilterCard, filter_cards
from pages.elements.filters.tiles import figure_lines, kernels_of, patch_tiles

CARDS_PER_PAGE = 24
PATCHES_PER_CARD = 6
COSINE_OF_A_COPY = 0.95  # between two kernels, from which one counts as a near copy of the other


@dataclass(frozen=True, eq=False)
class _Facts:
    """What the cards say of the C channels of the layer.

    Attributes:
        selectivity: (C,) from 0 to 1.
        dead: (C,) bool.
        costs: What each costs, where that was measured.
    """

    selectivity: np.ndarray
    dead: np.ndarray
    costs: Atlas | None


def cards_view(f: Filters) -> None:
    """All channels of the layer as cards, sorted and searched, page by page."""
    facts = _Facts(f.one.selectivity(), f.one.dead(), known_costs(f))
    place = st.container()
    order = _chosen_order(f, facts)
    kernels, kernel_words = kernels_of(f)
    _caption(f, facts, len(order), kernel_words if kernels is not None else "")
    if not order:
        st.info("No channel matches: search for something else.", icon=":material/search_off:")
        return
    pages = -(-len(order) // CARDS_PER_PAGE)
    if st.session_state.get("fl_page", 1) > pages:
        st.session_state["fl_page"] = 1
    number = st.pagination(pages, key="fl_page") if pages > 1 else 1
    some = np.array(order[(number - 1) * CARDS_PER_PAGE : number * CARDS_PER_PAGE])
    if kernels is not None:
        kernels = kernels[some]
    n = PATCHES_PER_CARD - (kernels is not None)
    patches = patch_tiles(f, f.layer, f.one.top_rows[some, :n], f.one.top_places[some, :n])
    with place:  # the pictures first, what orders them below
        filter_cards(
            [_card(f, c, n, facts) for c in some.tolist()], patches, kernels, kernel_words, key="fl_cards",
            on_open=_open, on_switch=lambda: _switch(f),
        )  # fmt: skip


def _chosen_order(f: Filters, facts: _Facts) -> list[int]:
    """Draw what sorts and searches; returned are the channels to show, in their order."""
    sorts = _sorts(f.one, facts)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        order_by = st.selectbox("Sort by", list(sorts), key="fl_sort", width=210)
        preferred = st.selectbox(
            "Prefers", ["any class", *f.dataset.class_names], key="fl_prefers", width=160,
            help="Channels whose mean activation is highest on this class.",
        )  # fmt: skip
        search = st.text_input(
            "Channels", key="fl_search", placeholder="3, 10-20, dead, copy, off", width=230,
            help="Numbers and ranges, or one of the words dead, copy, and off.",
        )  # fmt: skip
        cost_buttons(f, facts.costs)
    keep = _searched(search, f, facts.dead)
    if preferred in f.dataset.class_names:
        keep &= f.one.preferred(1)[:, 0] == f.dataset.class_names.index(preferred)
    return [int(c) for c in np.argsort(sorts[order_by or "number"], kind="stable") if keep[c]]


def _sorts(one: LayerIndex, facts: _Facts) -> dict[str, np.ndarray]:
    """By what the channels can be sorted: (C,) each, the smallest first."""
    sorts = {
        "number": np.arange(one.layer.channels),
        "most selective": -facts.selectivity,
        "least selective": facts.selectivity,
        "strongest activation": -one.top_values[:, 0],
        "strongest norm": -one.norm_values[:, 0],
        "highest mean": -one.mean,
        "largest spread": -one.std,
        "most often zero": -one.zeros,
        "nearest copy of another": -one.nearest_cosine,
    }
    if facts.costs is None:
        return sorts
    costly = np.argsort(facts.costs.ranked())
    return {"costs most": costly, "costs least": -costly, "loss rises most": -facts.costs.loss, **sorts}


def _caption(f: Filters, facts: _Facts, shown: int, kernel_words: str) -> None:
    layer, copies = f.layer, int((f.one.nearest_cosine >= COSINE_OF_A_COPY).sum())
    framed = f" Framed: {kernel_words}." if kernel_words else ""
    st.caption(
        f"{shown:,} of {layer.channels:,} channels, measured {layer.place}. {int(facts.dead.sum())} dead, "
        f"{copies} near copies of another, {len(f.off.get(layer.name, []))} off. Click the patches to look "
        f"closer.{framed}"
    )
    if facts.costs is not None:
        st.caption(cost_caption(facts.costs))


def _card(f: Filters, c: int, patches: int, facts: _Facts) -> FilterCard:
    one, badges = f.one, []
    if facts.dead[c]:
        badges.append(("dead", "It answers the same to every image."))
    if one.nearest_cosine[c] >= COSINE_OF_A_COPY:
        words = f"The cosine of the angle between their kernels is {one.nearest_cosine[c]:.3f}."
        badges.append((f"copy of {one.nearest_kernel[c]}", words))
    return FilterCard(
        channel=c,
        values=[float(v) for v in one.top_values[c, :patches] if np.isfinite(v)],
        badges=badges,
        lines=figure_lines(f, c, facts.selectivity, facts.costs),
        off=c in f.off.get(f.layer.name, []),
    )


def _searched(text: str, f: Filters, dead: np.ndarray) -> np.ndarray:
    """Which channels a search keeps: (C,) bool."""
    word = (text or "").strip().lower()
    if not word:
        return np.ones(len(dead), bool)
    keep = np.zeros(len(dead), bool)
    off = np.isin(np.arange(len(dead)), f.off.get(f.layer.name, []))
    known = {"dead": dead, "copy": f.one.nearest_cosine >= COSINE_OF_A_COPY, "off": off}
    if word in known:
        return known[word]
    for channels in parse_channels([f"{f.layer.name}:{word}"]).values():
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
