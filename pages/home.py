"""Home: drop in a photo, see what the network says, and go on from there."""

import streamlit as st

from core.data.images import enlarge
from pages.elements.home.photo_drop import photo_drop
from pages.elements.home.tour import tour
from pages.elements.page import page
from pages.elements.pickers.bar import draw_bar
from pages.elements.pickers.choose import choose, show_prediction, what_the_network_sees

with page(
    "Convoscope", "Look inside a convolutional image classifier: yours or one that ships, on your own images."
):
    chosen = choose(draw_bar())
    picture, answer = st.columns([2, 3], gap="large")
    with picture:
        st.image(
            enlarge(chosen.image.pixels, 480), width="stretch", alt=f"The chosen image: {chosen.image.name}"
        )
        photo_drop()
    with answer:
        st.subheader(f"{chosen.card.title or chosen.card.name} says", anchor=False)
        show_prediction(chosen)
        st.caption(
            "The bars are probabilities (softmax of the logits). Drop in a photo of yours, or choose above: "
            "a sample, a picture of your camera, one of a data set. It follows you from page to page."
        )
    what_the_network_sees(chosen.image, chosen.card)
    tour()
