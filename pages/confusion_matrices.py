"""Confusion matrices: what a network mixes up, which images, and how sure it was."""

import streamlit as st

from core.data.catalogue import dataset_names
from core.errors import ConvoscopeError
from core.models import catalogue
from core.models.card import ModelCard
from pages.elements.as_text import plain
from pages.elements.confusion_matrices.judged import judged
from pages.elements.confusion_matrices.parts import (
    calibration_part,
    classes_part,
    errors_part,
    findings_part,
    matrix_part,
    upload_part,
)
from pages.elements.page import page
from pages.elements.pickers.choose import choose_classifier
from pages.elements.pickers.dataset_picker import choose_next, dataset_picker, opened

UPLOAD, TWO, ONE = "Your own matrix", "Two classifiers", "One against the rest"
PARTS = ("Matrix", "Findings", "Classes", ONE, "Calibration", "Errors", TWO, UPLOAD)


def start_with_what_fits() -> None:
    """Before anyone has chosen: a classifier whose data set is here, rather than one of ImageNet."""
    if "classifier" in st.query_params or {"classifier", "classifier_in_address"} & set(st.session_state):
        return
    here = set(dataset_names())
    for name in catalogue.names():
        try:
            if "/" not in name.replace("runs/", "") and catalogue.card_of(name).dataset in here:
                st.session_state["classifier"] = name
                return
        except ConvoscopeError:
            continue


def follow_classifier(classifier: str, card: ModelCard) -> None:
    """Another classifier brings its own data set, unless a link names one."""
    seen = st.session_state.get("cm_classifier_seen")
    st.session_state["cm_classifier_seen"] = classifier
    if seen == classifier or card.dataset not in dataset_names():
        return
    if seen is None and "cm_set" in st.query_params:
        return
    choose_next("cm", card.dataset)


with page("Confusion matrices", "What does this network mix up, which images, and how sure was it?"):
    part = st.segmented_control(
        "Part", PARTS, default="Matrix", key="cm_part", bind="query-params", label_visibility="collapsed",
        required=True,
    )  # fmt: skip
    if part == UPLOAD:
        upload_part()
    else:
        start_with_what_fits()
        columns = st.columns([3, 2, 1, 3] if part == TWO else [3, 2, 1], vertical_alignment="bottom")
        with columns[0]:
            classifier = choose_classifier()
        card = catalogue.card_of(classifier)
        follow_classifier(classifier, card)
        with columns[1]:
            entry = dataset_picker("cm")
        dataset = opened(entry, {})
        splits = list(dataset.splits)
        if st.session_state.get("cm_split") not in (None, *splits):
            del st.session_state["cm_split"]
        with columns[2]:
            split_name = st.selectbox(
                "Split", splits, index=splits.index("test") if "test" in splits else 0, key="cm_split",
                bind="query-params",
            )  # fmt: skip
        other = None
        if part == TWO:
            with columns[3]:
                others = [name for name in catalogue.names() if name != classifier]
                if st.session_state.get("cm_other") not in (None, *others):
                    del st.session_state["cm_other"]
                alike = [n for n in others if catalogue.card_of(n).class_names == card.class_names]
                other = st.selectbox(
                    "Compared with", others, index=others.index(alike[0]) if alike else 0, key="cm_other",
                    bind="query-params",
                )  # fmt: skip
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

                comparison_part(first, judged(other or classifier, dataset, split_name))
            case _:
                matrix_part(first)
