"""The parts of the attribution page: settings of the methods, the questions, the maps, what to take away."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.attribution.baselines import baseline_images
from core.attribution.export import facts_of, npz_bytes, script_text
from core.attribution.mask_shares import fitted_masks, in_words, mask_shares
from core.attribution.methods import methods
from core.attribution.rendering import Shown, sheet
from core.attribution.result import Attribution
from core.data.images import encode, enlarge
from core.data.preprocessing import for_the_eye
from core.data.samples import SAMPLES
from core.models.classifier import Classifier
from core.models.question import Question
from core.network.feature_maps import feature_maps
from core.progress import Progress
from core.settings import Settings
from pages.elements.as_text import plain
from pages.elements.ask import asked
from pages.elements.attribution.overlay import Panel, View, attribution_view
from pages.elements.page import errors_shown
from pages.elements.pickers.choose import Chosen
from pages.elements.settings_form import settings_form

SIDE_WHILE_WAITING = 420  # pixels
# What a percentage of nothing says nothing about.
_ALIKE = "the image and the baseline have the same score, so there is nothing to distribute"


@dataclass(frozen=True)
class FeatureMaps:
    """The layers of a classifier whose outputs are maps, in their order."""

    layers: tuple[str, ...]


@dataclass(frozen=True)
class Asked:
    """One map that is wanted."""

    method: str
    target: int
    settings: Settings


def settings_of_methods(chosen: Chosen, names: Sequence[str]) -> dict[str, Settings]:
    """A form for every method, one tab each; methods with a bad setting are left out."""
    found: dict[str, Settings] = {}
    if not names:
        return found
    for name, tab in zip(names, st.tabs([methods[name].title for name in names]), strict=True):
        method = methods[name]
        with tab, errors_shown():
            st.caption(method.summary)
            options = {}
            if any(setting.name == "layer" for setting in method.settings):
                options["layer"] = list(reversed(_layers(chosen)))
            found[name] = settings_form(method.settings, f"att_{name}", options=options)
            if "baseline" in found[name]:
                _show_baseline(chosen, found[name])
    return found


def photo_while_waiting(chosen: Chosen) -> DeltaGenerator:
    """The photo, where a session's first maps are still to be computed; empty the place when they are there.

    Later maps are waited for with those of before in view.
    """
    place = st.empty()
    if not st.session_state.get("att_seen"):
        pixels = chosen.pixels if chosen.pixels.shape[2] == 3 else chosen.pixels[..., 0]
        with place:
            st.image(enlarge(pixels, SIDE_WHILE_WAITING), alt="The image, while its maps are computed")
    return place


def explain(chosen: Chosen, asked: Sequence[Asked]) -> list[Attribution]:
    """The maps, one after the other; what cannot be made says so and is left out."""
    made = []
    for one in asked:
        with errors_shown():
            made.append(_explanation(chosen, one))
    st.session_state["att_seen"] = True
    return made


def show(chosen: Chosen, results: Sequence[Attribution], *, by_class: bool) -> None:
    """The maps beside the image, and what can be taken away of them."""
    if results:
        _show(chosen, list(results), by_class)


@st.fragment
def _show(chosen: Chosen, results: list[Attribution], by_class: bool) -> None:
    panels = []
    for result in results:
        title = _title(chosen, result, by_class)
        line, *facts = facts_in_words(chosen, result)
        smooth = methods[result.method].facts.get("smooth", True)
        panels.append(Panel(title, result.values, smooth, line, tuple(facts), result.note))
    photo = for_the_eye(chosen.image.pixels, chosen.card.preprocessing)
    view = attribution_view(chosen.pixels, panels, photo=photo, prefix="att")
    _downloads(chosen, results, panels, view)


def facts_in_words(chosen: Chosen, result: Attribution) -> tuple[str, ...]:
    """Under the map: the score in one line; then how far the sum is off, and what made it."""
    name = chosen.card.class_names[result.target]
    output = result.settings.get("output", "logit")
    lines = [f"Explains the {output} of {name}: {result.score:.4g}"]
    error = result.completeness_error
    if error is None or result.expected is None:
        lines.append("These values need not add up to the score.")
    elif np.isinf(error):
        lines.append(f"The map adds up to {result.values.sum():.3g}; {_ALIKE}.")
    else:
        lines.append(
            f"The map adds up to {float(result.values.sum(dtype=np.float64)):.4g} of "
            f"{result.expected:.4g}: {error:.2g} % off"
        )
    parts = [
        f"{key.replace('_', ' ')} {value}" for key, value in result.settings.items() if value is not None
    ]
    found = [f"{key} {value}" for key, value in result.found.items()]
    shares = mask_shares(result.values, fitted_masks(chosen.image.masks, chosen.card.preprocessing))
    if shares:
        lines.append(f"Where the map is strong: {in_words(shares)}")
    return (*lines, ", ".join(parts) + (f" → {', '.join(found)}" if found else ""))


def _explanation(chosen: Chosen, one: Asked) -> Attribution:
    title = methods[one.method].title

    def analysis(classifier: Classifier, progress: Progress) -> Attribution:
        def told(share: float, words: str) -> None:
            progress(share, f"{title}: {words}" if words else title)

        found: Attribution = methods[one.method](
            classifier, chosen.pixels, one.target, **one.settings, progress=told
        )
        return replace(found, settings=one.settings)

    depends_on = (chosen.sha256, one.target, one.settings)
    question = Question(f"attribution {one.method}", chosen.classifier, Attribution, depends_on)
    return asked(question, analysis, message=title)


def _layers(chosen: Chosen) -> list[str]:
    def analysis(classifier: Classifier, progress: Progress) -> FeatureMaps:
        return FeatureMaps(tuple(feature_maps(classifier)))

    return list(asked(Question("feature maps", chosen.classifier, FeatureMaps), analysis, quick=True).layers)


def _show_baseline(chosen: Chosen, settings: Mapping[str, Any]) -> None:
    """The baseline as a picture: the question is "why this, and not that?"."""
    images = baseline_images(
        settings["baseline"], chosen.pixels, samples=settings["noise_samples"], seed=settings["seed"]
    )
    pixels = images[0].round().astype(np.uint8)
    words = f", the first of {len(images)}" if len(images) > 1 else ""
    st.image(
        enlarge(pixels if pixels.shape[2] == 3 else pixels[..., 0], 120),
        f"Baseline: {settings['baseline']}{words}",
        width=120,
        alt="The baseline",
    )


def _title(chosen: Chosen, result: Attribution, by_class: bool) -> str:
    return chosen.card.class_names[result.target] if by_class else methods[result.method].title


def _downloads(chosen: Chosen, results: Sequence[Attribution], panels: Sequence[Panel], view: View) -> None:
    sample = chosen.image.name in SAMPLES

    def drawn() -> bytes:
        shown = [Shown(panel.title, panel.values, panel.line, panel.smooth) for panel in panels]
        look = view.look(chosen.pixels.shape[:2])
        return encode(sheet(chosen.pixels, shown, look, shared=view.scale == "shared"))

    def named(*parts: str) -> str:
        return "_".join(re.sub(r"[^\w]+", "-", part).strip("-").lower()[:60] for part in parts)

    image = chosen.image.name.rpartition("/")[2].partition(".")[0] or "image"
    methods_shown = sorted({result.method.replace("_", "-") for result in results})
    targets_shown = sorted({chosen.card.class_names[result.target] for result in results})
    name = named(image, "-".join(targets_shown), "-".join(methods_shown), view.view)

    with st.popover("Save", icon=":material/download:", key="att_save"):
        st.download_button(
            "Picture (PNG)", drawn, f"{name}.png", "image/png", key="att_png", on_click="ignore",
            icon=":material/image:",
        )  # fmt: skip
        for number, (result, panel) in enumerate(zip(results, panels, strict=True)):
            stem = named(image, chosen.card.class_names[result.target], result.method)
            facts = facts_of(result, chosen.card, chosen.classifier, chosen.image.name)
            st.download_button(
                f"{plain(panel.title)}: values (NPZ)",
                partial(npz_bytes, result, facts, chosen.pixels),
                f"{stem}.npz", "application/octet-stream", key=f"att_npz_{number}", on_click="ignore",
                icon=":material/data_array:",
            )  # fmt: skip
            st.download_button(
                f"{plain(panel.title)}: script",
                script_text(facts, f"{stem}.npz", sample=sample),
                f"{stem}.py", "text/x-python",
                key=f"att_py_{number}", on_click="ignore", icon=":material/code:",
                help=f"Makes the map “{plain(panel.title)}” again from the NPZ and compares.",
            )  # fmt: skip
