"""The parts of the page Feature visualization: the question, the picture while it grows, and afterwards."""

import threading
from collections import OrderedDict
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core.data.images import encode, enlarge
from core.data.preprocessing import fit
from core.evaluation.probabilities import probabilities
from core.feature_visualization.export import animation, facts_of, npz_bytes
from core.feature_visualization.real_images import (
    BestAnswers,
    best_answers,
    compare,
    indexed_best,
    real_images,
    title_of,
)
from core.feature_visualization.visualize import (
    Frame,
    Visualization,
    VisualizationSettings,
    found_settings,
    visualize,
)
from core.models.card import ModelCard
from core.models.classifier import Classifier
from core.models.question import Question
from core.network.unit import Unit
from core.progress import Progress
from core.settings import settings_of
from pages.elements.as_text import plain
from pages.elements.ask import asked, canceled, fetched
from pages.elements.feature_visualization.film import film
from pages.elements.pickers.chosen_image import open_chosen
from pages.elements.settings_form import settings_form

LABEL = "feature visualization"
MAIN_SETTINGS = ("steps", "every", "picture", "seed")
LARGEST_SIDE_MADE_AT_ONCE = 64  # pixels; a larger picture waits for a click
GROWING_PICTURES_KEPT = 16

# The frames that are there so far, by question: the worker's thread adds, every session that waits reads.
_growing: OrderedDict[str, list[Frame]] = OrderedDict()
_lock = threading.Lock()


@dataclass(frozen=True, eq=False)
class Wanted:
    """What should be made.

    Attributes:
        settings: As the form has them: None where a setting is left open.
        start: (H, W, C) uint8 to begin with; None for noise.
        start_sha256: The hash of the start.
    """

    classifier: str
    card: ModelCard
    unit: Unit
    settings: dict[str, Any]
    start: np.ndarray | None = None
    start_sha256: str = ""

    @property
    def found_settings(self) -> VisualizationSettings:
        """With what is found for the settings left open."""
        size = self.card.preprocessing.input_size
        return found_settings(size, self.settings, from_image=self.start is not None)

    @property
    def question(self) -> Question[Visualization]:
        unit = self.unit
        place = None if unit.place is None else list(unit.place)
        # With what was found for the settings left open, so that another way of finding is another answer.
        of = (unit.layer, unit.channel, place, asdict(self.found_settings), self.start_sha256)
        return Question(LABEL, self.classifier, Visualization, of)

    @property
    def title(self) -> str:
        return self.unit.title(self.card.class_names)


def choose_settings(card: ModelCard, from_image: bool) -> dict[str, Any]:
    """The form, behind a button that says the most important of them."""
    declared = settings_of(visualize)
    defaults = {s.name: s.default for s in declared}
    now = dict(defaults)
    for name in MAIN_SETTINGS:
        key = f"dream_set_{name}"
        now[name] = st.session_state.get(key) or st.query_params.get(key) or now[name]
    label = f"{now['steps']} steps, {now['picture']}, seed {now['seed']}"
    with st.popover("", icon=":material/settings:", key="drawer", help=label):
        st.caption(label)
        values = settings_form([s for s in declared if s.name in MAIN_SETTINGS], "dream_set")
        size = card.preprocessing.input_size
        found = asdict(found_settings(size, defaults | values, from_image=from_image))
        open_ones = [s for s in declared if s.optional and found[s.name] is not None]
        words = ", ".join(f"{s.title} {found[s.name]:g}" for s in open_ones)
        st.caption(f"Settings left open below are chosen by the size of the picture: {words}.")
        rest = [s for s in declared if s.name not in MAIN_SETTINGS]
        for i, column in enumerate(st.columns(2)):
            with column:
                values |= settings_form(rest[i::2], "dream_set")
    return {s.name: values[s.name] for s in declared}


def made(wanted: Wanted) -> Visualization | None:
    """The picture: stored, or made now while it can be seen growing; None while it should not be made yet.

    For the body of a page. When it was stopped, what was there by then.
    """
    question = fetched(wanted.question)
    key = question.key
    stored = question.find()
    if stored is not None:
        return stored
    if key in canceled():
        return _stopped(wanted, key)
    if not _should_start(wanted, key):
        return None

    def analysis(classifier: Classifier, progress: Progress) -> Visualization:
        frames = _begin(key)
        return visualize(
            classifier, wanted.unit, start=wanted.start, seen=frames.append, progress=progress,
            **wanted.settings,
        )  # fmt: skip

    place = st.empty()
    shown = [-1]

    def watch() -> None:
        with _lock:
            frames = list(_growing.get(key, ()))
        if frames and frames[-1].step != shown[0]:
            shown[0] = frames[-1].step
            with place.container():
                _draw_growing(frames, wanted)

    found = asked(
        question, analysis, short=False, cancel="Stop", message=f"Gradient ascent: {wanted.title}",
        watch=watch,
    )  # fmt: skip
    place.empty()
    return found


def _begin(key: str) -> list[Frame]:
    with _lock:
        frames: list[Frame] = []
        _growing[key] = frames
        _growing.move_to_end(key)
        while len(_growing) > GROWING_PICTURES_KEPT:
            _growing.popitem(last=False)
        return frames


