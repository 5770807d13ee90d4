"""Feature visualization: a picture of what a channel, a neuron or a class looks for."""

import hashlib

import streamlit as st

from core.data.preprocessing import fit
from core.models.catalogue import card_of
from pages.elements.feature_visualization.parts import Wanted, best_real, choose_settings, made, show
from pages.elements.figures.what_next import what_next
from pages.elements.page import page
from pages.elements.pickers.bar import draw_bar
from pages.elements.pickers.choose import choose_classifier, choose_image
from pages.elements.pickers.first_choice import start_with_what_is_here
from pages.elements.pickers.unit_picker import choose_unit, layers_of

STARTS = ("Noise", "The chosen image")

with page("Feature visualization", "What would a channel, a neuron or a class like to see?"):
    start_with_what_is_here()
    bar = draw_bar()
    with bar.chips:
        classifier = choose_classifier()
    card = card_of(classifier)
    with bar.controls:
        start = st.segmented_control(
            "Start from", STARTS, default=STARTS[0], key="dream_start", bind="query-params", required=True,
            label_visibility="collapsed",
        )  # fmt: skip
    pixels, sha256 = None, ""
    if start == STARTS[1]:
        with bar.chips:
            pixels = fit(choose_image(card, classifier).pixels, card.preprocessing)
            sha256 = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
    with bar.controls:
        settings = choose_settings(card, pixels is not None)
    place = st.container()
    unit = choose_unit(card, layers_of(classifier))
    wanted = Wanted(classifier, card, unit, settings, pixels, sha256)
    with place:  # the picture first, what chooses the unit below it
        found = made(wanted)
        if found is not None:
            show(wanted, found, best_real(wanted))
    what_next("filters", "activations", "occlusion")
