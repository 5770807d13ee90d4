"""Feature visualization: a picture of what a channel, a neuron or a class looks for."""

import hashlib

import streamlit as st

from core.data.preprocessing import fit
from core.models.catalogue import card_of
from pages.elements.feature_visualization.parts import Wanted, best_real, choose_settings, made, show
from pages.elements.page import page
from pages.elements.pickers.choose import choose_classifier, choose_image
from pages.elements.pickers.unit_picker import choose_unit, layers_of

STARTS = ("Noise", "The chosen image")

with page(
    "Feature visualization", "Let a channel, a neuron or a class paint what it answers to most, step by step."
):
    with st.container(horizontal=True, vertical_alignment="bottom"):
        with st.container(width="stretch"):
            classifier = choose_classifier()
        card = card_of(classifier)
        start = st.segmented_control(
            "Start from", STARTS, default=STARTS[0], key="dream_start", bind="query-params", required=True
        )
        pixels, sha256 = None, ""
        if start == STARTS[1]:
            with st.container(width="stretch"):
                pixels = fit(choose_image(card).pixels, card.preprocessing)
                sha256 = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
        with st.container(width=250):
            settings = choose_settings(card, pixels is not None)
    unit = choose_unit(card, layers_of(classifier))
    wanted = Wanted(classifier, card, unit, settings, pixels, sha256)
    dream = made(wanted)
    if dream is not None:
        show(wanted, dream, best_real(wanted))
