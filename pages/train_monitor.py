"""Train monitor: start a run, watch it learn, judge it, compare it."""

import streamlit as st

from pages.elements.page import errors_shown, page
from pages.elements.run_view import run_view
from pages.elements.training_form import start, training_form

PARTS = ("Watch", "New run")

with page("Train monitor", "Start a training, watch it learn, and be told what its curves mean.", icon="📈"):
    follow = st.session_state.pop("tm_part_next", None)
    if follow:
        st.session_state["tm_part"] = follow
    part = st.segmented_control(
        "Part", PARTS, default="Watch", key="tm_part", bind="query-params",
        label_visibility="collapsed", required=True,
    )  # fmt: skip
    if part == "New run":
        with errors_shown():
            wanted = training_form("tm")
            if wanted is not None:
                start(*wanted)
                st.session_state["tm_run_next"] = wanted[0]
                st.session_state["tm_part_next"] = "Watch"
                st.rerun()
    else:
        run_view()
