"""Predict first: a number is hidden until the viewer has typed one."""

from collections.abc import Hashable

import streamlit as st


def predict_first(question: str, answer: int, words: str, *, about: Hashable) -> bool:
    """Ask for a whole number, and judge it; True once one was typed, so that the answer may be shown.

    Args:
        question: What stands over the field.
        words: What follows the right number in a sentence, as "rows come out".
        about: What the question is about: another one is asked anew.
    """
    with st.container(horizontal=True, vertical_alignment="bottom"):
        typed = st.number_input(
            question, 0, 99999, None, key=f"conv_guess_{hash((question, about))}", width=340
        )
    if typed is None:
        st.caption("The answer appears once you have typed yours.")
        return False
    if typed == answer:
        st.success(f"{typed} is right.", icon=":material/check:")
    else:
        st.warning(f"{typed} is not right: {answer} {words}.", icon=":material/close:")
    return True
