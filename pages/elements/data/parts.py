"""The parts of the data page: counts, a batch, duplicates, files left out, an upload."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core.data.catalogue import (
    CatalogueEntry,
    add_upload,
    read_upload_as,
    said_of_upload,
    upload_files,
)
from core.data.dataset import ImageDataset, Split
from core.data.duplicates import Neighbors, nearest_images
from core.data.folder_index import ImageFiles, find_images
from core.progress import Progress
from core.settings import JsonObject
from pages.elements.as_text import plain
from pages.elements.cancelable_progress import cancelable_progress
from pages.elements.data.folder_form import asked_of, folder_form
from pages.elements.data.image_sheet import image_sheet
from pages.elements.page import errors_shown
from pages.elements.pickers.dataset_picker import choose_next
from pages.elements.visitor import taken

SHEET_CLASSES, SHEET_IMAGES = 10, 5
PAIRS_SHOWN = 40
_MASK_COLORS = {"stitches": (230, 60, 60), "wound": (250, 200, 60), "grid": (70, 130, 230)}


def contact_sheet(dataset: ImageDataset) -> None:
    """The first images of each class, a column a class: what the data set looks like."""
    split = dataset.splits.get("train") or next(iter(dataset.splits.values()))
    rows = [np.flatnonzero(split.labels == c)[:SHEET_IMAGES] for c in range(dataset.number_of_classes)]
    classes = [c for c, found in enumerate(rows) if len(found) == SHEET_IMAGES][:SHEET_CLASSES]
    if classes:
        images = np.stack([split.images[rows[c]] for c in classes])
        image_sheet(images, [dataset.class_names[c] for c in classes], key="data_contact_sheet")


def overview(dataset: ImageDataset) -> None:
    """Counts and statistics of every split, as a chart and as tables."""
    st.markdown(
        "How many images each class has. Where classes differ much, accuracy is easily reached by preferring "
        "the frequent ones. Mean and deviation are what the images are normalized by for a network."
    )
    counts = {name: split.counts(dataset.number_of_classes) for name, split in dataset.splits.items()}
    st.echarts_chart(
        _distribution(dataset.class_names, counts),
        height=320,
        key="data_counts_chart",
        alt="The number of images of every class",
    )
    st.dataframe(_statistics(dataset), hide_index=True, width="stretch")
    with st.expander("Counts as a table"):
        st.dataframe(
            pd.DataFrame({"class": dataset.class_names, **{n: c.tolist() for n, c in counts.items()}}),
            hide_index=True,
        )


def _distribution(class_names: tuple[str, ...], counts: dict[str, np.ndarray]) -> JsonObject:
    return {
        "tooltip": {"trigger": "axis", "axisPointer": {"type": "shadow"}},
        "legend": {"top": 0},
        "grid": {"left": 8, "right": 8, "top": 36, "bottom": 8, "containLabel": True},
        "xAxis": {
            "type": "category",
            "data": list(class_names),
            "axisLabel": {
                "interval": "auto" if len(class_names) > 24 else 0,
                "rotate": 30 if len(class_names) > 12 else 0,
            },
        },
        "yAxis": {"type": "value", "name": "images"},
        "series": [{"name": name, "type": "bar", "data": values.tolist()} for name, values in counts.items()],
    }  # fmt: skip


def _statistics(dataset: ImageDataset) -> pd.DataFrame:
    channels = ("gray",) if dataset.channels == 1 else ("red", "green", "blue")
    rows = []
    for name, split in dataset.splits.items():
        counts = split.counts(dataset.number_of_classes)
        mean, std = split.mean_std
        rows.append(
            {
                "split": name,
                "images": len(split),
                "smallest class": int(counts.min()),
                "largest class": int(counts.max()),
                **{f"mean {c}": round(m, 4) for c, m in zip(channels, mean, strict=True)},
                **{f"std {c}": round(s, 4) for c, s in zip(channels, std, strict=True)},
                "mapped from disk": isinstance(split.images, np.memmap),
            }
        )
    return pd.DataFrame(rows)


@st.fragment
def batch(dataset: ImageDataset) -> None:
    """Images as the network gets them, before and after augmentation."""
    with errors_shown():
        st.markdown(
            "What a network is fed in training. Augmentation changes every image a little each time, so "
            "that it is never seen twice alike; what it makes must still belong to its class: judge here."
        )
        left, middle, right, last = st.columns([2, 3, 2, 2], vertical_alignment="bottom")
        name = left.selectbox("Split", list(dataset.splits), key="data_split", bind="query-params")
        split = dataset.splits[name]
        wanted = middle.selectbox("Class", ["all classes", *dataset.class_names], key="data_class")
        count = right.select_slider("Images", (8, 16, 24, 48, 96), 24, key="data_count")
        if last.button("Another batch", icon=":material/shuffle:", width="stretch"):
            st.session_state["data_seed"] = st.session_state.get("data_seed", 0) + 1
        seed = st.session_state.get("data_seed", 0)
        rows = np.arange(len(split))
        if wanted in dataset.class_names:
            rows = np.flatnonzero(split.labels == dataset.class_names.index(wanted))
        if not len(rows):
            st.info(f"No image of the split {name!r} has this class. Choose another class or split.")
            return
        rows = np.sort(np.random.default_rng(seed).permutation(rows)[:count])
        pictures, names = [np.asarray(split.images[rows])], ["stored"]
        changed = _augmented(pictures[0], rows, seed)
        if changed is not None:
            pictures.append(changed)
            names.append("augmented")
        if split.masks and st.toggle(
            "Show the masks", key="data_masks", help="The truth that comes with it."
        ):
            pictures.append(_masks(split, rows))
            names.append("masks")
        image_sheet(
            np.stack([_same_channels(p, max(q.shape[-1] for q in pictures)) for p in pictures], axis=1),
            [f"{dataset.class_names[split.labels[row]]} · {row}" for row in rows],
            key="data_batch_sheet",
            rows=names if len(names) > 1 else (),
        )
        mean, std = dataset.mean_std
        values = (pictures[0 if changed is None else 1].astype(np.float32) / 255 - mean) / std
        height, width = dataset.input_size
        st.caption(
            f"The network gets {len(rows)} × {dataset.channels} × {height} × {width} numbers: pixels of 0…1, "
            f"less the mean, divided by the deviation. In this batch they run from {values.min():.2f} to "
            f"{values.max():.2f}."
        )  # fmt: skip


def _augmented(images: np.ndarray, rows: np.ndarray, seed: int) -> np.ndarray | None:
    """The batch after what is set in the form, or None where nothing is."""
    with st.container(border=True):
        st.markdown("**Augmentation**")
        columns = st.columns(5, vertical_alignment="bottom")
        flip = columns[0].toggle("Flip", True, key="data_flip", help="Mirrors half of the images.")
        crop = columns[1].slider("Shift (pixels)", 0, 16, 2, key="data_crop")
        color = columns[2].slider("Color", 0.0, 1.0, 0.0, 0.05, key="data_color")
        cutout = columns[3].slider("Cutout (pixels)", 0, 32, 0, key="data_cutout")
        magnitude = columns[4].slider("RandAugment", 0, 10, 0, key="data_rand_augment")
    import torch

    from core.training.augmentation import Augmentation, augment

    augmentation = Augmentation("random" if flip else "none", crop, color, magnitude, cutout)
    if not augmentation.changes_something:
        return None
    generator = torch.Generator().manual_seed(seed)
    return augment(torch.from_numpy(images.copy()), augmentation, generator).numpy()


def _same_channels(pictures: np.ndarray, channels: int) -> np.ndarray:
    return pictures if pictures.shape[-1] == channels else np.repeat(pictures, channels, axis=-1)


def _masks(split: Split, rows: np.ndarray) -> np.ndarray:
    pictures = np.full((len(rows), *split.input_size, 3), 24, np.uint8)
    for name, mask in split.masks.items():
        pictures[np.asarray(mask[rows])] = _MASK_COLORS.get(name, (255, 255, 255))
    return pictures


@st.fragment
def duplicates(dataset: ImageDataset) -> None:
    """Test images that are among the training images too, side by side."""
    with errors_shown():
        st.markdown(
            "A test image that was also trained on proves nothing. Each test image is compared with all "
            "training images; similarity is the correlation of the two, reduced to 12 × 12 pixels."
        )
        if not {"train", "test"} <= set(dataset.splits):
            st.info(f"There is nothing to compare: the splits here are {', '.join(dataset.splits)}. "
                    f"{plain(dataset.note)}")  # fmt: skip
            return
        test, train = dataset.splits["test"], dataset.splits["train"]
        place = st.empty()
        found = nearest_images(test, train, progress=lambda share, text: _draw(place, share, text))
        place.empty()
        left, right = st.columns([3, 2], vertical_alignment="bottom")
        least = left.slider(
            "Similarity of at least", 0.900, 1.000, 0.970, 0.001, format="%.3f", key="data_similarity",
            bind="query-params", help="1 is identical but for brightness and contrast.",
        )  # fmt: skip
        only_conflicts = right.toggle("Only pairs with different labels", key="data_conflicts")
        _pairs(dataset, test, train, found, least, only_conflicts)


def _pairs(
    dataset: ImageDataset, test: Split, train: Split, found: Neighbors, least: float, only_conflicts: bool
) -> None:
    rows = found.at_least(least)
    differ = test.labels[rows] != train.labels[found.nearest[rows]]
    columns = st.columns(4)
    columns[0].metric("Identical", f"{int(found.exact.sum()):,}")
    columns[1].metric(f"Similar from {least:.3f}", f"{len(rows):,}")
    columns[2].metric("Share of the test set", f"{len(rows) / len(test):.2%}")
    columns[3].metric("With different labels", f"{int(differ.sum()):,}")
    if len(rows) > 0.2 * len(test):
        st.info(
            "So many are alike that this is what the pictures have in common, not copying. Raise the "
            "similarity until only pairs are left that could be the same photo."
        )
    rows = rows[differ] if only_conflicts else rows
    if not len(rows):
        st.success("No such pair. Lower the similarity to see the pairs that come nearest.")
        return
    shown = rows[:PAIRS_SHOWN]
    partners = found.nearest[shown]
    names = dataset.class_names
    image_sheet(
        np.stack([test.images[shown], train.images[partners]], axis=1),
        [f"{found.similarity[row]:.3f} · test {row}, train {partner} · {names[test.labels[row]]}"
         for row, partner in zip(shown, partners, strict=True)],
        key="data_pairs_sheet",
        rows=("test", "train"),
        notes=[f"train says {names[train.labels[partner]]}"
               if test.labels[row] != train.labels[partner] else ""
               for row, partner in zip(shown, partners, strict=True)],
    )  # fmt: skip
    if len(rows) > len(shown):
        st.caption(f"The {len(shown)} most similar of {len(rows):,} pairs.")


def left_out(dataset: ImageDataset) -> None:
    """Files that are in no split, and why."""
    if not dataset.skipped:
        st.success("Every file could be used.")
        return
    st.markdown(f"**{len(dataset.skipped):,} files** were left out; all others are in the data set.")
    st.dataframe(
        pd.DataFrame([(s.path, s.reason) for s in dataset.skipped], columns=["file", "reason"]),
        hide_index=True,
        width="stretch",
    )


def folders(entry: CatalogueEntry) -> None:
    """What the folders of an uploaded data set were taken for, and the form that says it otherwise."""
    if entry.path is None:
        return
    said, files_named = said_of_upload(entry.name), partial(upload_files, entry.name)
    is_open = asked_of(files_named, said).reading.is_open
    title = "What the folders were taken for" + (", please check" if is_open else "")
    with st.expander(title, icon=":material/folder:"), errors_shown():
        asked = folder_form(files_named, said, f"data_folders_{entry.name}")
        pressed = st.button(
            "Read it this way", key="data_read_folders", disabled=asked.said == said or not asked.has_classes
        )
        if pressed:
            with _shown_progress() as progress:
                read_upload_as(entry.name, asked.said, progress=progress)
            st.session_state["data_report"] = f"{plain(entry.title)} is read this way from now on."
            st.rerun()


def upload() -> None:
    """A zip of images that becomes a data set for everyone on this server."""
    st.markdown(
        "A zip with one folder of images for each class, such as `cat/1.jpg` and `dog/1.jpg`, or with "
        "`train/`, `val/` and `test/` above them. Whoever uses this server can see what you upload."
    )
    # No list of types: Streamlit would refuse a file with a red mark and no sentence.
    file = st.file_uploader("Zip of images", key="data_upload")
    if file is None or st.session_state.get("data_upload_done") == file.file_id:
        return

    def files_named(names: str) -> ImageFiles:
        held = st.session_state.get("data_upload_files")
        if not held or held[0] != (file.file_id, names):
            held = ((file.file_id, names), find_images(file, names=names, title=file.name))
            st.session_state["data_upload_files"] = held
        files: ImageFiles = held[1]
        return files

    key = f"data_upload_{file.file_id}"
    asked = asked_of(files_named, {})
    if asked.reading.is_open:
        st.info("The folders can be understood in more than one way. Is this right?", icon=":material/help:")
        asked = folder_form(files_named, {}, key)
        if not st.button(
            "Read it this way", type="primary", key="data_read_upload", disabled=not asked.has_classes
        ):
            return

    def cancel() -> None:
        st.session_state["data_upload_done"] = file.file_id
        st.session_state.pop("data_upload_files", None)
        taken(file)

    with cancelable_progress("data_upload_cancel", cancel) as progress:
        name, dataset = add_upload(file, file.name, asked.said, progress=progress)
    st.session_state["data_upload_done"] = file.file_id
    st.session_state.pop("data_upload_files", None)
    taken(file)
    images = sum(len(split) for split in dataset.splits.values())
    st.session_state["data_report"] = (
        f"{plain(dataset.title)}: {images:,} images in {dataset.number_of_classes} classes were read at "
        f"{dataset.input_size[1]} × {dataset.input_size[0]} pixels"
        + (f"; {len(dataset.skipped):,} files were left out, see “Left out”." if dataset.skipped else ".")
    )
    choose_next("data", name)
    st.session_state["data_part_next"] = "Overview"
    st.rerun()


@contextmanager
def _shown_progress() -> Iterator[Progress]:
    place = st.empty()
    try:
        yield lambda share, text: _draw(place, share, text)
    finally:
        place.empty()


def _draw(place: Any, share: float, text: str) -> None:
    place.progress(min(1.0, max(0.0, share)), plain(text))
