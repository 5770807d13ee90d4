"""Activations: an image on its way through the network, layer by layer."""

import hashlib

import streamlit as st

from core.data.preprocessing import fit
from core.models.catalogue import card_of
from pages.elements.activations.parts import Seen, layer_view, number_view
from pages.elements.figures.what_next import what_next
from pages.elements.page import page
from pages.elements.pickers.bar import draw_bar
from pages.elements.pickers.choose import choose_classifier, choose_image
from pages.elements.pickers.first_choice import start_with_what_is_here
from pages.elements.pickers.unit_picker import (
    choose_layer,
    convolution_strip,
    forget_missing_layer,
    layers_of,
)

VIEWS = ("One layer", "One filter of every layer")

with page("Activations", "What does every channel make of the image on its way through the network?"):
    start_with_what_is_here()
    bar = draw_bar()
    with bar.chips:
        place = st.container(width="content")
        classifier = choose_classifier()
        card = card_of(classifier)
        with place:
            image = choose_image(card, classifier)
    pixels = fit(image.pixels, card.preprocessing)
    sha256 = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
    layers = layers_of(classifier)
    seen = Seen(classifier, card, layers, pixels, sha256)
    forget_missing_layer(layers, "act_layer")
    with bar.controls:
        view = st.segmented_control(
            "Show", VIEWS, default=VIEWS[0], key="act_view", bind="query-params", required=True,
            label_visibility="collapsed",
        )  # fmt: skip
    place = st.container()
    with bar.drawer():
        layer = choose_layer(layers, "act_layer", at=0.0) if view == VIEWS[0] else None
        controls = st.container()
    with place:
        if layer is None:
            number_view(seen, controls)
        else:
            layer_view(seen, layer, controls)
    if layer is not None:
        convolution_strip(layers, layer, "act_layer", ("act_page",))
    what_next("filters", "feature_visualization", "occlusion", "attribution")
