"""The loss lab: what a loss is, how it pulls, and where its numbers overflow."""

import streamlit as st

from pages.elements.losses.loss_lab import loss_part
from pages.elements.page import errors_shown, page

PARTS = {
    "Two classes": (
        "loss_binary",
        "The true label is y, the network says p. Drag p: cross-entropy grows without limit as p becomes "
        "confidently wrong, while squared error stops at 1. Behind a sigmoid this decides how fast a "
        "mistake is unlearned.",
    ),
    "Cross-entropy": (
        "loss_bars",
        "Cross-entropy is what the truth costs in itself, its entropy, plus what the prediction adds by "
        "being "
        "different, the KL divergence. Drag the bars of both.",
    ),
    "Softmax": (
        "loss_softmax",
        "Softmax turns any numbers into probabilities: e to the power of each, divided by the sum. Written "
        "like that it breaks on large numbers; if the largest is subtracted first, it never does.",
    ),
    "A step with L2": (
        "loss_step",
        "One step goes down the gradient and, with weight decay, a little toward 0 too. Drag the "
        "weights and "
        "see both pulls.",
    ),
}


@st.fragment
def draw(name: str, lead: str) -> None:
    with errors_shown():
        st.markdown(lead)
        predict = st.toggle(
            "Predict first",
            key="loss_predict",
            bind="query-params",
            help="Hides the figures until you have typed yours and pressed Enter.",
        )
        loss_part(name, predict=predict)


with page("Loss lab", "Drag a prediction and see what it costs, and how hard the loss pulls."):
    part = st.segmented_control(
        "Part",
        list(PARTS),
        default="Two classes",
        key="loss_part",
        bind="query-params",
        label_visibility="collapsed",
        required=True,
    )
    draw(*PARTS[part or "Two classes"])
