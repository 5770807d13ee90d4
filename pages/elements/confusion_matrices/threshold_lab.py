"""One class against the rest: a threshold that is dragged in the browser, and the images behind each cell."""

import math
from typing import Any

import numpy as np
import streamlit as st

from core.evaluation.one_vs_rest import best_f1_threshold, curves
from pages.elements.component import component, with_head
from pages.elements.confusion_matrices.judged import Judged, wall
from pages.elements.page import errors_shown

_threshold_lab = component(__file__, "threshold_lab")
KEY = "cm_lab"
# (is of the class, is called by its name), as in the 2×2 matrix
OUTCOMES = {"tn": (False, False), "fp": (False, True), "fn": (True, False), "tp": (True, True)}
WORDS = {
    "tn": "True negatives: not “{}”, and not called so",
    "fp": "False positives: called “{}”, but something else",
    "fn": "False negatives: “{}”, but not called so",
    "tp": "True positives: “{}”, and called so",
}


@st.fragment
def threshold_part(judged: Judged) -> None:
    """Choose a class, move the threshold, look at what it lets through."""
    with errors_shown():
        name = st.selectbox("Class", judged.names, key="cm_class", bind="query-params", width=320)
        target = judged.predictions.class_names.index(name)
        scores = judged.predictions.probabilities[:, target]
        positive = judged.predictions.labels == target
        found = curves(scores, positive)
        question = f"{judged.classifier} {judged.dataset} {judged.split_name} {name}"
        threshold, outcome = _from_address()
        head = {
            "name": name,
            "question": question,
            "count": len(scores),
            "threshold": threshold,
            "outcome": outcome,
            "best": best_f1_threshold(found, int(positive.sum())),
            "auc": None if math.isnan(found.roc_auc) else found.roc_auc,
            "ap": None if math.isnan(found.average_precision) else found.average_precision,
        }
        body = scores.astype("<f8").tobytes() + positive.astype(np.uint8).tobytes()
        _threshold_lab(key=KEY, data=with_head(head, body), on_at_change=_keep)
        st.caption(
            "Each class is judged by itself here: an image counts as this class once its probability "
            "reaches the threshold, whatever the other classes have. In the matrix the most probable class "
            "wins, so the numbers differ."
        )
        threshold, outcome = _from_address()
        of_class, called = OUTCOMES[outcome]
        taken = scores >= threshold
        positions = np.flatnonzero((positive == of_class) & (taken == called))
        # The surest mistakes first: of what was called by the name the most probable, of the rest the least.
        surest = np.argsort(-scores[positions] if called else scores[positions], kind="stable")
        st.markdown(
            f"**{WORDS[outcome].format(name)}: {len(positions):,} image{'s' * (len(positions) != 1)}**"
        )
        if len(positions):
            wall(judged, positions[surest], key="cm_lab_wall", zip_name=f"{judged.stem}_{outcome}.zip")


def _from_address() -> tuple[float, str]:
    try:
        threshold = float(st.query_params.get("cm_threshold", "0.5"))
    except ValueError:
        threshold = 0.5
    outcome = str(st.query_params.get("cm_outcome", "fp"))
    return (threshold if 0 <= threshold <= 1 else 0.5), (outcome if outcome in OUTCOMES else "fp")


def _keep() -> None:
    state: Any = st.session_state.get(KEY)
    at = state.get("at") if state else None
    if not isinstance(at, dict):
        return
    threshold, outcome = at.get("threshold"), at.get("outcome")
    if isinstance(threshold, int | float) and 0 <= threshold <= 1 and outcome in OUTCOMES:
        st.query_params.update({"cm_threshold": repr(float(threshold)), "cm_outcome": str(outcome)})
