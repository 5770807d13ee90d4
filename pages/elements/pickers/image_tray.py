"""The chip of the image, and the tray behind it: samples, the last images, a drawing pad, and more."""

import base64
import io
import random
from functools import lru_cache

import numpy as np
import streamlit as st
from PIL import Image, ImageOps

from core.data.catalogue import catalogue, open_dataset
from core.data.images import KINDS_IN_WORDS, MAXIMUM_BYTES, ReadImage
from core.data.samples import SAMPLES, sample_image, sample_names
from core.errors import BadImage, ConvoscopeError, Unavailable
from core.models.card import ModelCard
from pages.elements.as_text import as_written, plain
from pages.elements.pickers.chosen_image import (
    FIRST_PHOTO,
    choose_address,
    chosen_address,
    keep_image_in_address,
    keep_upload,
    open_chosen,
)
from pages.elements.pickers.download_card import can_be_downloaded, download_card
from pages.elements.pickers.drawing_pad import can_be_drawn, drawing_pad
from pages.elements.visitor import taken

CHIP = "chip_image"
IMAGES_REMEMBERED = 6  # of a session
IMAGES_OF_A_WALL = 24
_COLUMNS, NARROWEST_THUMBNAIL = 6, 44  # pixels: what a finger hits
_PHONES = ("Mobile", "Android", "iPhone")  # in what a browser says about itself


def choose_image(card: ModelCard | None = None, classifier: str | None = None) -> ReadImage:
    """Draw the chip with its tray, and return the chosen image.

    Args:
        card: Of the classifier that looks at it; None where none does.
        classifier: Its name in the catalogue, so that it can answer while one draws.
    """
    keep_image_in_address()
    name = chosen_address(card)
    try:
        image = open_chosen(name)
    except ConvoscopeError as error:
        st.warning(as_written(error), icon=":material/image_not_supported:")
        name, image = FIRST_PHOTO, sample_image(FIRST_PHOTO)
    small = thumbnail(image.pixels, 48)
    title = _title(image)
    recent = _remembered(name, title, small)
    with st.popover(f"![]({small}) {plain(title)}", key=CHIP, on_change="rerun"):
        _tray(name, card, classifier, recent)
    return image


def thumbnail(pixels: np.ndarray, side: int) -> str:
    """The middle of a picture as a data URI, for the label of a button."""
    image = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[..., 0])
    out = io.BytesIO()
    ImageOps.fit(image, (side, side)).convert("RGB").save(out, "WEBP", quality=80)
    return f"data:image/webp;base64,{base64.b64encode(out.getvalue()).decode()}"


@lru_cache(maxsize=len(SAMPLES))
def _sample_thumbnail(name: str) -> str:
    return thumbnail(sample_image(name).pixels, 96)


@lru_cache(maxsize=2048)
def _dataset_thumbnail(dataset: str, split: str, index: int) -> str:
    return thumbnail(open_dataset(dataset).split(split).images[index], 48)


def _title(image: ReadImage) -> str:
    title = SAMPLES[image.name][0] if image.name in SAMPLES else image.name
    return title if len(title) <= 32 else f"{title[:31]}…"


def _remembered(name: str, title: str, small: str) -> dict[str, tuple[str, str]]:
    """The last images of this session, {address: (title, thumbnail)}, the latest first; this is now one."""
    before: dict[str, tuple[str, str]] = st.session_state.get("images_of_session", {})
    now = {name: (title, small), **{other: seen for other, seen in before.items() if other != name}}
    kept = dict(list(now.items())[:IMAGES_REMEMBERED])
    st.session_state["images_of_session"] = kept
    return kept


def _take(name: str) -> None:
    """Of the tray: choose an image and close."""
    choose_address(name)
    st.session_state[CHIP] = False


def _tray(
    name: str, card: ModelCard | None, classifier: str | None, recent: dict[str, tuple[str, str]]
) -> None:
    draws = card is not None and classifier is not None and can_be_drawn(card)
    kinds = ["Samples", *(["Draw"] if draws else []), "Data set", "Upload", "Camera"]
    if any(word in st.context.headers.get("User-Agent", "") for word in _PHONES):
        kinds = ["Camera", *kinds[:-1]]
    if st.session_state.get("image_from") not in (None, *kinds):
        del st.session_state["image_from"]  # drawing for another classifier
    kind = st.segmented_control(
        "From", kinds, default="Samples", key="image_from", label_visibility="collapsed", required=True,
        wrap=True,
    )  # fmt: skip
    match kind:
        case "Upload":
            _upload()
        case "Camera":
            _camera()
        case "Data set":
            _pick_from_dataset(name, card)
        case "Draw" if card is not None and classifier is not None:
            drawing_pad(card, classifier, _take_drawing)
        case _:
            _samples(name)
    if len(recent) > 1:
        st.caption("Last images")
        _buttons([(address, title, small) for address, (title, small) in recent.items()], name, "recent")


