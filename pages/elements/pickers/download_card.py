"""In place of images that are not on this machine: a card that fetches them, or leads to others."""

from collections.abc import Callable

import streamlit as st

from core import roles
from core.data.catalogue import catalogue_entry
from core.data.sets import datasets
from core.paths import home
from core.serving import downloads
from pages.elements.as_text import as_written, plain

LOOK_EVERY = 1.0  # seconds


def can_be_downloaded(name: str) -> bool:
    """Whether there is a download for a data set of that name."""
    return name in datasets and "download" in datasets[name].facts


def download_card(
    name: str, *, key: str, what: str = "", instead: tuple[str, Callable[[], None]] | None = None
) -> None:
    """Draw the card of a data set that can be downloaded.

    Args:
        key: Of this card on this page.
        what: The sentence that the card begins with, if not that the data set is not on this machine.
        instead: The label of a button that shows something else, and what the button does.
    """
    facts, title = datasets[name].facts, plain(catalogue_entry(name).title)
    found = downloads.state(name)
    running = found is not None and found.running
    with st.container(border=True, key=f"{key}_card"):
        st.markdown(what or f"**{title}** is not on this machine. It is a download of {facts['download']}.")
        st.fragment(_progress if running else _buttons, run_every=LOOK_EVERY if running else None)(
            name, key, instead
        )
        with st.expander("No network?"):
            st.markdown(f"{as_written(facts['by_hand'])} The data folder is `{home('data')}`.")


def _buttons(name: str, key: str, instead: tuple[str, Callable[[], None]] | None) -> None:
    found = downloads.state(name)
    if found is not None and found.error:
        st.warning(as_written(found.error), icon=":material/wifi_off:")
    size = datasets[name].facts["download"]
    label = f"Download {size}"
    if found is not None and (found.error or found.canceled):
        label = "Try again" if found.error else f"Continue the download of {size}"
    with st.container(horizontal=True, vertical_alignment="center"):
        if roles.visitor().may_all:
            if st.button(label, type="primary", icon=":material/download:", key=f"{key}_download"):
                downloads.begin(name)
                st.rerun()
        else:
            st.markdown("Only the teacher can download it on this server.", width="content")
        if instead is not None:
            st.button(instead[0], key=f"{key}_instead", on_click=instead[1])


def _progress(name: str, key: str, instead: tuple[str, Callable[[], None]] | None) -> None:
    found = downloads.state(name)
    if found is None or not found.running:
        st.rerun()
        return
    st.progress(found.share, as_written(found.message))
    with st.container(horizontal=True):
        if roles.visitor().may_all:
            st.button("Cancel", key=f"{key}_cancel", on_click=downloads.cancel, args=(name,))
        if instead is not None:
            st.button(instead[0], key=f"{key}_instead", on_click=instead[1])
