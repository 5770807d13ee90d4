"""The patches of some filters side by side, and whole sets of filters to begin with."""

import io

import streamlit as st
from PIL import Image

from core.filters.patch_sheet import patch_sheet
from core.filters.presets import random_filters, report_filters
from pages.elements.filters.chosen_filters import PATCHES_PER_CHANNEL, Filters, switch_off_channels
from pages.elements.filters.tiles import patch_tiles

MOST_FILTERS = 40  # filters in one picture
PATCH_SIDE = 64  # pixels of a patch


def rank_view(f: Filters) -> None:
    """The patches of some filters, a column each, the strongest on top."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        preset_buttons(f)
        k = st.slider("Ranks", 1, PATCHES_PER_CHANNEL, 9, key="fl_ranks", width=220)
    if not f.off:
        st.info(
            "Choose filters first: ten at random, or switch some off on their cards.",
            icon=":material/grid_view:",
        )
        return
    st.caption(
        "One column for each chosen filter, the strongest patch on top. “Switch off” takes "
        "these same filters away."
    )
    chosen = [(name, c) for name, channels in f.off.items() for c in channels]
    if len(chosen) > MOST_FILTERS:
        st.info(f"The first {MOST_FILTERS} of {len(chosen)} filters are shown.", icon=":material/grid_view:")
    tiles = []
    for name, c in chosen[:MOST_FILTERS]:
        one, some = f.index.of(name), slice(c, c + 1)
        found = int((one.top_rows[c, :k] >= 0).sum())
        places = one.top_places[some, :found]
        tiles.append(patch_tiles(f, one.layer, one.top_rows[some, :found], places, PATCH_SIDE)[0])
    sheet = patch_sheet(tiles, [(name, str(c)) for name, c in chosen[:MOST_FILTERS]])
    st.image(sheet, width="content", alt="The strongest patches of each channel, by rank")
    out = io.BytesIO()
    Image.fromarray(sheet).save(out, "PNG")
    st.download_button("Picture", out.getvalue(), "patches.png", "image/png", icon=":material/download:")


def preset_buttons(f: Filters) -> None:
    """Buttons for whole sets of filters."""
    report = preset(f)
    if report:
        st.button(
            "Ten of four layers", icon=":material/menu_book:", on_click=switch_off_channels, args=(report,)
        )
    st.button("Ten at random", icon=":material/shuffle:", on_click=_ten_at_random, args=(f,))
    st.button(
        "None", icon=":material/clear_all:", on_click=switch_off_channels, args=({},), disabled=not f.off
    )


def preset(f: Filters, *, seed: int | None = None) -> dict[str, list[int]]:
    """Ten filters of four layers, or ten at random."""
    if seed is None:
        return report_filters(f.card.architecture, f.layers)
    return random_filters(f.layers, 10, seed)


def _ten_at_random(f: Filters) -> None:
    seed = st.session_state["fl_seed"] = st.session_state.get("fl_seed", -1) + 1
    switch_off_channels(preset(f, seed=seed))
