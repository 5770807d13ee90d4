"""The slim bar above every picture: what is looked at as chips, the page's own controls, and a drawer."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import streamlit as st
from streamlit.delta_generator import DeltaGenerator


@dataclass(frozen=True)
class Bar:
    """The places of the bar, to be filled with `with bar.chips:`.

    Attributes:
        chips: On the left: the image, the classifier, the class.
        controls: On the right: the page's two most used controls.
    """

    chips: DeltaGenerator
    controls: DeltaGenerator

    @contextmanager
    def drawer(self) -> Iterator[None]:
        """Everything else that can be set, behind a gear at the right end."""
        with self.controls, st.popover("", icon=":material/settings:", key="drawer", help="All settings"):
            yield


def draw_bar() -> Bar:
    """Draw an empty bar."""
    with st.container(key="bar", horizontal=True, vertical_alignment="center"):
        chips = st.container(key="chips", horizontal=True, vertical_alignment="center", width="content")
        controls = st.container(
            key="controls", horizontal=True, vertical_alignment="center", horizontal_alignment="right",
            width="stretch",
        )  # fmt: skip
    return Bar(chips, controls)
