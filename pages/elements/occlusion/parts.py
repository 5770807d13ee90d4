"""The parts of the occlusion page that look at one image: its settings, one window's map, all windows."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.data.images import encode, enlarge
from core.models.question import Question
from core.occlusion.occlusion import occlusion_logits
from core.occlusion.occlusion_map import VALUES, OcclusionMap
from core.occlusion.picture import Scale, remark, scale_of
from core.occlusion.windows import (
    FILLS,
    check_size,
    coarse_to_fine,
    default_stride,
    default_window,
    filled_image,
    number_of_places,
    window_choices,
)
from core.progress import Progress
from core.settings import settings_of
from pages.elements.as_text import plain
from pages.elements.ask import asked
from pages.elements.occlusion.scrubber import scrubber
from pages.elements.page import errors_shown
from pages.elements.pickers.choose import Chosen, chosen_anew, redraw_by_target

if TYPE_CHECKING:  # pages are drawn while PyTorch is still being imported
    from core.models.classifier import Classifier

LABEL = "occlusion"
REDRAWN_FRAGMENT = "occ_drawn"  # the fragment
PLACES_OF_A_SHORT_QUESTION = 2000
# How the map was computed, in small type under it.
ENGINES = {
    "incremental": "Computed exactly, from what each window changes.",
    "full forwards": "Computed by one forward pass for each place.",
}
VALUE_TITLES = {"drop": "Drop", "probability": "Probability", "logit": "Logit"}


@dataclass(frozen=True)
class OcclusionChoice:
    """What was chosen on the page, each within what is allowed."""

    window: int
    stride: int
    fill: str
    seed: int
    value: str = "drop"


def choose_occlusion(chosen: Chosen, *, one_window: bool = True) -> OcclusionChoice:
    """Draw the settings, in the row that the page has begun.

    Raises:
        SettingError: Something typed or in the address is not allowed.
    """
    size = chosen.card.preprocessing.input_size
    side = min(size)
    declared = {setting.name: setting for setting in settings_of(occlusion_logits)}
    _forget_what_no_longer_fits(side)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        window, value = str(default_window(size)), "drop"
        if one_window:
            options = sorted({str(w) for w in window_choices(size)} | {window}, key=int)
            window = _pick(
                "Window", options, window, "occ_window", "The side of the window in pixels; type any number."
            )
        few = not one_window and side > 64
        stride = str(max(1, round(side / 14)) if few else default_stride(size))
        powers = {str(2**i) for i in range(6) if 2**i <= max(1, side // 4)}
        stride = _pick(
            "Stride", sorted(powers | {stride}, key=int), stride, "occ_stride" if one_window else "occ_step",
            "The pixels from one window to the next; type any number. Smaller is sharper and slower.",
        )  # fmt: skip
        fill = st.selectbox(
            "Fill", FILLS, key="occ_fill", bind="query-params", width=115,
            help="What the window is filled with: gray 128, the mean color of the image, black, white, the "
            "blurred image, or noise. A fill that the network has never seen can fool it by itself.",
        )  # fmt: skip
        seed = 0
        if fill == "noise":
            seed = st.number_input("Seed", 0, 2**31 - 1, 0, key="occ_seed", bind="query-params", width=140)
        if one_window:
            value = st.segmented_control(
                "Show", VALUES[::-1], format_func=VALUE_TITLES.__getitem__, default="drop", key="occ_value",
                bind="query-params", required=True,
            ) or "drop"  # fmt: skip
    choice = OcclusionChoice(
        declared["window"].check(window), declared["stride"].check(stride), fill or FILLS[0], int(seed), value
    )
    check_size("window", choice.window, size)
    check_size("stride", choice.stride, size)
    return choice


def one_map(chosen: Chosen, choice: OcclusionChoice) -> None:
    """The map of one window, coarse at once and then sharper, with the scrubber."""
    size = chosen.card.preprocessing.input_size
    strides = coarse_to_fine(size, choice.window, choice.stride)
    found = next((f for s in reversed(strides) if (f := _stored(chosen, choice, s)) is not None), None)
    if found is None:
        found = ask_occlusion(chosen, choice, strides[0], None, "The first, coarse map")
    finer = strides[strides.index(found.stride) + 1 :]
    _draw(chosen, choice, found, bool(finer))
    if finer:
        # Everything is drawn already and can be used while the next, sharper map is on its way.
        count = number_of_places(size, choice.window, finer[0])
        ask_occlusion(chosen, choice, finer[0], found, f"Sharper: {count:,} places")
        st.rerun()
    redraw_by_target(REDRAWN_FRAGMENT)


@st.fragment(key=REDRAWN_FRAGMENT)
def _draw(chosen: Chosen, choice: OcclusionChoice, found: OcclusionMap, coarse: bool) -> None:
    with errors_shown():
        chosen, value = chosen_anew(chosen), choice.value
        drawn = found.map(chosen.target, value)
        scrubber(
            found, chosen.pixels, filled_image(chosen.pixels, choice.fill, choice.window, choice.seed),
            chosen.card.class_names, chosen.target, value, scale_of(drawn, value),
            question=f"{chosen.classifier} {chosen.sha256} {choice.window} {choice.fill}",
            name=_question(chosen, choice, found.stride).key, key="occ_scrubber",
        )  # fmt: skip
        st.markdown(in_words(found, chosen))
        note = remark(drawn, value, found.base(chosen.target))
        if note:
            st.info(note, icon=":material/info:")
        if found.share_covered < 1 and not coarse:
            st.caption(
                f"The stride is larger than the window: {1 - found.share_covered:.0%} of the pixels are "
                "never hidden. They take the value of the nearest window."
            )
        low, high = _amount(drawn.min(), value), _amount(drawn.max(), value)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(
                f"{VALUE_TITLES[value]} of {plain(chosen.target_name)}, {low} to {high}. Each pixel has the "
                f"mean of the windows over it. Window {found.window}, stride {found.stride}, {choice.fill}. "
                f"{ENGINES.get(found.engine, '')}"
            )
            name = f"occlusion_{chosen.image.name.split('.')[0]}_{found.window}"
            st.download_button(
                "PNG", lambda: encode(enlarge(scale_of(drawn, value).paint(drawn), 448)), f"{name}.png",
                "image/png", icon=":material/download:", on_click="ignore",
            )  # fmt: skip
            st.download_button(
                "NPZ", lambda: _archive(found, chosen, choice, drawn, value), f"{name}.npz",
                icon=":material/download:", on_click="ignore",
            )  # fmt: skip


def in_words(found: OcclusionMap, chosen: Chosen) -> str:
    """How often the answer flips, to what, and where it is weakest."""
    names = chosen.card.class_names
    top, left, least = found.weakest(chosen.target)
    base = found.base(chosen.target)
    n = found.winners.size
    if found.share_of_flips == 0:
        flips = f"**The answer never flips**: {plain(names[found.predicted])} wins at all {n:,} places."
    else:
        other = next(c for c, _ in found.win_counts() if c != found.predicted)
        flips = (
            f"**The answer flips at {found.share_of_flips:.1%}** of {n:,} places, "
            f"mostly to {plain(names[other])}."
        )
    where = f"with the window at row {top}, column {left}"
    if least < base:
        return f"{flips} **Weakest** {where}: {base:.1%} becomes {least:.1%}."
    return f"{flips} Hiding never lowers {plain(chosen.target_name)}: {least:.1%} at the least, {where}."


def all_windows(chosen: Chosen, choice: OcclusionChoice) -> None:
    """The map of every window size, side by side on one scale; each is shown as soon as it is there."""
    size = chosen.card.preprocessing.input_size
    st.caption(
        "The same image under every window size, on one scale. Small windows find small marks, large ones "
        "whole parts; what shows in all of them matters most."
    )
    windows = window_choices(size)
    place = st.empty()
    waiting = st.container()
    found: list[OcclusionMap] = []
    for window in windows:
        one = OcclusionChoice(window, choice.stride, choice.fill, choice.seed)
        known = _stored(chosen, one, choice.stride)
        message = f"Window {window}: {len(found) + 1} of {len(windows)} sizes"
        with waiting:
            found.append(known or ask_occlusion(chosen, one, choice.stride, None, message))
        with place.container():
            _draw_windows(chosen, choice, found)


def _draw_windows(chosen: Chosen, choice: OcclusionChoice, found: Sequence[OcclusionMap]) -> None:
    maps = [f.map(chosen.target, "drop") for f in found]
    scale = scale_of(np.stack(maps), "drop")
    whole = f"Image: {plain(chosen.target_name)} {found[0].base(chosen.target):.1%}"
    pictures = [(_rgb(chosen.pixels), whole)]
    for one_found, drawn in zip(found, maps, strict=True):
        least = one_found.weakest(chosen.target)[2]
        pictures.append((
            scale.paint(drawn),
            f"**{one_found.window} × {one_found.window}**: flips {one_found.share_of_flips:.1%}, "
            f"weakest {least:.1%}",
        ))  # fmt: skip
    for start in range(0, len(pictures), 5):
        for column, (picture, text) in zip(st.columns(5), pictures[start : start + 5], strict=False):
            column.image(
                enlarge(picture, 256),
                width="stretch",
                alt=text,
            )
            column.caption(text)
    with st.container(horizontal=True, vertical_alignment="center"):
        color_bar(scale)
        st.caption(
            f"Drop of {plain(chosen.target_name)}: red where hiding hurts, blue where it helps. "
            f"Stride {choice.stride}, fill {choice.fill}."
        )
    note = remark(np.stack(maps), "drop", found[0].base(chosen.target))
    if note:
        st.info(note, icon=":material/info:")


def color_bar(scale: Scale) -> None:
    """The colors of a drop with the points they stand for, in a row that the caller has begun."""
    st.caption(f"−{100 * scale.high:.2g} points", width="content")
    st.image(np.repeat(scale.colors[None], 12, axis=0), width=200, alt="The color scale")
    st.caption(f"+{100 * scale.high:.2g} points", width="content")


def ask_occlusion(
    chosen: Chosen, choice: OcclusionChoice, stride: int, known: OcclusionMap | None, message: str
) -> OcclusionMap:
    """The map for one stride, with the places of `known` not asked again."""
    pixels = chosen.pixels

    def analysis(classifier: "Classifier", progress: Progress) -> OcclusionMap:
        return occlusion_logits(
            classifier, pixels, window=choice.window, stride=stride, fill=choice.fill, seed=choice.seed,
            known=known, progress=progress,
        )  # fmt: skip

    count = number_of_places(pixels.shape[:2], choice.window, stride)
    return asked(
        _question(chosen, choice, stride), analysis, short=count < PLACES_OF_A_SHORT_QUESTION, message=message
    )


def _stored(chosen: Chosen, choice: OcclusionChoice, stride: int) -> OcclusionMap | None:
    return _question(chosen, choice, stride).find()


def _question(chosen: Chosen, choice: OcclusionChoice, stride: int) -> Question[OcclusionMap]:
    depends_on = (chosen.sha256, choice.window, stride, choice.fill, choice.seed)
    return Question(LABEL, chosen.classifier, OcclusionMap, depends_on)


def _pick(label: str, options: list[str], default: str, key: str, help: str) -> str:
    """A list of numbers in which any other can be typed."""
    given = st.query_params.get(key) or st.session_state.get(key)
    if given and given not in options:
        options = [*options, str(given)]
    return st.selectbox(
        label, options, options.index(default), key=key, bind="query-params", accept_new_options=True,
        width=105, help=help,
    )  # fmt: skip


def _forget_what_no_longer_fits(side: int) -> None:
    """A window chosen on a large image means nothing on a small one: the default takes its place."""
    before = st.session_state.get("occ_side")
    st.session_state["occ_side"] = side
    if before is not None and before != side:
        for key in ("occ_window", "occ_stride", "occ_step"):
            st.session_state.pop(key, None)
            if key in st.query_params:
                del st.query_params[key]


def _archive(found: OcclusionMap, chosen: Chosen, choice: OcclusionChoice, drawn: np.ndarray,
             value: str) -> bytes:  # fmt: skip
    about = {
        "image": chosen.image.name,
        "image_sha256": chosen.image.sha256,
        "classifier": chosen.classifier,
        "target": {"index": chosen.target, "name": chosen.target_name},
        "settings": {
            "window": found.window,
            "stride": found.stride,
            "fill": found.fill,
            "seed": choice.seed,
        },
        "value": value,
    }
    out = io.BytesIO()
    np.savez_compressed(
        out, logits=found.logits, base_logits=found.base_logits, tops=found.tops, lefts=found.lefts,
        map=drawn, image=chosen.pixels, about=json.dumps(about),
    )  # fmt: skip
    return out.getvalue()


def _amount(number: float, value: str) -> str:
    if value == "logit":
        return f"{number:.2f}".replace("-", "−")
    return f"{100 * number:.1f} points".replace("-", "−") if value == "drop" else f"{number:.1%}"


def _rgb(pixels: np.ndarray) -> np.ndarray:
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels
