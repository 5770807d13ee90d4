"""Home: what can be done here, and where to begin."""

import streamlit as st

from pages.elements.page import page

with page("Convoscope", "See what a convolutional image classifier sees."):
    st.write("Choose a page.")
