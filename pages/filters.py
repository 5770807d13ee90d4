"""Filters: what each looks for, and what breaks without it."""

from dataclasses import replace

import streamlit as st

from core.models.catalogue import card_of
from pages.elements.as_text import plain
from pages.elements.figures.layer_strip import layer_strip
from pages.elements.figures.what_next import what_next
from pages.elements.filters.cards import cards_view
from pages.elements.filters.channel_map import channel_map
from pages.elements.filters.chosen_filters import LAYER, VIEW, VIEWS, Filters, indexed, switched_channels
from pages.elements.filters.one_channel import channel_view
from pages.elements.filters.ranks import rank_view
from pages.elements.filters.switchboard import switchboard
from pages.elements.page import errors_shown, page
from pages.elements.pickers.bar import Bar, draw_bar
from pages.elements.pickers.choose import choose_classifier
from pages.elements.pickers.dataset_picker import dataset_picker
from pages.elements.pickers.first_choice import (
    let_data_follow,
    opened_or_offered,
    start_with_what_is_here,
    stop_where_data_do_not_fit,
)

FIRST_LAYER = 2  # the third convolution: past edges, and patches one can recognize
IMAGE_COUNTS = (200, 1000, 2000, 5000, 10_000, 60_000)


def chosen_filters(bar: Bar) -> Filters:
    start_with_what_is_here()
    with bar.chips:
        classifier = choose_classifier()
    card = card_of(classifier)
    let_data_follow("fl", classifier, card)
    with bar.drawer():
        entry = dataset_picker("fl")
        place = st.container()
    dataset = opened_or_offered("fl", entry)
    with place:
        splits = list(dataset.splits)
        if st.session_state.get("fl_split") not in (None, *splits):
            del st.session_state["fl_split"]
        split = st.selectbox(
            "Split", splits, index=splits.index("test") if "test" in splits else 0, key="fl_split",
            bind="query-params",
        )  # fmt: skip
        total = len(dataset.split(split))
        counts = [*(n for n in IMAGE_COUNTS if n < total), total]
        if st.session_state.get("fl_n") not in (None, *counts):
            del st.session_state["fl_n"]
        images = st.selectbox(
            "Images", counts, index=min(1, len(counts) - 1), key="fl_n", bind="query-params",
            # Without separators, since the address is written and read as the options are shown.
            help="How many are looked through, every class with its share.",
        )  # fmt: skip
    stop_where_data_do_not_fit("fl", classifier, card, dataset)
    return indexed(classifier, card, dataset, split, images)


def choose_layer() -> None:
    name = st.session_state["fl_strip"]["chosen"]
    if isinstance(name, str):
        st.query_params[LAYER] = name
        for key in ("fl_channel_number", "fl_page", "fl_class"):
            st.session_state.pop(key, None)
        st.query_params.pop("fl_channel", None)


with page("Filters", "What does each filter look for, and what breaks without it?"):
    bar = draw_bar()
    with bar.controls:
        place = st.container(width="content")
        view = st.selectbox(
            "View", VIEWS, key=VIEW, bind="query-params", label_visibility="collapsed", width=170
        )
    found = chosen_filters(bar)
    off = {}
    with errors_shown():
        off = switched_channels(found.layers)
    names = found.index.names
    given = st.query_params.get(LAYER, "")
    number = names.index(given) if given in names else min(FIRST_LAYER, len(names) - 1)
    with place, st.popover(f"layer **{plain(names[number])}**", key="chip_layer", width="content"):
        layer_strip(
            found.layers, names[number], {name: len(channels) for name, channels in off.items()},
            key="fl_strip", on_choose=choose_layer,
        )  # fmt: skip
    filters = replace(found, number=number, off=off)
    match view:
        case "One channel":
            channel_view(filters, channel_map)
        case "Patches by rank":
            rank_view(filters)
        case "Switch off":
            switchboard(filters)
        case _:
            cards_view(filters)
    st.caption(
        f"{filters.images:,} images of {plain(filters.dataset.title)}, {plain(filters.split_name)}. Each "
        f"filter's top {found.index.k} images are kept; means and counts are over all of them. Computed by "
        f"{plain(found.index.engine)}."
    )
    what_next("feature_visualization", "activations", "confusion_matrices")
