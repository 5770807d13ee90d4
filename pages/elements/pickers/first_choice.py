"""What a page shows before anyone has chosen: a classifier whose data set can be opened here."""

import streamlit as st

from core.data.catalogue import dataset_names, open_dataset
from core.errors import ConvoscopeError
from core.models import catalogue

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
