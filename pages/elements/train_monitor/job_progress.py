"""How a job stands: its state, time left and speed, and the buttons to stop, resume or delete it."""

from collections.abc import Callable

import streamlit as st

from core.errors import ConvoscopeError
from core.history import EpochRecord, FeaturesRecord, Record, StartRecord, StepRecord, of_kind
from core.serving import jobs
from core.serving.jobs import Job
from pages.elements.as_text import plain

_STATES = {
    "waiting": (":material/hourglass_empty:", "waiting"),
    "running": (":material/play_circle:", "running"),
    "stopping": (":material/pause_circle:", "stopping: it saves what it has"),
    "stopped": (":material/stop_circle:", "stopped"),
    "finished": (":material/check_circle:", "finished"),
    "failed": (":material/error:", "failed"),
}


def job_progress(
    job: Job, history: list[Record], seconds_left: float | None, *, changed: Callable[[], None]
) -> None:
    """Draw it.

    Args:
        seconds_left: None where it is not known yet.
        changed: Called after a button did something.
    """
    icon, words = _STATES[job.state]
    left, right = st.columns([5, 3], vertical_alignment="center")
    with left:
        text = f"{icon} **{words}** · {plain(_where(history))}" if _where(history) else f"{icon} **{words}**"
        if job.state == "running":
            if seconds_left is not None:
                text += f" · {duration(seconds_left)} left"
            if speed := _speed(history):
                text += f" · {speed:,.0f} images/s"
        if job.state in ("running", "stopping", "stopped"):
            st.progress(min(1.0, max(0.0, job.progress)), text)
        elif job.state == "failed":
            st.error(plain(job.message), icon=":material/error:")
        else:
            st.markdown(text + (f" · {plain(job.message)}" if job.message else ""))
    with right.container(horizontal=True, horizontal_alignment="right"):
        _buttons(job, changed)


def duration(seconds: float) -> str:
    """A time in the two units that matter: "2 h 5 min", "40 s"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _buttons(job: Job, changed: Callable[[], None]) -> None:
    if job.state in ("waiting", "running") and st.button("Stop", icon=":material/stop:", key="tm_stop"):
        _do(jobs.stop, job.name, changed)
    if job.state in ("stopped", "failed") and st.button(
        "Resume", icon=":material/play_arrow:", key="tm_resume", type="primary"
    ):
        _do(jobs.resume, job.name, changed)
    if job.state in ("stopped", "failed", "finished"):
        with st.popover("Delete", icon=":material/delete:"):
            st.markdown(f"Delete **{plain(job.name)}** with its weights and its curves, for everyone?")
            if st.button("Delete it", key="tm_delete", type="primary"):
                _do(jobs.remove, job.name, changed)


def _do(action: Callable[[str], object], name: str, changed: Callable[[], None]) -> None:
    try:
        action(name)
    except ConvoscopeError as error:  # someone else was faster, perhaps: say what was found
        st.toast(plain(str(error)), icon=":material/info:")
        return
    changed()


def _where(history: list[Record]) -> str:
    """How far it is, in words."""
    last = history[-1] if history else None
    if isinstance(last, FeaturesRecord):
        return f"computing features once: {last.done:,} of {last.of:,} images"
    starts = list(of_kind(history, StartRecord))
    if not starts:
        return ""
    reached = max((r.epoch for r in history if isinstance(r, EpochRecord | StepRecord)), default=0)
    words = f"epoch {reached} of {starts[-1].epochs or '?'}"
    steps = starts[-1].steps_an_epoch
    if isinstance(last, StepRecord) and steps:
        words += f", step {last.step - (last.epoch - 1) * steps:,} of {steps:,}"
    return words


def _speed(history: list[Record]) -> float:
    measured = (r.images_per_second for r in history[-8:] if isinstance(r, EpochRecord | StepRecord))
    recent = [speed for speed in measured if speed]
    return sum(recent) / len(recent) if recent else 0.0
