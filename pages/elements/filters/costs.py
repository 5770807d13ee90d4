"""What each channel of the chosen layer costs: its atlas, asked for once."""

import numpy as np
import streamlit as st

from core.ablation import switch_off
from core.ablation.atlas import Atlas, ablation_atlas
from core.errors import BadDataset
from core.models.classifier import Classifier
from core.models.question import Question
from core.progress import Progress
from pages.elements.as_text import as_written
from pages.elements.ask import asked
from pages.elements.filters.chosen_filters import Filters, pixels_of

LABEL = "ablation atlas 2"
FIRST_IMAGES = 1000  # images; on more of them only when asked for


def known_costs(f: Filters) -> Atlas | None:
    """What each channel of the layer costs, on the most images on which that was measured."""
    sizes = sorted({f.images, min(FIRST_IMAGES, f.images)}, reverse=True)
    return next(filter(None, (_question(f, images).find() for images in sizes)), None)


def cost_buttons(f: Filters, costs: Atlas | None) -> None:
    """Ask for the costs: on some images first, then on all that are looked at."""
    wanted = min(FIRST_IMAGES, f.images) if costs is None else f.images
    if costs is not None and costs.images >= _judged(f):
        return
    mine = _question(f, wanted).key
    if st.session_state.get("fl_cost_of") == mine:
        _measure(f, wanted)
        return
    st.button(
        "What does each cost?" if costs is None else f"Costs on all {wanted:,} images",
        icon=":material/query_stats:",
        on_click=lambda: st.session_state.update(fl_cost_of=mine),
        help=f"Switch each of the {f.layer.channels:,} channels off alone and count what goes wrong on "
        f"{wanted:,} images. The result says how it was computed.",
    )


def cost_caption(costs: Atlas) -> str:
    """How the costs were measured."""
    return (
        f"Costs: accuracy without the channel, in points, with 95% intervals of the difference on the same "
        f"{costs.images:,} images. Computed by: {costs.engine}."
    )


def cost_words(f: Filters, costs: Atlas, c: int) -> str:
    """What one channel costs, in a line."""
    by_class, (low, high) = costs.right[c] - costs.whole, costs.interval
    worst = int(np.argmin(by_class))
    words = f"Without it {100 * costs.change[c]:+.1f} points ({100 * low[c]:+.1f} to {100 * high[c]:+.1f})"
    if by_class[worst] < 0:
        words += f", most of it {f.card.class_names[worst]} ({by_class[worst]:+d})"
    return words.replace("-", "−")


def _measure(f: Filters, images: int) -> None:
    names = f.card.class_names
    try:
        rows, labels, _ = switch_off.judged_rows(f.split, f.dataset.class_names, names, images)
    except BadDataset as error:
        st.session_state["fl_cost_of"] = None
        st.error(as_written(error), icon=":material/error:")
        return

    def analysis(classifier: Classifier, progress: Progress) -> Atlas:
        return ablation_atlas(classifier, pixels_of(f), rows, labels, f.layer.name, progress=progress)

    asked(
        _question(f, images), analysis, short=False,
        message=f"Switching off {f.layer.channels:,} channels, one at a time",
    )  # fmt: skip
    st.session_state["fl_cost_of"] = None
    st.rerun()


def _judged(f: Filters) -> int:
    """How many of the images there can be judged at most."""
    try:
        names = f.card.class_names
        return len(switch_off.judged_rows(f.split, f.dataset.class_names, names, f.images)[0])
    except BadDataset:
        return 0


def _question(f: Filters, images: int) -> Question[Atlas]:
    return Question(LABEL, f.classifier, Atlas, (f.split.fingerprint, images, f.layer.name))
