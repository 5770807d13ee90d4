"""One run: how it stands, its verdict, its curves, its settings."""

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.history import EndRecord, Record, StartRecord, of_kind
from core.runs.run_list import (
    Run,
    Settings,
    companions,
    current_jobs,
    find_run,
    judge,
    seconds_left,
    settings_of_run,
)
from core.runs.verdict import Verdict
from pages.elements.address import adopt_choice, tell_choice
from pages.elements.as_text import plain
from pages.elements.page import errors_shown
from pages.elements.train_monitor.job_progress import job_progress
from pages.elements.train_monitor.training_curves import View, as_csv, draw_grid, run_chart, view_controls
from pages.elements.train_monitor.training_form import fill_form

_KINDS = {
    "not finite": st.error, "no progress": st.error, "overfitting": st.warning, "underfitting": st.warning,
    "still improving": st.info, "good": st.success, "too early": st.info,
}  # fmt: skip


def run_view(runs: list[Run], place: DeltaGenerator) -> None:
    """Choose a run and see all of it; while it runs, it is drawn anew every second.

    Args:
        place: Where the list of runs is drawn.
    """
    if not runs:
        st.info("No run yet. Choose **New run** above: the first one takes less than a minute on the digits.")
        return
    key = "tm_run"
    follow = st.session_state.pop(f"{key}_next", None)
    names = [run.name for run in runs]
    given = adopt_choice(key)
    if follow in names:
        st.session_state[key] = follow
    elif given and given[0] in names:
        st.session_state[key] = given[0]
    elif st.session_state.get(key) not in names:
        st.session_state[key] = names[0]
    states = {run.name: run.job.state for run in runs if run.job is not None}
    name = place.selectbox("Run", names, key=key, label_visibility="collapsed", help=_queue_words(states))
    tell_choice(key, [name])
    run = find_run(str(name), runs)
    view = view_controls("tm")
    live = run.is_active and st.toggle(
        "Live",
        True,
        key="tm_live",
        help="Switch this off to zoom in: with each new point the whole curve is shown again.",
    )
    every = 1.0 if live else None

    def body() -> None:
        with errors_shown():
            _body(run, view)

    st.fragment(body, run_every=every)()


def _body(run: Run, view: View) -> None:
    was_active = run.is_active
    if was_active:  # drawn again by itself: see how it stands by now
        job = next((job for job in current_jobs() if job.name == run.name), None)
        run = Run(run.name, run.folder, job)
    history = run.history()
    settings = settings_of_run(run, history)
    if run.job is not None:
        job_progress(run.job, history, seconds_left(history, run.job.progress), changed=_look_again)
    if was_active and not run.is_active:
        st.rerun()  # the run has ended: no more drawing every second
    verdict = judge(history, settings)
    if history:
        show_verdict(history, verdict)
        draw_grid([run_chart(history, quantity, view, verdict) for quantity in view.quantities], "tm_chart")
    else:
        st.info(_why_empty(run))
        return
    _details(run, history, settings)


def _why_empty(run: Run) -> str:
    state = run.job.state if run.job is not None else ""
    if state == "waiting":
        return "It begins by itself when its turn comes; this page need not stay open for that."
    if state == "running":
        return "Nothing is recorded yet: the data set is being read, and the first steps come next."
    return "Nothing was recorded."


def show_verdict(history: list[Record], verdict: Verdict | None) -> None:
    """The sentence of a run, in the color of what it says."""
    if verdict is None:
        st.info("This history lacks the figures that a verdict needs: losses and accuracies of every epoch.")
        return
    words = verdict.sentence
    ends = list(of_kind(history, EndRecord))
    if ends and (test := ends[-1].test):
        low, high = test.interval
        words += (
            f" On the test images the best weights reach {test.accuracy:.2%} (95 % interval {low:.2%} to "
            f"{high:.2%})."
        )
    _KINDS.get(verdict.kind, st.info)(plain(words), icon=":material/gavel:")


def _details(run: Run, history: list[Record], settings: Settings) -> None:
    row = st.container(horizontal=True)
    others = [each.name for each in companions(run)]
    if others and row.button(
        "Lay the implementations over each other", icon=":material/stacked_line_chart:", key="tm_others"
    ):
        st.session_state["tm_runs_next"] = [run.name, *others]
        st.session_state["tm_part_next"] = "Compare"
        st.rerun()
    row.download_button(
        "CSV", lambda: as_csv({run.name: run.history()}), f"{run.name.replace('/', '_')}.csv", "text/csv",
        icon=":material/download:", key="tm_csv", on_click="ignore",
    )  # fmt: skip
    starts = list(of_kind(history, StartRecord))
    if (
        starts
        and "optimizer" in starts[-1].settings
        and row.button("Use these settings for a new run", icon=":material/content_copy:", key="tm_copy")
    ):
        fill_form("tm", starts[-1].settings)
        st.session_state["tm_part_next"] = "New run"
        st.rerun()
    if settings:
        with st.expander("Settings and command"):
            if run.job is not None:
                st.code(" ".join(["python", *run.job.command[1:]]), language="bash", wrap_lines=True)
            st.dataframe(
                pd.DataFrame({"setting": list(settings), "value": [str(v) for v in settings.values()]}),
                hide_index=True,
            )


def _look_again() -> None:
    current_jobs(now=True)
    st.rerun()


def _queue_words(states: dict[str, str]) -> str | None:
    waiting = sum(state == "waiting" for state in states.values())
    running = [name for name, state in states.items() if state == "running"]
    if not running:
        return None
    return f"Running: {', '.join(running)}. {waiting} waiting."
