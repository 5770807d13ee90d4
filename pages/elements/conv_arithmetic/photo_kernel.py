"""A kernel over a photo, or a patch of the photo as the kernel; `photo_kernel.js` calculates and draws."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

import numpy as np
import streamlit as st
from PIL import Image

from core.by_hand.conv_exercise import numbers_from_text, numbers_to_text
from core.by_hand.conv_layer import BadLayer
from core.by_hand.template_matching import kernel, kernels
from core.errors import ConvoscopeError
from pages.elements.address import AddressMemory, new_address, read_address, remember
from pages.elements.as_text import as_written
from pages.elements.component import component


class PhotoKernel(TypedDict):
    """The kernel or the patch, as the browser gets it: the patch is column, row and side."""

    name: str
    values: list[list[float]]
    normalized: bool
    patch: list[int]


@dataclass
class _Memory:
    """What is kept in the session: `revision` grows when the browser must take over what is here."""

    link: AddressMemory = field(default_factory=AddressMemory)
    sent: object = None
    drawn: PhotoKernel | None = None
    sha256: str = ""
    revision: int = 0


_photo_kernel = component(__file__, "photo_kernel", "photo_guess")
LONGEST_SIDE = 220
_NAMES = {"kernel": ("conv_known", "conv_own"), "template": ("conv_patch", "conv_raw")}


def small(pixels: np.ndarray) -> np.ndarray:
    """The photo at the size at which the browser calculates: its longer side at most 220 pixels."""
    image = Image.fromarray(pixels)
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BOX)
    return np.asarray(image)


def photo_kernel(pixels: np.ndarray, sha256: str, *, kind: str, predict: bool = False) -> None:
    """Draw the photo with a kernel ("kernel") or with a patch to be dragged ("template").

    With `predict` the result is hidden until the viewer has answered a question about it.
    """
    key = f"conv_photo_{kind}"
    memory: _Memory = st.session_state.setdefault(f"{key}_memory", _Memory())
    state = st.session_state.get(key)
    sent = state.get("choice") if state else None
    if sent and sent != memory.sent:
        memory.sent = sent
        remember(memory.link, _NAMES[kind], _address(kind, sent))
    address = new_address(memory.link, _NAMES[kind])
    changed = address is not None or sha256 != memory.sha256
    # Nothing sent: drawn for the first time, or again after another part of the page.
    if changed or not sent or memory.drawn is None:
        memory.drawn = _from_address(kind, memory.link.address or {}, pixels)
        memory.sha256 = sha256
        memory.revision += changed
    shape = {
        "height": pixels.shape[0],
        "width": pixels.shape[1],
        "pixels": b64encode(pixels.tobytes()).decode(),
    }
    known = [
        {"name": k.name, "title": k.title, "values": k.values.tolist(), "note": k.note} for k in kernels()
    ]
    _photo_kernel(
        key=key,
        data={
            **memory.drawn,
            **shape,
            "kind": kind,
            "kernels": known,
            "revision": f"{memory.revision}",
            "predict": predict,
        },
        on_choice_change=lambda: None,
    )


def _from_address(kind: str, address: dict[str, str], pixels: np.ndarray) -> PhotoKernel:
    height, width = pixels.shape[:2]
    data: PhotoKernel = {
        "name": "sobel_x",
        "values": kernel("sobel_x").values.tolist(),
        "normalized": "conv_raw" not in address,
        "patch": [round(width * 0.3), round(height * 0.3), 24],
    }
    try:
        if "conv_own" in address:
            values = numbers_from_text(address["conv_own"], 2, "conv_own")
            if len(values) > 15 or len(values) != len(values[0]):
                raise BadLayer(
                    "conv_own",
                    f"conv_own has {len(values)} × {len(values[0])} numbers: write a square "
                    "of up to 15 × 15.",
                )
            data["name"], data["values"] = "", values
        elif "conv_known" in address:
            known = kernel(address["conv_known"])
            data["name"], data["values"] = known.name, known.values.tolist()
        if "conv_patch" in address:
            words = address["conv_patch"].split()
            if len(words) != 3 or not all(w.isdigit() and len(w) < 5 for w in words):
                raise BadLayer(
                    "conv_patch",
                    f"conv_patch is {address['conv_patch'][:20]!r}: write column, row and "
                    "side of the patch, such as 60 40 24.",
                )
            data["patch"] = [int(w) for w in words]
    except ConvoscopeError as error:
        st.error(as_written(error), icon=":material/link_off:")
    return data


def _address(kind: str, sent: Mapping[str, Any]) -> dict[str, str]:
    address: dict[str, str] = {}
    try:
        if kind == "kernel" and sent.get("name"):
            address["conv_known"] = kernel(str(sent["name"])).name
        elif kind == "kernel":
            values = np.array(sent.get("values"), np.float64)
            if values.ndim == 2 and values.size <= 225 and np.isfinite(values).all():
                address["conv_own"] = numbers_to_text(values)
        else:
            address["conv_patch"] = " ".join(str(int(v)) for v in list(sent.get("patch", []))[:3])
            if sent.get("normalized") is False:
                address["conv_raw"] = "1"
    except (ConvoscopeError, TypeError, ValueError):
        return read_address(_NAMES[kind])
    return address
