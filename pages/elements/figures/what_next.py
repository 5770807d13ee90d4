"""Where to go from here: a quiet row of links under the picture. Image, classifier and class come along."""

from collections.abc import Mapping, Sequence

import streamlit as st
from streamlit.errors import StreamlitPageNotFoundError

# page: what it answers about what is looked at now
_LINKS = {
    "occlusion": ("Hide parts of this image", ":material/visibility_off:"),
    "attribution": ("Which pixels count?", ":material/center_focus_strong:"),
    "activations": ("What its layers see", ":material/layers:"),
    "filters": ("Its filters", ":material/tune:"),
    "feature_visualization": ("What excites a channel", ":material/auto_awesome:"),
    "confusion_matrices": ("Its mistakes", ":material/grid_view:"),
    "embedding": ("What lies close to it", ":material/scatter_plot:"),
    "train_monitor": ("How it was trained", ":material/show_chart:"),
}
# The pages of one image in the order of ◀ and ▶, by their titles.
_TOUR_OF_AN_IMAGE = {
    "Occlusion": "occlusion",
    "Attribution": "attribution",
    "Activations": "activations",
    "Embedding": "embedding",
}


def what_next(*pages: str, words: Sequence[str] = (), classifier: str | None = None) -> None:
    """Draw the links, and on the pages of one image the way to the one before and after.

    Args:
        pages: Names of files in `pages/`, the most likely next step first.
        words: Other words for the first of them.
        classifier: The links lead to this classifier; None stands for the one that is chosen.
    """
    query = {"classifier": classifier} if classifier else {}
    with st.container(key="what_next", horizontal=True, vertical_alignment="center"):
        st.markdown("**What next?**", width="content")
        for number, page in enumerate(pages):
            label, icon = _LINKS[page]
            _link(page, words[number] if number < len(words) else label, icon, query)
        _draw_tour(str(st.session_state.get("page")))


def _draw_tour(title: str) -> None:
    titles = list(_TOUR_OF_AN_IMAGE)
    if title not in titles:
        return
    here = titles.index(title)
    for step, icon in ((-1, ":material/chevron_left:"), (1, ":material/chevron_right:")):
        other = titles[(here + step) % len(titles)]
        _link(_TOUR_OF_AN_IMAGE[other], other, icon, {})


def _link(page: str, label: str, icon: str, query: Mapping[str, str]) -> None:
    try:
        st.page_link(f"pages/{page}.py", label=label, icon=icon, query_params=dict(query) or None)
    except StreamlitPageNotFoundError:  # this page runs alone: nothing has read app.py yet
        asked = "&".join(f"{name}={value}" for name, value in query.items())
        st.markdown(f"[{label}](/{page}{'?' if asked else ''}{asked})", width="content")