def _should_start(wanted: Wanted, key: str) -> bool:
    if (
        max(wanted.card.preprocessing.input_size) <= LARGEST_SIDE_MADE_AT_ONCE
        or st.session_state.get("dream_started") == key
    ):
        return True
    st.button(
        "Make the picture", type="primary", icon=":material/auto_awesome:",
        on_click=lambda: st.session_state.update(dream_started=key),
    )  # fmt: skip
    st.caption(
        f"{wanted.settings['steps']} steps with pictures of {wanted.card.preprocessing.input_size[0]} pixels "
        "a side take from seconds to minutes. You can watch the picture grow and stop at any step."
    )
    return False


def _stopped(wanted: Wanted, key: str) -> Visualization | None:
    with _lock:
        frames = list(_growing.get(key, ()))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            f"Stopped after {frames[-1].step} of {wanted.settings['steps']} steps."
            if frames
            else "Stopped before the first step."
        )
        st.button("Start again", icon=":material/replay:", on_click=canceled().discard, args=(key,))
    if not frames:
        return None
    none = np.zeros(0, np.float32)
    return Visualization(wanted.unit, tuple(frames), none, none, wanted.found_settings)


def _draw_growing(frames: list[Frame], wanted: Wanted) -> None:
    left, middle, _ = st.columns([4, 4, 3], gap="large")
    last = frames[-1]
    left.markdown(f"**{plain(wanted.title)}**")
    left.image(
        enlarge(last.pixels, 420),
        width=420,
        output_format="JPEG" if last.pixels.shape[0] > 64 else "PNG",
        alt="The picture that was made",
    )
    left.caption(f"step {last.step} of {wanted.settings['steps']}")
    middle.markdown("**How strongly it answers**")
    table = pd.DataFrame(
        {"step": [frame.step for frame in frames], "answer": [frame.objective for frame in frames]}
    )
    middle.vega_lite_chart(
        table,
        {
            "mark": {"type": "line", "point": True},
            "height": 260,
            "encoding": {
                "x": {"field": "step", "type": "quantitative",
                      "scale": {"domain": [0, wanted.settings["steps"]]}},
                "y": {"field": "answer", "type": "quantitative"},
            },
        },
        width="stretch", alt="The activation at every step",
    )  # fmt: skip


def best_real(wanted: Wanted) -> BestAnswers:
    """The strongest answers to real images: from the stored index of filters as far as there is one."""
    card, layer = wanted.card, wanted.unit.layer
    images = real_images(card)

    def analysis(classifier: Classifier, progress: Progress) -> BestAnswers:
        return best_answers(classifier, layer, images, progress)

    found = asked(
        Question("best real answers", wanted.classifier, BestAnswers, (layer, *images.key)), analysis,
        short=False, message=f"Looking for the best of {images.words}",
    )  # fmt: skip
    return replace(found, activation=indexed_best(wanted.classifier, card, layer) or found.activation)


def show(wanted: Wanted, found: Visualization, best: BestAnswers) -> None:
    """The scrubber, what the network says of the picture, and the downloads."""
    unit, card = wanted.unit, wanted.card
    if unit.layer is None:
        what = "the logit of the class"
    elif unit.place is not None:
        what = "the value at this place"
    else:
        what = "the mean of its map" if _has_map(found) else "its value"
    last = found.frames[-1]
    beside = compare(unit, last.objective, last.activation, best)
    image = open_chosen(beside.best_image)
    words = title_of(beside.best_image) + (f", {image.label}" if image.label else "")
    largest = beside.largest
    film(
        found.frames, wanted.title, planned=wanted.settings["steps"], what=what, best=beside.best,
        among=beside.among, best_words=words, real=fit(image.pixels, card.preprocessing),
        largest=None if largest is None else (largest.best, largest.among), key="dream_scrubber",
    )  # fmt: skip
    if found.note:
        st.info(found.note, icon=":material/info:")
    with st.container(horizontal=True, vertical_alignment="center"):
        _downloads(wanted, found)
        if len(found.logits):
            shares = probabilities(found.logits.astype(np.float64))
            order = np.argsort(-shares)[:3]
            said = ", ".join(f"{plain(card.class_names[i])} {shares[i]:.1%}" for i in order)
            st.caption(f"The network takes the picture for {said}. Computed by {found.engine}.")


def _has_map(found: Visualization) -> bool:
    return any(frame.objective != frame.activation for frame in found.frames)


def _downloads(wanted: Wanted, found: Visualization) -> None:
    names = wanted.card.class_names
    facts = facts_of(found, wanted.classifier, names) | {"start": wanted.start_sha256 or "noise"}
    file = "".join(c if c.isalnum() else "_" for c in f"{wanted.classifier}_{wanted.title}")[:80]
    for label, make, suffix, kind in (
        ("PNG", lambda: encode(enlarge(found.frames[-1].pixels, 448)), "png", "image/png"),
        ("WebP", lambda: animation(found.frames, "webp"), "webp", "image/webp"),
        ("GIF", lambda: animation(found.frames, "gif"), "gif", "image/gif"),
        ("NPZ", lambda: npz_bytes(found, facts), "npz", "application/octet-stream"),
    ):
        st.download_button(
            label, make, f"{file}.{suffix}", kind, icon=":material/download:", on_click="ignore",
            help={"WebP": "The steps as an animation.", "GIF": "The steps as an animation of 256 colors.",
                  "NPZ": "All kept steps, the curve and the settings."}.get(label),
        )  # fmt: skip
