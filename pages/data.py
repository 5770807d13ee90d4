"""Data: what a network is taught with, before anyone trains on it."""

from contextlib import suppress

import streamlit as st
from streamlit.errors import StreamlitPageNotFoundError

from core.data.sets import datasets
from pages.elements.as_text import plain
from pages.elements.data.parts import batch, contact_sheet, duplicates, folders, left_out, overview, upload
from pages.elements.page import errors_shown, page
from pages.elements.pickers.bar import draw_bar
from pages.elements.pickers.dataset_picker import dataset_picker, dataset_settings
from pages.elements.pickers.download_card import can_be_downloaded, download_card
from pages.elements.pickers.first_choice import opened_or_offered

PARTS = ("Overview", "Batch", "Duplicates", "Left out", "Upload")

with page("Data", "What is in the data set, and is it sound?"):
    follow = st.session_state.pop("data_part_next", None)
    if follow:
        st.session_state["data_part"] = follow
    bar = draw_bar()
    with bar.chips:
        entry = dataset_picker("data", in_bar=True)
    with bar.controls:
        part = st.segmented_control(
            "Part", PARTS, default="Overview", key="data_part", bind="query-params",
            label_visibility="collapsed", required=True,
        )  # fmt: skip
    report = st.session_state.pop("data_report", None)
    if report:
        st.success(report, icon=":material/check:")
    if part == "Upload":
        upload()
    else:
        settings = {}
        with bar.drawer(), errors_shown():
            st.caption(plain(entry.summary))
            settings = dataset_settings(entry, "data") if entry.settings else {}
        dataset = opened_or_offered("data", entry, settings)
        if part == "Overview":
            contact_sheet(dataset)
            folders(entry)
        height, width = dataset.input_size
        splits = ", ".join(f"{plain(name)} {len(split):,}" for name, split in dataset.splits.items())
        colors = "gray" if dataset.channels == 1 else "RGB"
        st.markdown(
            f"**{splits}** images · {dataset.number_of_classes} classes · {width} × {height} pixels, {colors}"
        )
        if "train" in dataset.splits:
            with suppress(StreamlitPageNotFoundError):  # this page runs alone: nothing has read app.py yet
                st.page_link(
                    "pages/train_monitor.py", label="Train on these images", icon=":material/play_arrow:",
                    query_params={"tm_part": "New run", "tm_set": entry.name},
                )  # fmt: skip
        if "train" not in dataset.splits and can_be_downloaded(entry.name):
            here = ", ".join(f"{len(split):,} {name} images" for name, split in dataset.splits.items())
            size = datasets[entry.name].facts["download"]
            what = f"Only the {here} are on this machine. The training images are a download of {size}."
            download_card(entry.name, key="data_train", what=what)
        elif dataset.note:
            st.info(plain(dataset.note), icon=":material/info:")
        match part:
            case "Batch":
                batch(dataset)
            case "Duplicates":
                duplicates(dataset)
            case "Left out":
                left_out(dataset)
            case _:
                overview(dataset)
        st.caption(
            f"Source: {plain(dataset.source)} · license: {plain(dataset.license or 'not stated')} · "
            f"fingerprint {dataset.fingerprint[:12]}"
        )
