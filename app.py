"""The table of pages. Nothing that a page depends on: each page also runs alone."""

import streamlit as st

PAGES = {
    "": [
        st.Page("pages/home.py", icon=":material/home:", default=True),
    ],
    "Train and judge": [
        st.Page("pages/data.py", icon=":material/photo_library:"),
        st.Page("pages/train_monitor.py", icon=":material/show_chart:"),
        st.Page("pages/confusion_matrices.py", icon=":material/grid_view:"),
        st.Page("pages/import_checkpoint.py", icon=":material/upload_file:"),
    ],
    "Explain one image": [
        st.Page("pages/occlusion.py", icon=":material/visibility_off:"),
        st.Page("pages/attribution.py", icon=":material/center_focus_strong:"),
    ],
    "Look inside": [
        st.Page("pages/filters.py", icon=":material/tune:"),
    ],
    "By hand": [
        st.Page("pages/conv_arithmetic.py", icon=":material/grid_on:"),
        st.Page("pages/losses.py", icon=":material/trending_down:"),
    ],
}

st.navigation(PAGES).run()
