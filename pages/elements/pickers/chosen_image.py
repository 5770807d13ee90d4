"""The image that every page looks at: a sample, one of a data set, an upload, a drawing or the camera's.

It stands in the address as `image=chelsea` or `image=fashion_mnist/test/12`. An upload is
`image=upload/<hash>`: it is kept in this process only, so that a link to it works for nobody else.
"""

import threading
from collections import OrderedDict

import streamlit as st

from core.data.catalogue import dataset_names, open_dataset
from core.data.image_address import open_dataset_image
from core.data.images import ReadImage, read_image
from core.data.samples import sample_image
from core.errors import BadImage, ConvoscopeError
from core.models.card import ModelCard
from pages.elements.address import AddressMemory, new_address, remember

IMAGE_KEY = "image"
FIRST_PHOTO = "chelsea"
UPLOADS_LIMIT = 512 * 2**20


def set_chosen_image(dataset: str, split: str, index: int) -> None:
    """Make an image of a data set the chosen one of every page: in callbacks of what calls `choose_image` or
    `keep_image_in_address` when it is drawn, and before these."""
    choose_address(f"{dataset}/{split}/{index}")
    # Said where images are drawn: what a callback draws stands above the page and pushes it down.
    st.session_state["image_said"] = f"Image {index} is now the chosen image of every page."


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


def choose_address(name: str) -> None:
    """Make the image of that address the chosen one of every page."""
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


def chosen_address(card: ModelCard | None = None) -> str:
    """The address of the chosen image.

    Before anyone has chosen, it is the first test image of what the classifier was trained on, or a photo.
    """
    return st.session_state.get("chosen_image") or (_first_image(card) if card is not None else FIRST_PHOTO)


def _first_image(card: ModelCard) -> str:
    if card.dataset in dataset_names():
        try:
            open_dataset(card.dataset).split("test")
            return f"{card.dataset}/test/0"
        except ConvoscopeError:
            pass
    return FIRST_PHOTO
