"""Confusion matrices: what a network mixes up, which images, and how sure it was."""

import streamlit as st

from core.data.catalogue import dataset_names
from core.errors import ConvoscopeError
from core.models import catalogue
from core.models.card import ModelCard
from pages.elements.as_text import as_written, plain
from pages.elements.confusion_matrices.judged import judged
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
from pages.elements.pickers.first_choice import FIRST_CLASSIFIER, data_are_here, start_with_what_is_here

UPLOAD, TWO, ONE = "Your own matrix", "Two classifiers", "One against the rest"
PARTS = ("Matrix", "Findings", "Classes", ONE, "Calibration", "Errors", TWO, UPLOAD)


def show_what_is_here(classifier: str, error: ConvoscopeError) -> None:
    """In place of a matrix whose images are missing: why, and the way to one that can be seen."""
    st.info(as_written(error), icon=":material/download:")
    if classifier != FIRST_CLASSIFIER and data_are_here(FIRST_CLASSIFIER):
        st.button("Show Fashion-MNIST instead", type="primary", on_click=_choose_first)


def _choose_first() -> None:
    st.session_state["classifier"] = FIRST_CLASSIFIER
    choose_next("cm", catalogue.card_of(FIRST_CLASSIFIER).dataset)


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
    try:
        dataset = opened(entry, {})
    except ConvoscopeError as error:
        show_what_is_here(classifier, error)
        return
    splits = list(dataset.splits)
    if st.session_state.get("cm_split") not in (None, *splits):
        del st.session_state["cm_split"]
    with place:
        split_name = st.selectbox(
            "Split", splits, index=splits.index("test") if "test" in splits else 0, key="cm_split",
            bind="query-params",
        )  # fmt: skip
    other = _other(classifier, card) if part == TWO else None
    first = judged(classifier, dataset, split_name)
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
        case "One against the rest":
            from pages.elements.confusion_matrices.threshold_lab import threshold_part

            threshold_part(first)
        case "Two classifiers":
            from pages.elements.confusion_matrices.comparison import comparison_part

            if other is None:
                st.info(
                    "No other classifier here has these classes: train or import a second one to compare."
                )
            else:
                comparison_part(first, judged(other, dataset, split_name))
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
