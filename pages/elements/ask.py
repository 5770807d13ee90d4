"""The one door from a page to a model.

    question = Question("occlusion", classifier, OcclusionMap, (image.sha256, window, stride, fill))
    found = asked(question, analysis)

Call it in the body of a page, not inside a fragment: there a click on Cancel, or on anything else, stops the
waiting at once, and what nobody waits for is dropped.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from core import store
from core.models import catalogue
from core.models.question import Question
from core.progress import Progress
from core.serving import worker
from core.serving.worker import Analysis
from core.store import Answer
from pages.elements.as_text import as_written

T = TypeVar("T")
SECONDS_WITHOUT_BAR = 0.3  # what takes less gets no progress bar, which would flicker
SECONDS_WITHOUT_CANCEL = 1.5
LOOK_EVERY = 0.25  # seconds
DRAW_EVERY = 1.0  # seconds: what waits in the line
LABELS_SHOWN = 3  # of the questions before one's own


@dataclass(frozen=True)
class Shown:
    """What a visitor sees while the answer is computed.

    Attributes:
        message: What the bar says; otherwise what the analysis says.
        cancel: What is written on the button that ends it.
        watch: Called several times a second while it runs; may draw what is there so far.
    """

    message: str
    cancel: str = "Cancel"
    watch: Callable[[], None] | None = None


def asked(
    question: Question[T],
    analysis: Callable[[Any, Progress], T],
    *,
    short: bool = True,
    quick: bool = False,
    message: str = "",
    cancel: str = "Cancel",
    watch: Callable[[], None] | None = None,
) -> T:
    """The answer to a question: stored, shared with all who ask the same, or computed now with a bar.

    Args:
        question: What is asked, of whom, and all that the answer depends on.
        analysis: A function of (classifier, progress) that returns the question's kind of answer.
        short: It takes seconds, not minutes.
        quick: It takes one pass of the network or so, such as a prediction, and goes before everything else.
        message: What the bar says; otherwise what the analysis says.
        cancel: What is written on the button that ends it.
        watch: Called several times a second while it runs; may draw what is there so far.
    Raises:
        ConvoscopeError: What the analysis raised.
    """
    question = fetched(question)
    found = question.find()
    if found is not None:
        return found
    shown = Shown(message or question.label, cancel, watch)
    answer = _wait(question.key, question.label, question.classifier, analysis, shown, short, quick)
    return question.read(answer)


def fetched(question: Question[T]) -> Question[T]:
    """The question; its key is known. Weights that are not here yet are fetched first."""
    if question.fingerprint is None and catalogue.fingerprint_of(question.classifier) is None:
        _fetch(question.classifier)
        return replace(question)  # its key is made anew, now that the weights are here
    return question


def canceled() -> set[str]:
    """The questions that this session has canceled."""
    found: set[str] = st.session_state.setdefault("canceled_questions", set())
    return found


def this_session() -> str:
    """The name under which this session's questions take their turns; "" outside a session."""
    context = get_script_run_ctx()
    return context.session_id if context is not None else ""


def _fetch(classifier: str) -> None:
    """Let the worker load a classifier whose weights must come from the network first."""
    key = store.key_of(classifier, "fetch", ())
    shown = Shown(f"Fetching {classifier}")
    _wait(key, "Loading", classifier, lambda classifier, progress: {}, shown, short=False)


def _wait(
    key: str,
    label: str,
    classifier: str,
    analysis: Analysis,
    shown: Shown,
    short: bool = True,
    quick: bool = False,
) -> Answer:
    place = st.empty()
    if key in canceled():
        with place.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"{as_written(shown.message)}: canceled.")
            st.button("Start again", key=f"again_{key[:16]}", on_click=canceled().discard, args=(key,))
        st.stop()
    session = this_session()
    task = worker.submit(key, classifier, analysis, session=session, label=label, short=short, quick=quick)
    try:
        if not task.wait(SECONDS_WITHOUT_BAR):
            _show(task, key, place, shown)
        return task.answer()
    finally:
        task.leave(session)
        place.empty()


def _show(task: worker.Task, key: str, place: Any, shown: Shown) -> None:
    with place.container(horizontal=True, vertical_alignment="center"):
        bar = st.progress(0.0, as_written(shown.message))
        waited, drawn_at, drawn = SECONDS_WITHOUT_BAR, 0.0, (0.0, "")
        button = False
        # A class that waits would keep the interpreter busy with bars that have not moved: they are looked at
        # often and drawn where something has changed.
        while not task.wait(LOOK_EVERY):
            waited += LOOK_EVERY
            if task.running or waited - drawn_at >= DRAW_EVERY:
                place_in_line = task.place(age=DRAW_EVERY / 2)
                text = as_written(in_words(place_in_line, shown.message) or task.message or shown.message)
                now = min(1.0, max(0.0, task.share)), text
                drawn_at = waited
                if now != drawn:
                    bar.progress(*now)
                    drawn = now
            if waited > SECONDS_WITHOUT_CANCEL and not button:
                button = True
                st.button(shown.cancel, key=f"cancel_{key[:16]}", on_click=canceled().add, args=(key,))
            if shown.watch is not None:
                shown.watch()
            end_if_superseded()


def end_if_superseded() -> None:
    """End this script here if its visitor has clicked on something meanwhile: drawing would, too, for more.

    Streamlit looks for that whenever the session's state is read.
    """
    _ = "canceled_questions" in st.session_state


def in_words(place: worker.Place, message: str) -> str:
    """Who is before a question and about how long that takes; "" when it is being answered."""
    if not place.ahead:
        return ""
    count = "1 question is" if place.ahead == 1 else f"{place.ahead} questions are"
    kinds = list(dict.fromkeys(label.replace("_", " ") for label in place.labels))
    named = ", ".join(kinds[:LABELS_SHOWN]) + (", …" if kinds[LABELS_SHOWN:] else "")
    return f"{message}: {count} before yours{f' ({named})' if named else ''}, {_duration(place.seconds)}"


def _duration(seconds: float) -> str:
    if seconds < 1:
        return "less than a second"
    if seconds > 20:
        seconds = 5 * round(seconds / 5)  # figures that change all the time are drawn all the time
    return f"about {seconds:.0f} s" if seconds < 100 else f"about {seconds / 60:.0f} min"
