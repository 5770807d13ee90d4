"""What a page shows before anyone has chosen: a classifier whose data set can be opened here."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import streamlit as st

from core.data.catalogue import CatalogueEntry, catalogue_entry, dataset_names, open_dataset
from core.data.dataset import ImageDataset
from core.errors import ConvoscopeError, Unavailable
from core.models import catalogue
from core.models.card import ModelCard
from core.models.fitting_data import fitting_dataset, why_unfit
from pages.elements.as_text import plain
from pages.elements.pickers.dataset_picker import choose_next, opened
from pages.elements.pickers.download_card import can_be_downloaded, download_card

FIRST_CLASSIFIER = "fashion_mnist_cnn"


def start_with_what_is_here(first: str = FIRST_CLASSIFIER) -> None:
    """Before the picker of the classifier, on pages that show a data set: choose one that fits.

    Args:
        first: What this page shows best.
    """
    if "classifier" in st.query_params or {"classifier", "classifier_in_address"} & set(st.session_state):
        return
    names = [name for name in catalogue.names() if "/" not in name.removeprefix("runs/")]
    for name in (first, *names):
        if name in names and data_are_here(name):
            st.session_state["classifier"] = name
            return


def data_are_here(classifier: str) -> bool:
    """Whether the test images of what it was trained on can be opened at once."""
    try:
        dataset = catalogue.card_of(classifier).dataset
        return dataset in dataset_names() and "test" in open_dataset(dataset).splits
    except ConvoscopeError:
        return False


def let_data_follow(prefix: str, classifier: str, card: ModelCard) -> None:
    """Before the data set picker of that prefix: another classifier brings the data set that fits it.

    A link that names a data set keeps it.
    """
    key = f"{prefix}_classifier_seen"
    seen = st.session_state.get(key)
    st.session_state[key] = classifier
    fitting = fitting_dataset(card)
    if seen == classifier or fitting is None or (seen is None and f"{prefix}_set" in st.query_params):
        return
    choose_next(prefix, fitting)


def stop_where_data_do_not_fit(prefix: str, classifier: str, card: ModelCard, dataset: ImageDataset) -> None:
    """End the page with an offer of the data set that fits, unless the visitor wants to see this one.

    Nothing is computed for a network that was taught with photographs on pictures of 28 pixels, for example.
    """
    reason = why_unfit(card, dataset)
    wanted = f"{prefix}_anyway"
    if not reason or st.session_state.get(wanted) == (classifier, dataset.name):
        return
    fitting = fitting_dataset(card)
    st.info(f"{plain(reason)}, so these images would say little about it.", icon=":material/image_search:")
    with st.container(horizontal=True):
        if fitting is not None:
            st.button(
                f"Show {plain(catalogue_entry(fitting).title)} instead", key=f"{prefix}_fitting",
                type="primary", on_click=choose_next, args=(prefix, fitting),
            )  # fmt: skip
        st.button(
            f"Show {plain(dataset.title)} anyway", key=f"{prefix}_show_anyway",
            on_click=st.session_state.update, kwargs={wanted: (classifier, dataset.name)},
        )  # fmt: skip
    st.stop()


def opened_or_offered(
    prefix: str, entry: CatalogueEntry, settings: Mapping[str, Any] = MappingProxyType({})
) -> ImageDataset:
    """The data set; where it is not on this machine, a card that fetches it, and the page ends there."""
    try:
        return opened(entry, dict(settings))
    except Unavailable:
        if not can_be_downloaded(entry.name):
            raise
    download_card(entry.name, key=f"{prefix}_missing", instead=instead_of(entry.name, prefix))
    st.stop()


def instead_of(dataset: str, prefix: str) -> tuple[str, Callable[[], None]] | None:
    """What a card offers instead of a data set: the first look, whose images come with Convoscope."""
    own = catalogue.card_of(FIRST_CLASSIFIER).dataset
    if dataset == own or not data_are_here(FIRST_CLASSIFIER):
        return None

    def show() -> None:
        st.session_state["classifier"] = FIRST_CLASSIFIER
        choose_next(prefix, own)

    return f"Use {plain(catalogue_entry(own).title)} instead", show
