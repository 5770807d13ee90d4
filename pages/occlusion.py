"""Occlusion: a window hides a part of the image, and the answer changes or does not."""

import streamlit as st

from pages.elements.figures.what_next import what_next
from pages.elements.occlusion.gallery import gallery
from pages.elements.occlusion.parts import all_windows, choose_occlusion, one_map
from pages.elements.page import page
from pages.elements.pickers.bar import draw_bar
from pages.elements.pickers.choose import choose, what_the_network_sees

PARTS = ("One window", "All windows", "Gallery")

with page("Occlusion", "Hide a part of the image and see whether the network still knows what it is."):
    bar = draw_bar()
    chosen = choose(bar)
    with bar.controls:
        part = st.segmented_control(
            "Part", PARTS, default=PARTS[0], key="occ_part", bind="query-params", required=True,
            label_visibility="collapsed",
        )  # fmt: skip
    with bar.drawer():
        choice = choose_occlusion(chosen, one_window=part == PARTS[0])
    body = st.container()
    what_the_network_sees(chosen.image, chosen.card)  # before the body, which may take a while to be sharp
    with body:
        match part:
            case "All windows":
                all_windows(chosen, choice)
            case "Gallery":
                gallery(chosen, choice)
            case _:
                one_map(chosen, choice)
        what_next("attribution", "activations", "filters", "confusion_matrices")
