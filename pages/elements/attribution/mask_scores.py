"""Where masks tell what every pixel shows: what the maps of many images fall on, beside the chosen one's."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from core.attribution.mask_shares import MaskShare, score_method
from core.attribution.methods import methods
from core.data.catalogue import open_dataset
from core.data.dataset import Split
from core.models.classifier import Classifier
from core.models.question import Question
from core.progress import Progress
from core.settings import Settings
from pages.elements.ask import asked
from pages.elements.pickers.choose import Chosen

IMAGES_PER_SCORE = 40


def mask_scores(chosen: Chosen, settings: Mapping[str, Settings]) -> None:
    """Below the maps of an image with masks: the same methods over many images of its split.

    Args:
        settings: Of each method that is shown.
    """
    parts = str(st.query_params.get("image", "")).split("/")
    if not chosen.image.masks or len(parts) != 3 or not settings:
        return
    panel = st.expander(
        f"What the maps fall on, over {IMAGES_PER_SCORE} images", icon=":material/grid_on:",
        key="att_masks_open", on_change="rerun",
    )  # fmt: skip
    with panel:
        if not panel.open:
            return
        st.markdown(
            "Masks tell what every pixel shows, so that a map can be scored: how much of its strength falls "
            "on the stitches, which the label is about, and how much on the grid, which only gives it away?"
        )
        split = open_dataset(parts[0]).split(parts[1])
        rows: dict[str, dict[str, str]] = {}
        for name, options in settings.items():
            for found in _scores(chosen.classifier, split, name, options):
                row = rows.setdefault(
                    found.mask, {"falls on": found.mask, "share of the area": f"{found.area:.0%}"}
                )
                low, high = found.interval or (found.share, found.share)
                times = f", × {found.share / found.area:.1f}" if found.area else ""
                row[methods[name].title] = f"{found.share:.0%} ({low:.0%} to {high:.0%}){times}"
        st.dataframe(pd.DataFrame(list(rows.values())), hide_index=True)
        st.caption(
            f"Mean share of the map's absolute values over {IMAGES_PER_SCORE} images of "
            f"{parts[0]}/{parts[1]}, for the predicted class, with its 95% interval; × 1 is what a map "
            "that knows nothing would give."
        )


@dataclass(frozen=True)
class MaskShares:
    """What a method's maps of many images fall on, one for each mask."""

    shares: tuple[MaskShare, ...]


def _scores(classifier: str, split: Split, method: str, settings: Settings) -> tuple[MaskShare, ...]:
    def analysis(classifier: Classifier, progress: Progress) -> MaskShares:
        found = score_method(
            methods[method], classifier, split, settings, images=IMAGES_PER_SCORE, progress=progress
        )
        return MaskShares(tuple(found))

    depends_on = (split.fingerprint, method, settings, IMAGES_PER_SCORE)
    question = Question("mask shares of a split", classifier, MaskShares, depends_on)
    message = f"{methods[method].title} of {IMAGES_PER_SCORE} images"
    return asked(question, analysis, short=False, message=message).shares
