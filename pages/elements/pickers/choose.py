"""What every page about one image begins with: the classifier, the image, the target, and what it answers."""

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace

import numpy as np
import streamlit as st

from core.data.images import ReadImage, enlarge
from core.data.preprocessing import Preprocessing, fit, fit_steps
from core.evaluation.probabilities import probabilities
from core.models import catalogue
from core.models.card import ModelCard
from pages.elements.address import keep_choice, take_choice
from pages.elements.as_text import as_written, plain
from pages.elements.pickers.bar import Bar
from pages.elements.pickers.chosen_image import set_chosen_image
from pages.elements.pickers.image_tray import choose_image
from pages.elements.pickers.prediction import predicted, top_classes

__all__ = [
    "Chosen", "choose", "choose_classifier", "choose_image", "choose_target", "chosen_anew",
    "redraw_by_target", "set_chosen_image",
]  # fmt: skip

AUTOMATIC = "automatic"
REDRAWN = "redrawn_by_target"
LONGEST_TITLE = 60  # letters of a classifier's name on a chip
TARGET_FRAGMENT = "target_chip"  # the fragment


@dataclass(frozen=True)
class Chosen:
    """What the user looks at.

    Attributes:
        classifier: Its name in the catalogue.
        pixels: (H, W, C) uint8, what the network sees.
        sha256: Of `pixels`: what answers on this image depend on.
        logits: (K,) float32 of the whole image.
        target: The index of the class to be explained.
    """

    classifier: str
    card: ModelCard
    image: ReadImage
    pixels: np.ndarray
    sha256: str
    logits: np.ndarray
    target: int

    @property
    def target_name(self) -> str:
        return self.card.class_names[self.target]


def choose(bar: Bar) -> Chosen:
    """Fill the bar's chips and ask the classifier about the image."""
    with bar.chips:
        place = st.container(width="content")  # the image stands first and is known second
        classifier = choose_classifier()
        card = catalogue.card_of(classifier)
        with place:
            image = choose_image(card, classifier)
        place = st.container(width="content")
    pixels, sha256 = _fitted(image, card.preprocessing)
    logits = predicted(classifier, pixels, sha256)
    with place:
        target = choose_target(card, logits, image.label)
    return Chosen(classifier, card, image, pixels, sha256, logits, target)


_fits: OrderedDict[tuple[str, Preprocessing], tuple[np.ndarray, str]] = OrderedDict()
_lock = threading.Lock()


def _fitted(image: ReadImage, preprocessing: Preprocessing) -> tuple[np.ndarray, str]:
    """What the network sees, and its sha256: the last 64, since every run of every page asks for one."""
    key = (image.sha256, preprocessing)
    with _lock:
        if key not in _fits:
            pixels = fit(image.pixels, preprocessing)
            _fits[key] = pixels, hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
        _fits.move_to_end(key)
        while len(_fits) > 64:
            _fits.popitem(last=False)
        return _fits[key]


def choose_classifier() -> str:
    """The picker of the classifier; its name stands in the address as `classifier`."""
    names = catalogue.names()
    default = names[0]
    take_choice("classifier", default)
    given = st.session_state.get("classifier")
    if given and given not in names:
        names.append(given)  # typed before, or in a link: any of torchvision and timm
    with st.popover(_short_title(given or default), key="chip_classifier"):
        name = st.selectbox(
            "Classifier", names, key="classifier", accept_new_options=True, width=320,
            help="Your checkpoints, those that ship, or any of ImageNet: type torchvision/… or timm/…",
        )  # fmt: skip
        st.caption(_about(name or default))
        for one in catalogue.damaged():
            st.caption(f":material/warning: {plain(one.name)} is left out: {as_written(one.reason)}")
    keep_choice("classifier", name or default, default)
    return name or default


def _short_title(name: str) -> str:
    """A classifier's name for a chip: its title without what stands in brackets."""
    entry = next((entry for entry in catalogue.entries() if entry.name == name), None)
    return plain((entry.title if entry else name).partition(" (")[0][:LONGEST_TITLE])


def _about(name: str) -> str:
    entry = next((entry for entry in catalogue.entries() if entry.name == name), None)
    return f"`{name}`. {plain(entry.summary)}" if entry else plain(name[:LONGEST_TITLE])


