"""Activations: an image on its way through the network, layer by layer."""

import hashlib

import streamlit as st

from core.data.images import enlarge
from core.data.preprocessing import fit
from core.models.catalogue import card_of
from pages.elements.activations.parts import Seen, layer_view, number_view
from pages.elements.page import page
from pages.elements.pickers.choose import choose_classifier, choose_image
from pages.elements.pickers.unit_picker import (
    choose_layer,
    convolution_strip,
    forget_missing_layer,
    layers_of,
)

VIEWS = ("One layer", "One filter of every layer")

with page("Activations", "Follow an image through the network and see what every channel makes of it."):
    with st.container(horizontal=True, vertical_alignment="bottom"):
        with st.container(width="stretch"):
            classifier = choose_classifier()
        card = card_of(classifier)
        with st.container(width="stretch"):
            image = choose_image(card)
        place = st.container(width=96)
    pixels = fit(image.pixels, card.preprocessing)
    place.image(enlarge(pixels, 96), width=96)
    sha256 = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
    layers = layers_of(classifier)
    seen = Seen(classifier, card, layers, pixels, sha256)
    forget_missing_layer(layers, "act_layer")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        view = st.segmented_control(
            "Show", VIEWS, default=VIEWS[0], key="act_view", bind="query-params", required=True
        )
        layer = choose_layer(layers, "act_layer", at=0.0) if view == VIEWS[0] else None
        controls = st.container(horizontal=True, vertical_alignment="bottom", width="stretch")
    if layer is None:
        number_view(seen, controls)
    else:
        convolution_strip(layers, layer, "act_layer", ("act_page",))
        layer_view(seen, layer, controls)
