"""The table of pages. Nothing that a page depends on: each page also runs alone.

`streamlit run app.py` finds `app` below and imports this file once when the server starts, then runs it for
every session. The import alone makes the table known: without it, a visitor who opens the link of a page
before anyone has opened `/` would see the names of files in the sidebar.
"""

import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import streamlit as st
from starlette.middleware import Middleware
from streamlit import config

from pages.elements.closed_sessions import keep_as_many_as_fit
from pages.elements.front_door import FrontDoor
from pages.elements.page import ICON, SIDEBAR

log = logging.getLogger(__name__)
FEWEST_DESCRIPTORS = 1024
DESCRIPTORS_A_VISITOR = 7
SECONDS_BETWEEN_THREADS = 0.001

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
    "This server": [
        st.Page("pages/storage.py", title="Storage", icon=":material/hard_drive:"),
    ],
}


@asynccontextmanager
async def lifespan(app: st.App) -> AsyncIterator[None]:
    """What the server does besides pages: it gets ready while nobody waits, and ends the models' threads."""
    from core import roles
    from core.serving.addresses import announce
    from core.serving.processes import raise_descriptor_limit
    from core.serving.warm_up import warm_up

    descriptors = raise_descriptor_limit()
    keep_as_many_as_fit(descriptors)
    if descriptors is not None and descriptors < FEWEST_DESCRIPTORS:
        log.warning(
            "this system lets the server open %d files at once, which is enough for about %d visitors",
            descriptors, descriptors // DESCRIPTORS_A_VISITOR,
        )  # fmt: skip
    # A thread that computes gives the interpreter away at every call of PyTorch, and beside pages that run it
    # gets it back only after such a time: 5 ms by default, two hundred times in one prediction.
    sys.setswitchinterval(SECONDS_BETWEEN_THREADS)
    warm_up()
    if roles.class_mode():
        address = config.get_option("server.address") or ""
        port, base = config.get_option("server.port"), config.get_option("server.baseUrlPath")
        print(announce(address, port, base), flush=True)
    yield
    if "core.serving.worker" in sys.modules:
        sys.modules["core.serving.worker"].close()


def prepare_server() -> None:
    """Once, before the first visitor: a server that others reach is one for a class, and has names."""
    from core import roles
    from core.serving.addresses import address_for_others, hosts_of, is_own

    address = config.get_option("server.address") or ""
    if not is_own(address):
        os.environ.setdefault(roles.CLASS, "1")
        # Otherwise Streamlit asks a host of the internet for it.
        if not config.is_manually_set("browser.serverAddress"):
            config.set_option("browser.serverAddress", address_for_others(address))
    if not config.get_option("server.allowedHosts"):
        config.set_option("server.allowedHosts", hosts_of(address))


if __name__ != "__main__":
    prepare_server()
app = st.App(__file__, lifespan=lifespan, middleware=[Middleware(FrontDoor)])
st.set_page_config(
    "Convoscope", ICON, layout="wide", initial_sidebar_state=SIDEBAR
)  # before the first page is known
chosen = st.navigation(PAGES)
if __name__ == "__main__":
    chosen.run()
