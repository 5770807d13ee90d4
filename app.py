"""The table of pages. Nothing that a page depends on: each page also runs alone.

`streamlit run app.py` finds `app` below and imports this file once when the server starts, then runs it for
every session. The import alone makes the table known: without it, whoever opens the link of a page before
anyone has opened `/` would see the names of files in the sidebar.
"""

import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import streamlit as st

from pages.elements.page import ICON, SIDEBAR

if __name__ != "__main__":  # no session yet: that is as it should be, and need not be said once per page
    logging.getLogger("streamlit.runtime.scriptrunner_utils.script_run_context").setLevel(logging.ERROR)

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
        st.Page(
            "pages/feature_visualization.py", title="Feature visualization", icon=":material/auto_awesome:"
        ),
        st.Page("pages/activations.py", title="Activations", icon=":material/layers:"),
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


@asynccontextmanager
async def lifespan(app: st.App) -> AsyncIterator[None]:
    """What the server does besides pages: it gets ready while nobody waits, and ends the models' thread."""
    from core.serving.warm_up import warm_up

    warm_up()
    yield
    if "core.serving.worker" in sys.modules:
        sys.modules["core.serving.worker"].close()


app = st.App(__file__, lifespan=lifespan)
st.set_page_config(
    "Convoscope", ICON, layout="wide", initial_sidebar_state=SIDEBAR
)  # before the first page is known
chosen = st.navigation(PAGES)
if __name__ == "__main__":
    chosen.run()
