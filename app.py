"""The table of pages. Nothing that a page depends on: each page also runs alone."""

import streamlit as st

PAGES = {
    "": [
        st.Page("pages/home.py", title="Home", icon=":material/home:", default=True),
    ],
    "Explain one image": [
        st.Page("pages/occlusion.py", title="Occlusion", icon=":material/visibility_off:"),
        st.Page("pages/attribution.py", title="Attribution", icon=":material/center_focus_strong:"),
    ],
    "Look inside": [
        st.Page("pages/filters.py", title="Filters", icon=":material/tune:"),
    ],
    "Train and judge": [
        st.Page("pages/data.py", title="Data", icon=":material/photo_library:"),
        st.Page("pages/train_monitor.py", title="Train monitor", icon=":material/show_chart:"),
        st.Page("pages/confusion_matrices.py", title="Confusion matrices", icon=":material/grid_view:"),
        st.Page("pages/embedding.py", title="Embedding", icon=":material/scatter_plot:"),
        st.Page("pages/import_checkpoint.py", title="Import a checkpoint", icon=":material/upload_file:"),
    ],
    "By hand": [
        st.Page("pages/conv_arithmetic.py", title="Convolution arithmetic", icon=":material/grid_on:"),
        st.Page("pages/losses.py", title="Loss lab", icon=":material/trending_down:"),
    ],
}

st.navigation(PAGES).run()