def _samples(name: str) -> None:
    _buttons([(s, SAMPLES[s][0], _sample_thumbnail(s)) for s in sample_names()], name, "sample")


def _buttons(images: list[tuple[str, str, str]], chosen: str, group: str) -> None:
    """Pictures to click, in rows.

    Args:
        images: (address, title, thumbnail) of each.
        chosen: The address of the one that is chosen now.
        group: Its name goes before the keys.
    """
    with st.grid(_COLUMNS, min_column_width=NARROWEST_THUMBNAIL, gap="xsmall"):
        for address, title, small in images:
            st.button(
                f"![{plain(title)}]({small})", key=f"{group}_{address}", on_click=_take, args=(address,),
                width="stretch", type="primary" if address == chosen else "secondary",
            )  # fmt: skip


def _upload() -> None:
    file = st.file_uploader(
        "A photo of yours",
        key="image_upload",
        help=f"{KINDS_IN_WORDS}, up to {MAXIMUM_BYTES // 2**20} MB. "
        "It stays in this server's memory and is not written to disk.",
    )
    if file is not None:
        _take_file(file, f"upload {file.file_id}")
        st.caption(
            "Uploads are kept in the server's memory only: a link to this page shows yours until it is "
            "forgotten, at the latest when the server ends."
        )


def _camera() -> None:
    picture = st.camera_input("A picture of your camera", key="image_camera")
    if picture is not None:
        _take_file(picture, f"camera {picture.file_id}", "Your camera")


def _take_drawing(png: bytes) -> None:
    _take(keep_upload(png, "Drawing"))


def _take_file(file: "st.runtime.uploaded_file_manager.UploadedFile", once: str, name: str = "") -> None:
    """Make a file the chosen image, once: it must not come back after something else was chosen."""
    if st.session_state.get("image_taken") == once:
        if error := st.session_state.get("image_refused"):
            st.error(as_written(error), icon=":material/error:")
        return
    st.session_state["image_taken"] = once
    st.session_state["image_refused"] = None
    try:
        data = file.getvalue()
        taken(file)
        choose_address(keep_upload(data, name or file.name))
    except BadImage as error:
        st.session_state["image_refused"] = str(error)
        st.error(as_written(error), icon=":material/error:")
        return
    st.rerun()


def _pick_from_dataset(name: str, card: ModelCard | None) -> None:
    """A data set as a wall to click."""
    place = st.container()  # the wall first, what chooses from it below
    titles = {entry.name: entry.title for entry in catalogue()}
    names = list(titles)
    parts = name.split("/")
    given = parts[0] if len(parts) == 3 else card.dataset if card is not None else ""
    left, right = st.columns(2)
    dataset_name = left.selectbox(
        "Data set",
        names,
        index=names.index(given) if given in names else 0,
        key="image_dataset",
        format_func=titles.__getitem__,
    )
    try:
        dataset = open_dataset(dataset_name)
    except Unavailable as error:
        if can_be_downloaded(dataset_name):
            download_card(dataset_name, key="image_missing")
        else:
            st.error(as_written(error))
        return
    except ConvoscopeError as error:
        st.error(as_written(error))
        return
    splits = list(dataset.splits)
    split_name = right.selectbox("Split", splits, index=splits.index("test") if "test" in splits else 0)
    split = dataset.split(split_name)
    classes = st.multiselect("Only these classes", dataset.class_names, key="image_classes")
    wanted = [dataset.class_names.index(one) for one in classes]
    kept = [i for i, label in enumerate(split.labels.tolist()) if not wanted or label in wanted]
    if not kept:
        st.info("This split has no image of these classes.")
        return
    shuffled = st.session_state.get("image_shuffled")
    if shuffled is not None:
        random.Random(shuffled).shuffle(kept)
    wall = []
    for index in kept[:IMAGES_OF_A_WALL]:
        title = f"{dataset.class_names[int(split.labels[index])]}, {index}"
        wall.append((f"{dataset_name}/{split_name}/{index}", title,
                     _dataset_thumbnail(dataset_name, split_name, index)))  # fmt: skip
    with place:
        _buttons(wall, name, "wall")
        st.button("Others", icon=":material/shuffle:", on_click=_shuffle)
    number = st.number_input("Index", 0, len(split) - 1, value=None, placeholder=f"0 to {len(split) - 1}")
    if number is not None and st.button("Show it"):
        choose_address(f"{dataset_name}/{split_name}/{int(number)}")
        st.rerun()


def _shuffle() -> None:
    st.session_state["image_shuffled"] = random.randrange(2**32)
