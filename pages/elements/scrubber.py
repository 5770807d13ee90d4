"""The scrubber: an occlusion map that is dragged, read and compared in the browser without a round trip."""

import json
from typing import Any

import numpy as np
import streamlit as st

from core.occlusion import OcclusionMap, relevant_classes
from core.occlusion_picture import FLIP_COLOURS, Scale
from pages.elements.address import keep_in_address
from pages.elements.component import component

_scrubber = component("scrubber")
AT = "occ_at"
BYTES = 4 * 2**20  # of log-probabilities at most, unless a map has very many places


def scrubber(
    occluded: OcclusionMap,
    image: np.ndarray,
    filled: np.ndarray,
    class_names: tuple[str, ...],
    target: int,
    value: str,
    scale: Scale,
    *,
    question: str,
    key: str,
) -> None:
    """Draw the image under its window, the map of `value`, the flip map and the first five classes.

    Args:
        question: What the map is of, apart from its stride: while it stays, so does the window's place.
    Shape:
        image: (H, W, C) uint8, what the network sees
        filled: (H, W, C) uint8, what stands in the window
    """
    before = st.session_state.get(f"{key}_question")
    st.session_state[f"{key}_question"] = question
    if before not in (None, question):
        keep_in_address([AT], {})
    state = st.session_state.get(key)
    sent = state.get("at") if state else None
    if isinstance(sent, list) and len(sent) == 2 and sent != st.session_state.get(f"{key}_sent"):
        st.session_state[f"{key}_sent"] = sent
        keep_in_address([AT], {AT: " ".join(str(int(v)) for v in sent)})
    _scrubber(
        key=key,
        data=payload(
            occluded,
            image,
            filled,
            class_names,
            target,
            value,
            scale,
            start=_start(occluded, target),
            question=question,
        ),
        on_at_change=lambda: None,
    )


def payload(
    occluded: OcclusionMap,
    image: np.ndarray,
    filled: np.ndarray,
    class_names: tuple[str, ...],
    target: int,
    value: str,
    scale: Scale,
    *,
    start: tuple[int, int],
    question: str,
) -> bytes:
    """Everything the browser draws from: a length, a description as JSON, then one array after the other.

    Of the classes only those go along that are among the first five anywhere (at most 64, fewer for a very
    fine map), as log-probabilities over all classes: what is shown of them is exact.
    """
    wins = occluded.win_counts()
    most = max(12, min(64, BYTES // (4 * occluded.winners.size)))
    classes = relevant_classes(occluded, [target, *(c for c, _ in wins[:10])], most)
    coloured = [occluded.predicted, *(c for c, _ in wins if c != occluded.predicted)][: len(FLIP_COLOURS) - 1]
    others = len(FLIP_COLOURS) - 1
    colour_of = np.full(len(occluded.base_logits), others, np.uint8)
    colour_of[coloured] = np.arange(len(coloured))
    counts = dict(wins)
    legend = [
        {"name": class_names[c], "colour": FLIP_COLOURS[i], "places": counts.get(c, 0)}
        for i, c in enumerate(coloured)
    ]
    left_out = sum(count for c, count in wins if c not in coloured)
    if left_out:
        legend.append({"name": "other classes", "colour": FLIP_COLOURS[others], "places": left_out})
    base = occluded.base_logits - occluded.base_logits.max()
    base = base - np.log(np.exp(base).sum())
    head = {
        "width": occluded.input_size[1],
        "height": occluded.input_size[0],
        "window": occluded.window,
        "tops": occluded.tops.tolist(),
        "lefts": occluded.lefts.tolist(),
        "classes": [class_names[c] for c in classes],
        "target": int(np.searchsorted(classes, target)),
        "target_logit": float(occluded.base_logits[target]),
        "base": [float(v) for v in base[classes]],
        "value": value,
        "lowest": scale.low,
        "highest": scale.high,
        "colours": scale.colours.tolist(),
        "winners": legend,
        "flip_colours": FLIP_COLOURS,
        "start": list(start),
        "question": question,
    }
    parts = [
        np.ascontiguousarray(occluded.log_probabilities[..., classes], np.float32),
        np.ascontiguousarray(occluded.values(target, value), np.float32),
        occluded.map(target, value),
        _rgb(image),
        _rgb(filled),
        colour_of[occluded.flip_map()],
    ]
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 4)  # so that the floats behind it lie where a Float32Array may begin
    return len(text).to_bytes(4, "little") + text + b"".join(part.tobytes() for part in parts)


def _start(occluded: OcclusionMap, target: int) -> tuple[int, int]:
    """Where the window lies at first: as the address says, else where the target loses most."""
    words = str(st.query_params.get(AT, "")).split()
    if len(words) == 2 and all(word.isascii() and word.isdigit() and len(word) < 5 for word in words):
        return int(words[0]), int(words[1])
    top, left, _ = occluded.weakest(target)
    return top, left


def _rgb(pixels: np.ndarray) -> Any:
    return np.ascontiguousarray(np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels)
