"""Which channel, neuron or class of a network is looked at: the strip of layers and the pickers under it."""

import random
from dataclasses import dataclass

import streamlit as st

from core.feature_visualization.presets import REPORT_SETTINGS, leaves, report_unit
from core.feature_visualization.visualize import visualize
from core.filters import channel_layers
from core.filters.channel_layers import ChannelLayer, NoConvolution
from core.models.card import ModelCard
from core.models.classifier import Classifier
from core.models.question import Question
from core.network.feature_maps import layer_shapes
from core.network.unit import Unit
from core.progress import Progress
from core.settings import settings_of
from pages.elements.ask import asked
from pages.elements.figures.layer_strip import layer_strip
from pages.elements.settings_form import field_value

OF, LAYER, CHANNEL, CLASS = "dream_of", "dream_layer", "dream_channel", "dream_class"
ROW, COLUMN = "dream_row", "dream_column"
KINDS = ("Channel", "Neuron", "Class")


@dataclass(frozen=True, eq=False)
class Layers:
    """The layers of a network.

    Attributes:
        shapes: (channels, height, width) or (channels,) of each layer without layers inside, and of each at
            whose output the channels of a convolution are looked at, in the order of execution.
        convolutions: The convolutions in the order of execution.
    """

    shapes: dict[str, tuple[int, ...]]
    convolutions: tuple[ChannelLayer, ...]

    def convolution_of(self, layer: str | None) -> ChannelLayer | None:
        """The convolution whose channels this layer has: itself, or the place after its activation."""
        return next((c for c in self.convolutions if layer in (c.name, c.site)), None)


def layers_of(classifier: str) -> Layers:
    """Ask for them; known at once from the second time on."""

    def analysis(classifier: Classifier, progress: Progress) -> Layers:
        try:
            found = channel_layers.layers_of(classifier)
        except NoConvolution:
            found = []
        shapes = layer_shapes(classifier)
        offered = {*leaves(shapes), *(layer.site for layer in found)}
        return Layers({name: shape for name, shape in shapes.items() if name in offered}, tuple(found))

    question = Question("layers with channels 2", classifier, Layers)
    return asked(question, analysis, message="Reading the network")


def choose_unit(card: ModelCard, layers: Layers) -> Unit:
    """Draw the pickers; what is chosen stands in the address."""
    _forget_another_networks(card, layers)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = st.segmented_control(
            "Kind of unit", KINDS, default=KINDS[0], key=OF, bind="query-params", required=True
        )
        if kind == "Class":
            name = st.selectbox("Class", card.class_names, key=CLASS, bind="query-params", width=320)
            st.button("Random class", icon=":material/shuffle:", on_click=_any_class, args=(card,))
            return Unit(None, card.class_names.index(name or card.class_names[0]))
        layer = choose_layer(layers)
        shape = layers.shapes[layer]
        last = shape[0] - 1
        channel = st.number_input(
            f"Channel, 0 to {last}", 0, last, min(1, last), key=CHANNEL, bind="query-params", width=115
        )
        place = None
        if kind == "Neuron" and len(shape) == 3:
            row = st.number_input(
                f"Row, 0 to {shape[1] - 1}", 0, shape[1] - 1, shape[1] // 2, key=ROW, bind="query-params",
                width=120,
            )  # fmt: skip
            column = st.number_input(
                f"Column, 0 to {shape[2] - 1}", 0, shape[2] - 1, shape[2] // 2, key=COLUMN,
                bind="query-params", width=130,
            )  # fmt: skip
            place = (int(row or 0), int(column or 0))
        st.button("Random channel", icon=":material/shuffle:", on_click=_any_channel, args=(last,))
        st.button(
            "Filter 1, plain 40 steps", icon=":material/menu_book:", on_click=_as_in_the_report,
            args=(layers,),
            help="Plain gradient ascent on the pixels, as in a course report about VGG19: layer 24 (or the "
            "last map before it), filter 1, 40 steps, a picture every 5.",
        )  # fmt: skip
    convolution_strip(layers, layer, LAYER, (CHANNEL, ROW, COLUMN))
    return Unit(layer, int(channel or 0), place)


def choose_layer(layers: Layers, key: str = LAYER, *, at: float = 0.5) -> str:
    """The picker of the layer; its label has the layer's number and shape.

    Args:
        at: Before anyone has chosen, it is the convolution at this share of the network, after its
            activation.
    """
    names = list(layers.shapes)
    first = names[int(at * (len(names) - 1))]
    if layers.convolutions:
        site = layers.convolutions[round(at * (len(layers.convolutions) - 1))].site
        first = site if site in layers.shapes else first
    shown = st.session_state.get(key) or st.query_params.get(key)
    shown = shown if shown in layers.shapes else first
    shape = " × ".join(map(str, layers.shapes[shown]))
    layer = st.selectbox(
        f"Layer {names.index(shown)}: {shape}", names, names.index(first), key=key, bind="query-params",
        width=230,
        help="All layers in the order in which they run. The label has the number of the chosen layer and "
        "its channels × rows × columns. The strip chooses the place after a convolution's activation.",
    )  # fmt: skip
    return layer or first


def convolution_strip(layers: Layers, layer: str, key: str, forget: tuple[str, ...]) -> None:
    """The convolutions as a strip; a click chooses the place after one's activation.

    Args:
        layer: The one that is chosen.
        key: Of the picker that `choose_layer` draws.
        forget: Keys of what belongs to the layer that is left.
    """
    if layers.convolutions:
        shown = layers.convolution_of(layer)
        layer_strip(
            layers.convolutions, shown.name if shown else "", {}, key=f"{key}_strip",
            on_choose=lambda: _choose_convolution(layers, key, forget),
        )  # fmt: skip


def _choose_convolution(layers: Layers, key: str, forget: tuple[str, ...]) -> None:
    name = st.session_state[f"{key}_strip"]["chosen"]
    found = layers.convolution_of(name) if isinstance(name, str) else None
    if found is not None and found.site in layers.shapes:
        st.session_state[key] = found.site
        for other in forget:
            st.session_state.pop(other, None)


def forget_missing_layer(layers: Layers, key: str) -> bool:
    """Drop the choice of a layer that this network does not have; True where there was one to drop."""
    missing = st.session_state.get(key) not in (None, *layers.shapes)
    if missing:
        del st.session_state[key]
    return missing


def _forget_another_networks(card: ModelCard, layers: Layers) -> None:
    """Drop what this network does not have, so that the pickers start anew instead of failing."""
    state = st.session_state
    if forget_missing_layer(layers, LAYER):
        for key in (CHANNEL, ROW, COLUMN):
            state.pop(key, None)
    if state.get(CLASS) not in (None, *card.class_names):
        state.pop(CLASS)
    shape = layers.shapes.get(state.get(LAYER, ""), ())
    for key, size in zip((CHANNEL, ROW, COLUMN), shape, strict=False):
        if isinstance(state.get(key), int) and state[key] >= size:
            state.pop(key)


def _any_channel(last: int) -> None:
    st.session_state[CHANNEL] = random.randint(0, last)


def _any_class(card: ModelCard) -> None:
    st.session_state[CLASS] = random.choice(card.class_names)


def _as_in_the_report(layers: Layers) -> None:
    unit = report_unit(layers.shapes)
    st.session_state.update({OF: KINDS[0], LAYER: unit.layer, CHANNEL: unit.channel})
    settings = {
        s.name: field_value(s, REPORT_SETTINGS.get(s.name, s.default)) for s in settings_of(visualize)
    }
    st.session_state.update({f"dream_set_{name}": value for name, value in settings.items()})
