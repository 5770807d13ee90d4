"""Choosing a data set and its settings, and opening it with a progress bar."""

from typing import Any

import streamlit as st

from core.data.catalogue import CatalogueEntry, catalogue, open_dataset
from core.data.dataset import ImageDataset
from core.data.folder_reading import READING_SETTINGS
from pages.elements.address import keep_in_address
from pages.elements.as_text import plain
from pages.elements.settings_form import settings_form


def dataset_picker(prefix: str, *, in_bar: bool = False) -> CatalogueEntry:
    """A list of all data sets, uploaded ones included; the choice stands in the address as `<prefix>_set`.

    Args:
        in_bar: Whether it stands in the bar, where there is no room for a label.
    """
    entries = {entry.name: entry for entry in catalogue()}
    key = f"{prefix}_set"
    shown = f"{key}_shown"  # kept when another page is opened, unlike the widget's own value
    follow = st.session_state.pop(f"{key}_next", None)
    address = st.query_params.get(key)
    if follow in entries:
        st.session_state[key] = follow
    elif address in entries and address != st.session_state.get(shown):
        st.session_state[key] = address
    elif st.session_state.get(key) not in entries:
        st.session_state[key] = st.session_state.get(shown)
    if st.session_state[key] not in entries:
        del st.session_state[key]
    name = st.selectbox(
        "Data set", list(entries), format_func=lambda name: _label(entries[name]), key=key,
        label_visibility="collapsed" if in_bar else "visible", width=240 if in_bar else "stretch",
    )  # fmt: skip
    # Not bound by the widget, which would write the title: the address takes the command line's name.
    st.session_state[shown] = name
    keep_in_address([key], {key: name})
    return entries[name]


def choose_next(prefix: str, name: str) -> None:
    """From the next run on, the picker shows this data set."""
    st.session_state[f"{prefix}_set_next"] = name


def dataset_settings(entry: CatalogueEntry, prefix: str) -> dict[str, Any]:
    """One control for each of the data set's settings: the values that differ from the defaults.

    What the folders of an uploaded one are is said once, on the page Data, and holds everywhere.

    Raises:
        SettingError: What was typed is not allowed.
    """
    settings = [s for s in entry.settings if entry.path is None or s.name not in READING_SETTINGS]
    values = settings_form(settings, f"{prefix}_{entry.name}", columns=min(3, max(1, len(settings))))
    return {s.name: values[s.name] for s in settings if values[s.name] != s.default}


def opened(entry: CatalogueEntry, settings: dict[str, Any]) -> ImageDataset:
    """The data set, with a bar while it is read for the first time."""
    place = st.empty()

    def show(share: float, message: str) -> None:
        place.progress(min(1.0, max(0.0, share)), plain(message))

    try:
        return open_dataset(entry.name, progress=show, **settings)
    finally:
        place.empty()


def _label(entry: CatalogueEntry) -> str:
    return f"{entry.title} (uploaded, {entry.name[-8:]})" if entry.path else entry.title
