"""The views of the page Activations: all channels of a layer, one of them large, one number everywhere."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import streamlit as st
from streamlit.errors import StreamlitPageNotFoundError

from core.attribution.heatmap import colors, overlay
from core.data.images import enlarge
from core.models.card import ModelCard
from core.models.classifier import Classifier
from core.models.question import Question
from core.network.activations import (
    ORDERS,
    SCALES,
    ChannelMaps,
    LayerActivations,
    activations,
    one_channel_of_each,
    order_of,
    painted,
)
from core.progress import Progress
from pages.elements.activations.map_grid import map_grid
from pages.elements.ask import asked
from pages.elements.pickers.unit_picker import Layers

CHANNEL, NUMBER, PAGE = "act_channel", "act_number", "act_page"
MAPS_PER_PAGE = 96


@dataclass(frozen=True, eq=False)
class Seen:
    """An image in a network.

    Attributes:
        pixels: (H, W, C) uint8, what the network sees, and its hash.
    """

    classifier: str
    card: ModelCard
    layers: Layers
    pixels: np.ndarray
    sha256: str


def layer_view(seen: Seen, layer: str, controls: Any) -> None:
    """Every channel's map, page by page, and one of them large.

    Args:
        controls: The container for order and scale.
    """

    def analysis(classifier: Classifier, progress: Progress) -> LayerActivations:
        return activations(classifier, seen.pixels, layer)

    maps = asked(
        Question("activations", seen.classifier, LayerActivations, (seen.sha256, layer)), analysis
    ).maps
    with controls:
        order = st.selectbox("Order", ORDERS, key="act_order", bind="query-params", width=160)
        scale = _scale()
    pages = -(-len(maps) // MAPS_PER_PAGE)
    if st.session_state.get(PAGE, 1) > pages:
        st.session_state[PAGE] = 1
    number = st.pagination(pages, key=PAGE) if pages > 1 else 1
    flat = maps.reshape(len(maps), -1)
    some = order_of(maps, order or ORDERS[0])[(number - 1) * MAPS_PER_PAGE : number * MAPS_PER_PAGE]
    chosen = chosen_channel(len(maps))
    if chosen is not None:
        _large(seen, layer, maps, chosen)
    silent = int((flat.max(1) <= 0).sum())
    drawn = painted([maps[c] for c in some], scale, among=maps)
    map_grid(
        drawn, some.tolist(), [str(c) for c in some], [f"to {flat[c].max():.3g}" for c in some],
        key="act_grid", on_pick=_pick, chosen=chosen, title="Click to see it large",
    )  # fmt: skip
    st.caption(
        f"{len(maps):,} channels of {maps.shape[1]} × {maps.shape[2]} places. {silent:,} never rise above 0 "
        f"on this image; the strongest reaches {flat.max():.3g}. {_legend(bool((maps < 0).any()), scale)} "
        "Click a map to see it large."
    )


def number_view(seen: Seen, controls: Any) -> None:
    """The channel with one number in every convolution, side by side from the first layer to the last.

    Args:
        controls: The container for number and scale.
    """
    places = list(dict.fromkeys(layer.site for layer in seen.layers.convolutions))
    if not places:
        st.info("This network has no convolution, so no layer has channels with a map.")
        return
    most = max(layer.channels for layer in seen.layers.convolutions)
    with controls:
        if int(st.session_state.get(NUMBER) or 0) >= most:
            del st.session_state[NUMBER]
        channel = int(
            st.number_input(
                f"Filter, 0 to {most - 1}", 0, most - 1, 1, key=NUMBER, bind="query-params", width=160
            )
            or 0
        )
        scale = _scale("own")

    def analysis(classifier: Classifier, progress: Progress) -> ChannelMaps:
        return one_channel_of_each(classifier, seen.pixels, places, channel)

    question = Question(
        "activations of a number", seen.classifier, ChannelMaps, (seen.sha256, channel, places)
    )
    maps = asked(question, analysis).maps
    found = [place for place in places if place in maps]
    left_out = len(places) - len(found)
    words = f" {left_out} layer{'s have' if left_out != 1 else ' has'} fewer channels." if left_out else ""
    signed = any(bool((maps[place] < 0).any()) for place in found)
    st.caption(
        f"Channel {channel} of every convolution after its activation, from the first to the last.{words} "
        f"{_legend(signed, scale)} Channels with the same number in different layers have nothing in "
        "common: the number is only their position in the weights."
    )
    map_grid(
        painted([maps[place] for place in found], scale), range(len(found)), found,
        [f"{maps[p].shape[0]} × {maps[p].shape[1]}, to {maps[p].max():.3g}" for p in found],
        key="act_numbers", on_pick=lambda: _open_layer(found, channel), side=150,
        title="Click for all channels of this layer",
    )  # fmt: skip


def chosen_channel(channels: int) -> int | None:
    """The channel that the address names, if this layer has it."""
    text = str(st.query_params.get(CHANNEL, ""))
    known = text.isascii() and text.isdecimal() and len(text) < 7 and int(text) < channels
    return int(text) if known else None


def _large(seen: Seen, layer: str, maps: np.ndarray, channel: int) -> None:
    one = maps[channel]
    limit = float(np.abs(one).max())
    with st.container(border=True):
        picture, alone, words = st.columns([2, 2, 3], gap="medium")
        picture.image(
            enlarge(overlay(seen.pixels, one, limit, signed=bool((one < 0).any()), grid=True), 320),
            width="stretch", caption="over the image", alt=f"The map of channel {channel} over the image",
        )  # fmt: skip
        signed = bool((one < 0).any())
        alone.image(
            enlarge(_alone(one, limit, signed), 320), width="stretch",
            caption="alone: white is 0, red above, blue below" if signed else "alone: black is 0, white most",
            alt=f"The map of channel {channel} alone",
        )  # fmt: skip
        row, column = np.unravel_index(int(one.argmax()), one.shape)
        with words:
            st.markdown(f"**Channel {channel}**")
            st.markdown(
                f"From {one.min():.3g} to {one.max():.3g}, the most at row {row}, column {column} of "
                f"{one.shape[0]} × {one.shape[1]}; exactly 0 at {(one == 0).mean():.0%} of the "
                "places.".replace("-", "−")
            )
            shared = {"classifier": seen.classifier}
            with suppress(StreamlitPageNotFoundError):  # this page runs alone: nothing has read app.py yet
                st.page_link(
                    "pages/feature_visualization.py", label="What does it look for?",
                    icon=":material/auto_awesome:",
                    query_params=shared | {"dream_layer": layer, "dream_channel": str(channel)},
                )  # fmt: skip
                convolution = seen.layers.convolution_of(layer)
                if convolution is not None:
                    st.page_link(
                        "pages/filters.py", label="Its filter: strongest images, switch it off",
                        icon=":material/tune:",
                        query_params=shared | {
                            "fl_layer": convolution.name, "fl_channel": str(channel),
                            "fl_view": "One channel",
                        },
                    )  # fmt: skip
            st.button("Close", icon=":material/close:", on_click=_close)


def _alone(one: np.ndarray, limit: float, signed: bool) -> np.ndarray:
    """(H, W, 3) uint8"""
    if not signed:
        share = one / limit if limit > 0 else np.zeros(one.shape)
        return np.repeat(np.rint(255 * share).astype(np.uint8)[..., None], 3, axis=2)
    layer = colors(one, limit).astype(np.float32)
    alpha = layer[..., 3:] / 255
    return np.rint(255 * (1 - alpha) + layer[..., :3] * alpha).astype(np.uint8)


def _scale(first: str = SCALES[0]) -> str:
    return (
        st.segmented_control(
            "Scale", SCALES, default=first, key=f"act_scale_{first}", bind="query-params", required=True,
            help="Shared: one scale for all, so that they can be compared. Own: each map to its own largest "
            "value, so that its shape can be seen.",
        )
        or first
    )  # fmt: skip


def _legend(signed: bool, scale: str) -> str:
    end = "the largest value of all" if scale == SCALES[0] else "each map's own largest value"
    return (
        f"White is 0, red above, blue below, full at {end}."
        if signed
        else f"Black is 0, the lightest is {end}."
    )


def _pick() -> None:
    channel = st.session_state["act_grid"]["picked"]
    if isinstance(channel, int):
        st.query_params[CHANNEL] = str(channel)


def _close() -> None:
    st.query_params.pop(CHANNEL, None)


def _open_layer(found: list[str], channel: int) -> None:
    number = st.session_state["act_numbers"]["picked"]
    if isinstance(number, int) and 0 <= number < len(found):
        st.session_state["act_layer"] = found[number]
        st.session_state["act_view"] = "One layer"
        st.query_params[CHANNEL] = str(channel)
