"""The one door from a page to a model.

    answer = ask("occlusion", classifier, analysis, depends_on=(image.sha256, window, stride, fill))

Call it in the body of a page, not inside a fragment: there a click on Cancel, or on anything else, stops the
waiting at once, and what nobody waits for is dropped.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import streamlit as st

from core import store
from core.models import catalogue
from core.models.question import Question
from core.progress import Progress
from core.serving import worker
from core.serving.worker import Analysis
from core.store import Answer

# Seconds. Only what takes longer than this gets a progress bar; anything else would flicker.
T = TypeVar("T")
UNSEEN = 0.3
LONG = 1.5


def ask(
    label: str,
    classifier: str,
    analysis: Analysis,
    *,
    depends_on: tuple[Any, ...] = (),
    short: bool = True,
    message: str = "",
    cancel: str = "Cancel",
    watch: Callable[[], None] | None = None,
) -> Answer:
    """The answer of an analysis: stored, shared with whoever asks the same, or computed now with a bar.

    Args:
        label: What is asked; the same words are always the same analysis.
        classifier: Its name in the catalogue.
        analysis: A function of (classifier, progress) that returns a dictionary of arrays and JSON values.
        depends_on: All that the answer depends on besides classifier and label, as JSON values.
        short: It takes seconds, not minutes.
        message: What the bar says; otherwise what the analysis says.
        cancel: What is written on the button that ends it.
        watch: Called several times a second while it runs; may draw what is there so far.
    Raises:
        ConvoscopeError: What the analysis raised.
    """
    key = question(label, classifier, depends_on)
    stored = store.find(key)
    if stored is not None:
        return stored
    return _wait(key, label, classifier, analysis, short, message, cancel, watch)


def asked(
    question: Question[T],
    analysis: Callable[[Any, Progress], T],
    *,
    short: bool = True,
    message: str = "",
    cancel: str = "Cancel",
    watch: Callable[[], None] | None = None,
) -> T:
    """The answer to a question: stored, shared with whoever asks the same, or computed now with a bar.

    Args:
        question: What is asked, of whom, and all that the answer depends on.
        analysis: A function of (classifier, progress) that returns the question's kind of answer.
        short: It takes seconds, not minutes.
        message: What the bar says; otherwise what the analysis says.
        cancel: What is written on the button that ends it.
        watch: Called several times a second while it runs; may draw what is there so far.
    Raises:
        ConvoscopeError: What the analysis raised.
    """
    if question.fingerprint is None and catalogue.fingerprint_of(question.classifier) is None:
        _fetch(question.classifier)
        question = replace(question)  # its key is made anew, now that the weights are here
    found = question.find()
    if found is not None:
        return found
    answer = _wait(question.key, question.label, question.classifier, analysis, short, message, cancel, watch)
    return question.read(answer)


def question(label: str, classifier: str, depends_on: tuple[Any, ...] = ()) -> str:
    """What such an answer is stored under. Weights that are not here yet are fetched first."""
    fingerprint = catalogue.fingerprint_of(classifier)
    if fingerprint is None:
        _fetch(classifier)
        fingerprint = catalogue.fingerprint_of(classifier) or ""
    return store.key_of(fingerprint, label, depends_on)


def canceled() -> set[str]:
    """The questions that this session has canceled."""
    found: set[str] = st.session_state.setdefault("canceled_questions", set())
    return found


def _fetch(classifier: str) -> None:
    """Let the worker load a classifier whose weights must come from the network first."""
    key = store.key_of(classifier, "fetch", ())
    _wait(key, "Loading", classifier, lambda classifier, progress: {}, False, f"Fetching {classifier}")


def _wait(
    key: str,
    label: str,
    classifier: str,
    analysis: Analysis,
    short: bool,
    message: str,
    cancel: str = "Cancel",
    watch: Callable[[], None] | None = None,
) -> Answer:
    place = st.empty()
    if key in canceled():
        with place.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"{message or label}: canceled.")
            st.button("Start again", key=f"again_{key[:16]}", on_click=canceled().discard, args=(key,))
        st.stop()
    task = worker.submit(key, classifier, analysis, short=short)
    try:
        if not task.wait(UNSEEN):
            _show(task, key, place, label, message, cancel, watch)
        return task.answer()
    finally:
        task.leave()
        place.empty()


def _show(
    task: worker.Task,
    key: str,
    place: Any,
    label: str,
    message: str,
    cancel: str,
    watch: Callable[[], None] | None,
) -> None:
    with place.container(horizontal=True, vertical_alignment="center"):
        bar = st.progress(0.0, message or label)
        waited = UNSEEN
        button = False
        # Drawing is also where a script that was superseded ends, and with it the waiting.
        while not task.wait(0.1):
            waited += 0.1
            ahead = task.ahead()
            words = task.message or message or label
            text = f"{message or label}: waiting, {ahead} before you" if ahead else words
            bar.progress(min(1.0, max(0.0, task.share)), text)
            if waited > LONG and not button:
                button = True
                st.button(cancel, key=f"cancel_{key[:16]}", on_click=canceled().add, args=(key,))
            if watch is not None:
                watch()
