"""The client-side parts of the page Filters: the strip of layers, the cards, rows of pictures."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pages.elements.component import component

_layer_strip = component("layer_strip")
_filter_cards = component("filter_cards")
_picture_row = component("picture_row")


def layer_strip(
    layers: Sequence[dict[str, Any]],
    chosen: str,
    off: dict[str, int],
    *,
    key: str,
    on_choose: Callable[[], None],
) -> None:
    """Draw the convolutions; a click is `st.session_state[key]["chosen"]`, a layer's name.

    Args:
        off: How many channels of each layer are switched off.
    """
    drawn = [{**layer, "off": off.get(layer["name"], 0)} for layer in layers]
    _layer_strip(key=key, data={"layers": drawn, "chosen": chosen}, on_chosen_change=on_choose)


def filter_cards(
    cards: Sequence[dict[str, Any]],
    patches: np.ndarray,
    kernels: np.ndarray | None,
    kernel_words: str,
    *,
    key: str,
    on_open: Callable[[], None],
    on_switch: Callable[[], None],
) -> None:
    """Draw one card a channel. Clicks are `st.session_state[key]["opened"]` and `["switched"]`, the channel.

    Args:
        cards: "channel", "values" (of its patches), "badges" ([text, help]), "lines", "off".
        patches: (N, k, side, side, 4) uint8; a card with fewer than k values has fewer patches.
        kernels: (N, height, width, 1 or 3) uint8, where a filter can be seen; `kernel_words` says what it is.
    """
    parts = []
    for i, card in enumerate(cards):
        if kernels is not None:
            opaque = np.full((*kernels.shape[1:3], 4), 255, np.uint8)
            opaque[..., :3] = kernels[i]
            parts.append(opaque.tobytes())
        parts.append(np.ascontiguousarray(patches[i, : len(card["values"])]).tobytes())
    head = {
        "cards": list(cards),
        "side": patches.shape[2],
        "kernel": None if kernels is None else list(kernels.shape[1:3]),
        "kernel_words": kernel_words,
    }
    _filter_cards(
        key=key,
        data=_with_head(head, b"".join(parts)),
        on_opened_change=on_open,
        on_switched_change=on_switch,
    )


def picture_row(
    pictures: np.ndarray,
    captions: Sequence[str],
    ids: Sequence[int],
    *,
    key: str,
    title: str,
    on_pick: Callable[[], None],
) -> None:
    """Draw pictures that can be clicked; a click is `st.session_state[key]["picked"]`, the picture's id.

    Args:
        pictures: (N, height, width, 4) uint8, shown pixel by pixel.
        title: What a click does.
    """
    items = [{"caption": caption, "id": int(i)} for caption, i in zip(captions, ids, strict=True)]
    head = {"items": items, "height": pictures.shape[1], "width": pictures.shape[2], "title": title}
    _picture_row(
        key=key, data=_with_head(head, np.ascontiguousarray(pictures).tobytes()), on_picked_change=on_pick
    )


def _with_head(head: dict[str, Any], body: bytes) -> bytes:
    """Raw bytes travel as they are only when they are all there is: so the description goes before them."""
    text = json.dumps(head).encode()
    return len(text).to_bytes(4, "little") + text + body
