"""Convolution by hand: slide the window, change any number, and see what every cell is made of."""

import streamlit as st

from pages.elements.conv_grid import conv_grid
from pages.elements.page import page


@st.fragment
def by_hand() -> None:
    conv_grid()


with page("Convolution arithmetic", "Slide a kernel over numbers you can change.", icon="🧮"):
    by_hand()
