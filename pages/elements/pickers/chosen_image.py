"""The image that every page looks at: a sample, one of a data set, an upload or a picture of the camera.

It stands in the address as `image=chelsea` or `image=fashion_mnist/test/12`. An upload is
`image=upload/<hash>`: it is kept in this process only, so that a link to it works for nobody else.
"""

import base64
import io
import random
import threading
from collections import OrderedDict
from functools import lru_cache

import numpy as np
import streamlit as st
from PIL import Image, ImageOps

from core.data.catalogue import dataset_names, open_dataset
from core.data.image_address import open_dataset_image
from core.data.images import KINDS_IN_WORDS, MAXIMUM_BYTES, ReadImage, read_image
from core.data.samples import SAMPLES, sample_image, sample_names
from core.errors import BadImage, ConvoscopeError, UnknownName
from core.models.card import ModelCard
from pages.elements.address import AddressMemory, new_address, remember
from pages.elements.as_text import as_written, plain
from pages.elements.visitor import taken

IMAGE_KEY = "image"
UPLOADS_LIMIT = 512 * 2**20


def set_chosen_image(dataset: str, split: str, index: int) -> None:
    """Make an image of a data set the chosen one of every page: in callbacks of what calls `choose_image` or
    `keep_image_in_address` when it is drawn, and before these."""
    _choose(f"{dataset}/{split}/{index}")
    # Said where images are drawn: what a callback draws stands above the page and pushes it down.
    st.session_state["image_said"] = f"Image {index} is now the chosen image of every page."


def choose_image(card: ModelCard) -> ReadImage:
    """Draw the picker and return the chosen image.

    Before anyone has chosen, it is the first test image of what the classifier was trained on, or a photo.
    """
    keep_image_in_address()
    name = st.session_state.get("chosen_image") or _first_image(card)
    try:
        image = open_chosen(name)
    except ConvoscopeError as error:
        st.warning(as_written(error), icon=":material/image_not_supported:")
        image = sample_image("chelsea")
    with st.popover(f"![]({thumbnail(image.pixels, 48)}) {plain(_title(image))}", key="chip_image"):
        _pick(name, card)
    return image


def open_chosen(name: str) -> ReadImage:
    """The image of that address.

    Raises:
        BadImage: It is an upload that is not here (any more), or the index is not in the split.
        UnknownName: There is no such sample, data set or split.
    """
    if name.startswith("upload/"):
        with _lock:
            found = _uploads.get(name.removeprefix("upload/"))
            if found is not None:
                _uploads.move_to_end(found.sha256[:16])
        if found is None:
            raise BadImage(
                "The link leads to an uploaded image that this server does not have, or has forgotten: "
                "uploads are kept in its memory only. Upload it again; here is a sample instead."
            )
        return found
    return open_dataset_image(name) if name.count("/") == 2 else sample_image(name)


def keep_upload(data: bytes, name: str) -> str:
    """Read an upload and keep it; returned is its address.

    Raises:
        BadImage: It cannot be read.
    """
    image = read_image(data, name)
    address = image.sha256[:16]
    with _lock:
        _uploads[address] = image
        _uploads.move_to_end(address)
        while sum(3 * kept.pixels.nbytes for kept in _uploads.values()) > UPLOADS_LIMIT and len(_uploads) > 1:
            _uploads.popitem(last=False)
    return f"upload/{address}"


_lock = threading.Lock()
_uploads: OrderedDict[str, ReadImage] = OrderedDict()


def _choose(name: str) -> None:
    # The address is written where images are drawn: what a callback writes there can get lost.
    st.session_state["chosen_image"] = name


def keep_image_in_address() -> None:
    """Write a new choice into the address, and take over what a link or Back brings there."""
    if said := st.session_state.pop("image_said", None):
        st.toast(said, icon=":material/image:")
    memory: AddressMemory = st.session_state.setdefault("image_in_address", AddressMemory({}))
    chosen = st.session_state.get("chosen_image")
    if chosen and (memory.address or {}).get(IMAGE_KEY) != chosen:
        remember(memory, [IMAGE_KEY], {IMAGE_KEY: chosen})
        return
    found = new_address(memory, [IMAGE_KEY])
    if found:
        st.session_state["chosen_image"] = found[IMAGE_KEY]
    elif chosen and found is not None:  # another page, whose address is still bare
        remember(memory, [IMAGE_KEY], {IMAGE_KEY: chosen})


