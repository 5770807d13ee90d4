"""The scrubber: an occlusion map that is dragged, read and compared in the browser without a round trip.

What is sent are two parts. The first (`fixed`) is what the network said with the window at every place, and
the picture: the same for every target and value, so that it is made once, and not sent again to a browser
that has it. The second (`asked`) says what is looked at, in less than a kilobyte.
"""

from typing import Any

import numpy as np
import streamlit as st

from core.occlusion.occlusion_map import OcclusionMap, relevant_classes
from core.occlusion.picture import FLIP_COLORS, Scale
from pages.elements.address import keep_in_address
from pages.elements.component import component, with_head

_scrubber = component(__file__, "scrubber", "question")
_asked = component(__file__, "scrubber_question", "question")
AT = "occ_at"
ANSWER_BYTES = 4 * 2**20  # of log-probabilities at most, unless a map has very many places
KEPT_MAPS = 32  # maps whose first part is kept
_fixed: dict[str, tuple[bytes, np.ndarray]] = {}


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
    name: str,
    key: str,
) -> None:
    """Draw the image under its window, the map of `value`, the flip map and the first five classes.

    Args:
        question: What the map is of, apart from its stride: while it stays, so does the window's place.
        name: Of this very map and its picture; no other has the same.
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
    known = _fixed.get(name)  # others may drop it at any moment
    if known is None:
        known = _fixed[name] = fixed(occluded, image, filled, class_names, question=question, name=name)
        while len(_fixed) > KEPT_MAPS:
            _fixed.pop(next(iter(_fixed)), None)
    data, classes = known
    with st.container(gap=None):
        _scrubber(key=key, data=data, on_at_change=lambda: None)
        _asked(
            key=f"{key}_asked",
            data=asked(
                occluded, classes, class_names, target, value, scale,
                start=_start(occluded, target), name=name,
            ),
        )  # fmt: skip


def fixed(
    occluded: OcclusionMap,
    image: np.ndarray,
    filled: np.ndarray,
    class_names: tuple[str, ...],
    *,
    question: str,
    name: str,
) -> tuple[bytes, np.ndarray]:
    """What stays when another target is looked at: a length, a description as JSON, then the arrays.

    Of the classes only those go along that are among the first five anywhere (at most 64, fewer for a very
    fine map), as log-probabilities over all classes: what is shown of them is exact.

    Shape:
        returns: the bytes; (k,) int64, the classes that go along, ascending
    """
    wins = occluded.win_counts()
    most = max(12, min(64, ANSWER_BYTES // (4 * occluded.winners.size)))
    classes = relevant_classes(occluded, [occluded.predicted, *(c for c, _ in wins[:10])], most)
    colored = [occluded.predicted, *(c for c, _ in wins if c != occluded.predicted)][: len(FLIP_COLORS) - 1]
    others = len(FLIP_COLORS) - 1
    color_of = np.full(len(occluded.base_logits), others, np.uint8)
    color_of[colored] = np.arange(len(colored))
    counts = dict(wins)
    legend = [
        {"name": class_names[c], "color": FLIP_COLORS[i], "places": counts.get(c, 0)}
        for i, c in enumerate(colored)
    ]
    left_out = sum(count for c, count in wins if c not in colored)
    if left_out:
        legend.append({"name": "other classes", "color": FLIP_COLORS[others], "places": left_out})
    # One color for the whole window is one pixel; a blurred picture or noise goes along whole.
    one_color = bool((filled == filled[:1, :1]).all())
    head = {
        "width": occluded.input_size[1],
        "height": occluded.input_size[0],
        "window": occluded.window,
        "tops": occluded.tops.tolist(),
        "lefts": occluded.lefts.tolist(),
        "classes": [class_names[c] for c in classes],
        "winners": legend,
        "flip_colors": FLIP_COLORS,
        "one_color": one_color,
        "question": question,
        "of": name,
    }
    # What the softmax took away from every logit of a place.
    total = occluded.logits[..., 0].astype(np.float64) - occluded.log_probabilities[..., 0]
    parts = [
        np.ascontiguousarray(occluded.log_probabilities[..., classes], np.float32),
        total.astype(np.float32),
        _rgb(image),
        _rgb(filled[:1, :1] if one_color else filled),
        color_of[occluded.winners],
        *(Scale(0, 1, diverging).colors for diverging in (False, True)),
    ]
    return with_head(head, b"".join(part.tobytes() for part in parts)), classes


def asked(
    occluded: OcclusionMap,
    classes: np.ndarray,
    class_names: tuple[str, ...],
    target: int,
    value: str,
    scale: Scale,
    *,
    start: tuple[int, int],
    name: str,
) -> bytes:
    """What is looked at: the target, the value, and the range of the colors; a length, JSON, one array.

    Args:
        classes: Those that went along; a target that is not one of them brings its own log-probabilities.
        name: Of the map.
    """
    among = np.flatnonzero(classes == target)
    own = b"" if len(among) else occluded.log_probabilities[..., target].astype(np.float32).tobytes()
    head = {
        "of": name,
        "target": int(among[0]) if len(among) else len(classes),
        "name": class_names[target],
        "base": float(_log_base(occluded)[target]),
        "value": value,
        "lowest": scale.low,
        "highest": scale.high,
        "diverging": scale.diverging,
        "start": list(start),
    }
    return with_head(head, own)


def _log_base(occluded: OcclusionMap) -> Any:
    """(K,) log-probabilities of the whole image."""
    base = occluded.base_logits - occluded.base_logits.max()
    return base - np.log(np.exp(base).sum())


def _start(occluded: OcclusionMap, target: int) -> tuple[int, int]:
    """Where the window lies at first: as the address says, else where the target loses most."""
    words = str(st.query_params.get(AT, "")).split()
    if len(words) == 2 and all(word.isascii() and word.isdigit() and len(word) < 5 for word in words):
        return int(words[0]), int(words[1])
    top, left, _ = occluded.weakest(target)
    return top, left


def _rgb(pixels: np.ndarray) -> Any:
    return np.ascontiguousarray(np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels)
