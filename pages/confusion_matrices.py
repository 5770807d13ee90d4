"""Confusion matrices: what a network mixes up, which images, and how sure it was."""

import streamlit as st

from core.data.catalogue import CatalogueEntry, dataset_names
from core.data.dataset import ImageDataset
from core.errors import BadDataset, ConvoscopeError, Unavailable
from core.models import catalogue
from core.models.card import ModelCard
from pages.elements.as_text import as_written, plain
from pages.elements.confusion_matrices.judged import Judged, judged, judged_without_images
from pages.elements.confusion_matrices.parts import (
    calibration_part,
    classes_part,
    errors_part,
    findings_part,
    matrix_part,
    upload_part,
)
from pages.elements.figures.what_next import what_next
from pages.elements.page import page
from pages.elements.pickers.bar import draw_bar
from pages.elements.pickers.choose import choose_classifier
from pages.elements.pickers.dataset_picker import choose_next, dataset_picker, opened
from pages.elements.pickers.download_card import can_be_downloaded, download_card
from pages.elements.pickers.first_choice import instead_of, start_with_what_is_here

UPLOAD, TWO, ONE = "Your own matrix", "Two classifiers", "One vs. rest"
PARTS = ("Matrix", "Findings", "Classes", ONE, "Calibration", "Errors", TWO, UPLOAD)


def show_what_is_here(dataset: str, error: ConvoscopeError) -> None:
    """In place of a matrix that cannot be made: why, and the way to one that can be seen."""
    instead = instead_of("", "cm")
    if isinstance(error, Unavailable) and can_be_downloaded(dataset):
        download_card(dataset, key="cm_missing", instead=instead)
        return
    st.info(as_written(error), icon=":material/grid_off:")
    if instead is not None:
        st.button(instead[0], type="primary", on_click=instead[1])


def judge(classifier: str, dataset: ImageDataset | None, entry: CatalogueEntry, split: str) -> Judged | None:
    """The predictions to be shown; None where there are none, and the page says why.

    Args:
        dataset: None where it is not on this machine: then they come with the classifier, or not at all.
    """
    if dataset is None:
        found = judged_without_images(classifier, entry.name)
        if found is None:
            show_what_is_here(entry.name, Unavailable(f"{entry.title} is not on this machine."))
        return found
    try:
        return judged(classifier, dataset, split)
    except BadDataset as error:
        show_what_is_here(entry.name, error)
        return None


def follow_classifier(classifier: str, card: ModelCard) -> None:
    """Another classifier brings its own data set, unless a link names one."""
    seen = st.session_state.get("cm_classifier_seen")
    st.session_state["cm_classifier_seen"] = classifier
    if seen == classifier or card.dataset not in dataset_names():
        return
    if seen is None and "cm_set" in st.query_params:
        return
    choose_next("cm", card.dataset)


def draw() -> None:
    bar = draw_bar()
    with bar.controls:
        part = st.selectbox(
            "Part", PARTS, key="cm_part", bind="query-params", label_visibility="collapsed", width=190
        )
    if part == UPLOAD:
        upload_part()
        return
    start_with_what_is_here()
    with bar.chips:
        classifier = choose_classifier()
        card = catalogue.card_of(classifier)
        follow_classifier(classifier, card)
    with bar.drawer():
        entry = dataset_picker("cm")
        place = st.container()
    dataset: ImageDataset | None = None
    try:
        dataset = opened(entry, {})
        splits = list(dataset.splits)
    except ConvoscopeError as error:
        if judged_without_images(classifier, entry.name) is None:
            show_what_is_here(entry.name, error)
            return
        splits = ["test"]
    if st.session_state.get("cm_split") not in (None, *splits):
        del st.session_state["cm_split"]
    with place:
        split_name = st.selectbox(
            "Split", splits, index=splits.index("test") if "test" in splits else 0, key="cm_split",
            bind="query-params",
        )  # fmt: skip
    other = _other(classifier, card) if part == TWO else None
    first = judge(classifier, dataset, entry, split_name)
    if first is None:
        return
    if first.predictions.note:
        st.info(plain(first.predictions.note), icon=":material/info:")
    match part:
        case "Findings":
            findings_part(first)
        case "Classes":
            classes_part(first)
        case "Calibration":
            calibration_part(first)
        case "Errors":
            errors_part(first)
        case "One vs. rest":
            from pages.elements.confusion_matrices.threshold_lab import threshold_part

            threshold_part(first)
        case "Two classifiers":
            from pages.elements.confusion_matrices.comparison import comparison_part

            if other is None:
                st.info(
                    "No other classifier here has these classes: train or import a second one to compare."
                )
            elif (second := judge(other, dataset, entry, split_name)) is not None:
                comparison_part(first, second)
        case _:
            matrix_part(first)
            what_next("embedding", "filters", "train_monitor", "attribution")


def _other(classifier: str, card: ModelCard) -> str | None:
    """A second classifier with the same classes; only such can be compared."""
    others = [
        n
        for n in catalogue.names()
        if n != classifier and catalogue.card_of(n).class_names == card.class_names
    ]
    if st.session_state.get("cm_other") not in (None, *others):
        del st.session_state["cm_other"]
    if not others:
        return None
    chosen: str = st.selectbox("Compared with", others, key="cm_other", bind="query-params", width=320)
    return chosen


with page("Confusion matrices", "What does this network confuse, in which images, and how sure was it?"):
    draw()