def choose_target(card: ModelCard, logits: np.ndarray, label: str | None) -> int:
    """The class to be explained: chosen, else the true one where it is known, else the predicted one."""
    st.session_state[REDRAWN] = None
    take_choice("target", AUTOMATIC)
    if st.session_state.get("target") not in (None, AUTOMATIC, *card.class_names):
        del st.session_state["target"]  # a class of another classifier
    _target_chip(card, logits, label)
    return _target(card, logits, label)


@st.fragment(key=TARGET_FRAGMENT)
def _target_chip(card: ModelCard, logits: np.ndarray, label: str | None) -> None:
    """A fragment, so that its words follow where another target draws only a part of the page anew."""
    shares = probabilities(logits.astype(np.float64))
    first, known = _automatic_target(card, logits, label)
    shown = _target(card, logits, label)
    with st.popover(f"explains: **{plain(card.class_names[shown])}** {shares[shown]:.1%}", key="chip_target"):
        name = st.selectbox(
            f"Explain: {plain(card.class_names[first])} ({'its true class' if known else 'its answer'})",
            [AUTOMATIC, *card.class_names], key="target", on_change=_redraw, width=320,
            help="Automatic is the true class where it is known, else the class that is predicted.",
        )  # fmt: skip
        best = np.argsort(-shares)[:5]
        st.caption(" · ".join(f"{plain(card.class_names[i])} {shares[i]:.1%}" for i in best))
    keep_choice("target", name or AUTOMATIC, AUTOMATIC)


def _target(card: ModelCard, logits: np.ndarray, label: str | None) -> int:
    name = st.session_state.get("target")
    return (
        card.class_names.index(name)
        if name in card.class_names
        else _automatic_target(card, logits, label)[0]
    )


def redraw_by_target(fragment: str) -> None:
    """Let another target draw only the fragment of that key anew, not the page: nothing else depends on it.

    Call it when all is drawn and nothing is on its way, and in the fragment take `chosen_anew`.
    """
    st.session_state[REDRAWN] = fragment


def chosen_anew(chosen: Chosen) -> Chosen:
    """In a fragment that is drawn alone: the same with the target as it is now."""
    return replace(chosen, target=_target(chosen.card, chosen.logits, chosen.image.label))


def _automatic_target(card: ModelCard, logits: np.ndarray, label: str | None) -> tuple[int, bool]:
    """The true class where it is known, else the predicted one, and whether it is known."""
    known = label is not None and label in card.class_names
    return (card.class_names.index(label) if known and label is not None else int(logits.argmax())), known


def _redraw() -> None:
    fragment = st.session_state.get(REDRAWN)
    if fragment:
        st.rerun([TARGET_FRAGMENT, fragment])


def show_prediction(chosen: Chosen) -> None:
    """The top classes as bars."""
    for name, share in top_classes(chosen.card, chosen.logits):
        true = " (true)" if name == chosen.image.label else ""
        st.progress(share, f"{plain(name)}{true} · {share:.1%}")


def what_the_network_sees(image: ReadImage, card: ModelCard) -> None:
    """A panel with every step from the file to the first layer."""
    panel = st.expander(
        "How the photo is prepared", icon=":material/steps:", key="steps_open", on_change="rerun"
    )
    with panel:
        if not panel.open:
            return
        pixels = fit(image.pixels, card.preprocessing)
        steps = [*image.steps, *fit_steps(image.pixels, card.preprocessing)]
        columns = st.columns(len(steps) + 1)
        for column, step in zip(columns, steps, strict=False):
            column.image(enlarge(step.pixels, 256), width="stretch", alt=step.name)
            column.caption(f"**{step.name}**: {step.text}")
        values = (pixels / 255 - card.preprocessing.mean) / card.preprocessing.std
        low, high = values.min(), values.max()
        shown = ((values - low) / max(high - low, 1e-9) * 255).astype(np.uint8)
        columns[-1].image(enlarge(shown, 256), width="stretch", alt="Normalized")
        mean, std = (
            ", ".join(f"{v:.3g}" for v in part) for part in (card.preprocessing.mean, card.preprocessing.std)
        )
        columns[-1].caption(
            f"**Normalized**: (pixel / 255 − mean) / std with mean {mean} and std {std}: "
            f"values from {low:.2f} to {high:.2f}"
        )
