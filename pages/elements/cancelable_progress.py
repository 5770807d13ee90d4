"""A bar for work in the script's own thread, with a button that ends it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import streamlit as st

from core.progress import Progress
from pages.elements.as_text import plain


@contextmanager
def cancelable_progress(key: str, cancel: Callable[[], None]) -> Iterator[Progress]:
    """Inside the `with`, a progress function for the work.

    A click on the button ends the script where it next reports its progress, and so the work.

    Args:
        key: Of the button.
        cancel: Called before the page is drawn again: it sees to it that the work does not begin anew.
    """
    place = st.empty()
    try:
        with place.container(horizontal=True, vertical_alignment="center"):
            bar = st.progress(0.0)
            st.button("Cancel", key=key, on_click=cancel, icon=":material/close:")
        yield lambda share, text: _draw(bar, share, text)
    finally:
        place.empty()


def _draw(bar: "st.delta_generator.DeltaGenerator", share: float, text: str) -> None:
    bar.progress(min(1.0, max(0.0, share)), plain(text))
