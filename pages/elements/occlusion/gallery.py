"""The gallery of the occlusion page: many images, each under several windows, on one sheet to take away."""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.data.catalogue import catalogue, catalogue_entry
from core.data.images import ReadImage, encode, image_from_pixels
from core.data.preprocessing import fit
from core.data.samples import sample_image, sample_names
from core.errors import ConvoscopeError, SettingError
from core.models.question import Question
from core.occlusion.gallery import (
    DropMaps,
    GalleryRow,
    drops_of_windows,
    gallery_archive,
    gallery_scale,
    gallery_sheet,
)
from core.occlusion.windows import window_choices
from core.progress import Progress
from pages.elements.ask import asked
from pages.elements.occlusion.parts import OcclusionChoice, color_bar
from pages.elements.pickers.choose import Chosen
from pages.elements.pickers.dataset_picker import opened

if TYPE_CHECKING:  # pages are drawn while PyTorch is still being imported
    from core.models.classifier import Classifier

SAMPLE_PHOTOS = "sample photos"
MOST_IMAGES = 40


@dataclass(frozen=True)
class _Plan:
    """What a gallery is of: it is computed when the button is pressed, not at every change."""

    classifier: str
    source: str
    count: int
    windows: tuple[int, ...]
    choice: OcclusionChoice


def gallery(chosen: Chosen, choice: OcclusionChoice) -> None:
    """Choose images and windows, compute row by row, show the sheet and offer it as PNG and NPZ."""
    st.caption(
        "Many images under several windows, on one scale: red where hiding lowers the probability, blue "
        "where it raises it. A data set shows its first test images, one class after the other."
    )
    size = chosen.card.preprocessing.input_size
    offered = window_choices(size)
    sources = [SAMPLE_PHOTOS, *(entry.name for entry in catalogue())]
    own = chosen.card.dataset if chosen.card.dataset in sources else SAMPLE_PHOTOS
    titles = {entry.name: entry.title for entry in catalogue()}
    with (
        st.form("occ_gallery_form", border=False),
        st.container(horizontal=True, vertical_alignment="bottom"),
    ):
        source = st.selectbox(
            "Images", sources, sources.index(own), format_func=lambda name: titles.get(name, "Sample photos"),
            key="occ_images_of",
        )  # fmt: skip
        count = st.number_input("How many", 1, MOST_IMAGES, 8, key="occ_count", width=130)
        windows = st.multiselect("Windows", offered, offered[-4:], key="occ_windows", max_selections=8)
        if st.form_submit_button("Compute", type="primary", icon=":material/grid_view:"):
            st.session_state["occ_gallery"] = _Plan(
                chosen.classifier, source, int(count), tuple(sorted(windows)), choice
            )
    plan = st.session_state.get("occ_gallery")
    if plan is None or plan.classifier != chosen.classifier:
        st.info("Choose images and windows, then press Compute.", icon=":material/grid_view:")
        return
    if not plan.windows:
        raise SettingError("No window is chosen: choose at least one size, such as 5 pixels.")
    _compute_and_show(chosen, plan)


def _compute_and_show(chosen: Chosen, plan: _Plan) -> None:
    images = _images(plan.source, plan.count)
    waiting, place = st.container(), st.empty()
    rows: list[GalleryRow] = []
    for number, image in enumerate(images, start=1):
        with waiting:
            rows.append(_row(chosen, image, plan, f"Image {number} of {len(images)}"))
        if number < len(images):
            place.caption(f"{number} of {len(images)} images are done: {rows[-1].name} was the last.")
    names = chosen.card.class_names
    one_scale = st.session_state.get("occ_one_scale", True)
    sheet = encode(gallery_sheet(rows, plan.windows, names, one_scale=one_scale))
    scale = gallery_scale(rows)
    about = {
        "classifier": plan.classifier,
        "images": plan.source,
        "stride": plan.choice.stride,
        "fill": plan.choice.fill,
        "seed": plan.choice.seed,
        "class_names": list(names),
    }
    with place.container():
        with st.container(horizontal=True, vertical_alignment="center"):
            st.download_button(
                "PNG", sheet, "occlusion_gallery.png", "image/png", icon=":material/download:",
                on_click="ignore",
            )  # fmt: skip
            st.download_button(
                "NPZ", lambda: gallery_archive(rows, plan.windows, about), "occlusion_gallery.npz",
                icon=":material/download:", on_click="ignore",
            )  # fmt: skip
            st.toggle(
                "One scale for all", True, key="occ_one_scale",
                help="When this is off, each image has its own scale, printed below it: it shows where "
                "rather than how much.",
            )  # fmt: skip
            if one_scale:
                color_bar(scale)
            st.caption(f"Stride {plan.choice.stride}, fill {plan.choice.fill}.")
        shares = [np.mean([row.share_of_flips[i] for row in rows]) for i in range(len(plan.windows))]
        figures = [f"{window} px {share:.1%}" for window, share in zip(plan.windows, shares, strict=True)]
        st.markdown(
            f"**How often the answer flips**, on average of {len(rows)} images: {', '.join(figures)}."
        )
        st.image(sheet, alt="The maps of all images and windows")


def _row(chosen: Chosen, image: ReadImage, plan: _Plan, message: str) -> GalleryRow:
    pixels = fit(image.pixels, chosen.card.preprocessing)
    names = chosen.card.class_names
    target = names.index(image.label) if image.label in names else None
    choice = plan.choice

    def analysis(classifier: "Classifier", progress: Progress) -> DropMaps:
        return drops_of_windows(
            classifier, pixels, target, plan.windows, stride=choice.stride, fill=choice.fill,
            seed=choice.seed, progress=progress,
        )  # fmt: skip

    sha256 = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
    depends_on = (sha256, target, plan.windows, choice.stride, choice.fill, choice.seed)
    question = Question("occlusion gallery", chosen.classifier, DropMaps, depends_on)
    found = asked(question, analysis, short=False, message=message)
    return GalleryRow.of(found, pixels, image.name)


def _images(source: str, count: int) -> list[ReadImage]:
    if source == SAMPLE_PHOTOS:
        return [sample_image(name) for name in sample_names()[:count]]
    dataset = opened(catalogue_entry(source), {})
    names = list(dataset.splits)
    split_name = "test" if "test" in names else names[-1]
    split = dataset.split(split_name)
    if not len(split):
        raise ConvoscopeError(f"{dataset.title} has no {split_name} images: choose another data set.")
    order = _in_turn(split.labels)[:count]
    return [
        image_from_pixels(
            np.asarray(split.images[i]), f"{split_name} {i}", dataset.class_names[int(split.labels[i])]
        )
        for i in order
    ]


def _in_turn(labels: np.ndarray) -> list[int]:
    """Indices such that the classes take turns: the first of each, then the second of each, …"""
    seen = np.zeros(int(labels.max()) + 1, np.int64)
    rank = np.empty(len(labels), np.int64)
    for i, label in enumerate(labels):
        rank[i] = seen[label]
        seen[label] += 1
    return [int(i) for i in np.lexsort((labels, rank))]
