"""A pad to draw on for networks of small gray images; `drawing_pad.js` draws, and makes the input of it.

The square box round the ink fills the input: networks of digits and clothes know images that touch the edge,
and answer badly about small or shifted ones. Each value of the input is the mean over its area.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable

import numpy as np
import streamlit as st

from core.data.images import encode
from core.models.card import ModelCard
from pages.elements.component import component
from pages.elements.page import errors_shown
from pages.elements.pickers.prediction import predicted, top_classes

_drawing_pad = component(__file__, "drawing_pad")
_KEY, _CHOSEN = "drawing", "drawing_chosen"
LARGEST_SIDE_TO_DRAW = 64  # pixels
CLASSES_SHOWN = 4


def can_be_drawn(card: ModelCard) -> bool:
    """Whether the network looks at small gray images, such as digits."""
    preprocessing = card.preprocessing
    return preprocessing.channels == 1 and max(preprocessing.input_size) <= LARGEST_SIDE_TO_DRAW


@st.fragment
def drawing_pad(card: ModelCard, classifier: str, take: Callable[[bytes], None]) -> None:
    """Draw the pad; what the classifier answers follows while one draws.

    Args:
        take: Called with a drawing as a PNG file when it is to be the image of every page.
    """
    if st.session_state.pop(_CHOSEN, False):
        st.rerun()
    height, width = card.preprocessing.input_size
    state = st.session_state.get(_KEY)
    pixels = drawn_pixels(state.get("drawn") if state else None, height, width)
    answer: list[tuple[str, float]] = []
    with errors_shown():
        if pixels is not None:
            sha256 = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
            answer = top_classes(card, predicted(classifier, pixels, sha256), CLASSES_SHOWN)

    def choose() -> None:
        chosen = drawn_pixels(st.session_state[_KEY].get("taken"), height, width)
        if chosen is not None:
            take(encode(np.repeat(chosen, 3, axis=2)))
            st.session_state[_CHOSEN] = True

    _drawing_pad(
        key=_KEY, data={"height": height, "width": width, "answer": answer},
        on_drawn_change=lambda: None, on_taken_change=choose,
    )  # fmt: skip


def drawn_pixels(sent: object, height: int, width: int) -> np.ndarray | None:
    """(height, width, 1) uint8 of what the browser sent; None where it is empty or of another size."""
    if not isinstance(sent, str):
        return None
    try:
        data = base64.b64decode(sent, validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(data) != height * width or not any(data):
        return None
    return np.frombuffer(data, np.uint8).reshape(height, width, 1)
