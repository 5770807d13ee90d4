"""Where to go from here: a quiet row of links under the picture. Image, classifier and class come along."""

from collections.abc import Sequence

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


def what_next(*pages: str, words: Sequence[str] = ()) -> None:
    """Draw the links.

    Args:
        pages: Names of files in `pages/`, the most likely next step first.
        words: Other words for the first of them.
    """
    with st.container(key="what_next", horizontal=True, vertical_alignment="center"):
        st.markdown("**What next?**", width="content")
        for number, page in enumerate(pages):
            label, icon = _LINKS[page]
            label = words[number] if number < len(words) else label
            try:
                st.page_link(f"pages/{page}.py", label=label, icon=icon)
            except StreamlitPageNotFoundError:  # this page runs alone: nothing has read app.py yet
                st.markdown(f"[{label}](/{page})", width="content")
