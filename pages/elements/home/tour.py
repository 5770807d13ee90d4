"""What each page answers, as cards to click."""

from pathlib import Path

import streamlit as st
from streamlit.errors import StreamlitPageNotFoundError

_QUESTIONS = (
    ("occlusion", "Occlusion", "What does it say when a part of the image is hidden?"),
    ("attribution", "Attribution", "Which pixels does its answer rest on?"),
    ("filters", "Filters", "What does each filter look for, and what breaks without it?"),
    ("feature_visualization", "Feature visualization", "What would excite a filter most?"),
    ("activations", "Activations", "What does each layer make of the image?"),
    ("data", "Data", "What is in the data set, and is it sound?"),
    ("train_monitor", "Train monitor", "How does a network learn, and when should it stop?"),
    ("confusion_matrices", "Confusion matrices", "What does it mix up, and how sure was it?"),
    ("embedding", "Embedding", "Which images lie close together for it?"),
    ("import_checkpoint", "Import a checkpoint", "Use your own weights on every page."),
    ("conv_arithmetic", "Convolution arithmetic", "How does a convolution work, number by number?"),
    ("storage", "Storage", "What takes room on this machine?"),
    ("losses", "Loss lab", "What do cross-entropy and softmax do?"),
)
_PICTURES = Path(__file__).with_name("pictures")  # made by `make pictures`


def tour() -> None:
    """The pages that there are, each with the question that it answers and a picture of what comes out."""
    st.subheader("What would you like to see?", anchor=False)
    for start in range(0, len(_QUESTIONS), 4):
        row = _QUESTIONS[start : start + 4]
        for column, (file, title, question) in zip(st.columns(4, gap="small"), row, strict=False):
            with column.container(border=True, height="stretch", gap="xsmall"):
                picture = _PICTURES / f"{file}.webp"
                if picture.exists():
                    st.image(str(picture), width="stretch", alt=title)
                try:
                    st.page_link(f"pages/{file}.py", label=f"**{title}**")
                except StreamlitPageNotFoundError:  # this page runs alone: nothing has read app.py yet
                    st.markdown(f"**[{title}](/{file})**")
                st.caption(question)