def _first_image(card: ModelCard) -> str:
    if card.dataset in dataset_names():
        try:
            open_dataset(card.dataset).split("test")
            return f"{card.dataset}/test/0"
        except ConvoscopeError:
            pass
    return "chelsea"


def thumbnail(pixels: np.ndarray, side: int) -> str:
    """The middle of a picture as a data URI, for the label of a button."""
    image = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[..., 0])
    out = io.BytesIO()
    ImageOps.fit(image, (side, side)).convert("RGB").save(out, "WEBP", quality=80)
    return f"data:image/webp;base64,{base64.b64encode(out.getvalue()).decode()}"


@lru_cache(maxsize=len(SAMPLES))
def _sample_thumbnail(name: str) -> str:
    return thumbnail(sample_image(name).pixels, 96)


def _title(image: ReadImage) -> str:
    title = SAMPLES[image.name][0] if image.name in SAMPLES else image.name
    return title if len(title) <= 32 else f"{title[:31]}…"


def _pick(name: str, card: ModelCard) -> None:
    kinds = ["Samples", "Upload", "Data set", "Camera"]
    kind = st.segmented_control(
        "From", kinds, default="Samples", key="image_from", label_visibility="collapsed"
    )
    if kind == "Upload":
        _upload()
    elif kind == "Camera":
        _camera()
    elif kind == "Data set":
        _pick_from_dataset(name, card)
    elif kind == "Samples":
        names = sample_names()
        for row in range(0, len(names), 6):
            for column, sample in zip(st.columns(6, gap="xsmall"), names[row : row + 6], strict=False):
                column.button(
                    f"![{SAMPLES[sample][0]}]({_sample_thumbnail(sample)})",
                    key=f"sample_{sample}", on_click=_choose, args=(sample,), width="stretch",
                    type="primary" if sample == name else "secondary",
                )  # fmt: skip


def _upload() -> None:
    file = st.file_uploader(
        "A photo of yours",
        key="image_upload",
        help=f"{KINDS_IN_WORDS}, up to {MAXIMUM_BYTES // 2**20} MB. "
        "It stays in this server's memory and is not written to disk.",
    )
    if file is not None:
        _take(file, f"upload {file.file_id}")
        st.caption(
            "Uploads are kept in the server's memory only: a link to this page shows yours until it is "
            "forgotten, at the latest when the server ends."
        )


def _camera() -> None:
    picture = st.camera_input("A picture of your camera", key="image_camera")
    if picture is not None:
        _take(picture, f"camera {picture.file_id}", "Your camera")


def _take(file: "st.runtime.uploaded_file_manager.UploadedFile", once: str, name: str = "") -> None:
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
        _choose(keep_upload(data, name or file.name))
    except BadImage as error:
        st.session_state["image_refused"] = str(error)
        st.error(as_written(error), icon=":material/error:")
        return
    st.rerun()


def _pick_from_dataset(name: str, card: ModelCard) -> None:
    names = dataset_names()
    parts = name.split("/")
    given = parts[0] if len(parts) == 3 else card.dataset
    dataset_name = st.selectbox(
        "Data set", names, index=names.index(given) if given in names else 0, key="image_dataset"
    )
    try:
        dataset = open_dataset(dataset_name)
    except ConvoscopeError as error:
        st.error(as_written(error))
        return
    splits = list(dataset.splits)
    split_name = st.selectbox("Split", splits, index=splits.index("test") if "test" in splits else 0)
    split = dataset.split(split_name)
    classes = st.multiselect("Only these classes", dataset.class_names, key="image_classes")
    wanted = [dataset.class_names.index(one) for one in classes]
    kept = [i for i, label in enumerate(split.labels.tolist()) if not wanted or label in wanted]
    if not kept:
        raise UnknownName("image of these classes", ", ".join(classes), [])
    number = st.number_input("Index", 0, len(split) - 1, value=None, placeholder=f"0 to {len(split) - 1}")
    if number is not None and st.button("Show it"):
        _choose(f"{dataset_name}/{split_name}/{int(number)}")
        st.rerun()
    if st.button("Any of them", icon=":material/shuffle:"):
        _choose(f"{dataset_name}/{split_name}/{random.choice(kept)}")
        st.rerun()
