"""One run: how it stands, its verdict, its curves, its settings."""

from collections.abc import Iterable

import pandas as pd
import streamlit as st

from core.history import EndRecord, Record, StartRecord, of_kind
from core.models import catalogue
from core.runs.run_list import (
    SHIPPED_PREFIX,
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
from pages.elements.figures.what_next import what_next
from pages.elements.page import errors_shown
from pages.elements.pickers.bar import Bar
from pages.elements.train_monitor.job_progress import job_progress
from pages.elements.train_monitor.training_curves import View, as_csv, draw, run_chart, view_controls
from pages.elements.train_monitor.training_form import fill_form

FIRST_RUN = "shipped/sutures_no_dropout"  # it learns by heart from epoch 5 on, plainly to be seen
_KEY = "tm_run"
_KINDS = {
    "not finite": (st.error, "error"),
    "no progress": (st.error, "trending_flat"),
    "overfitting": (st.warning, "call_split"),
    "underfitting": (st.warning, "trending_flat"),
    "still improving": (st.info, "trending_up"),
    "good": (st.success, "check"),
    "too early": (st.info, "hourglass_empty"),
}


def run_view(runs: list[Run], bar: Bar) -> None:
    """Choose a run and see all of it; while it runs, it is drawn anew every second."""
    if not runs:
        st.info("No run yet. Choose **New run** above: the first one takes less than a minute on the digits.")
        return
    run = _choose_run(runs, bar)
    with bar.drawer():
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
    classifier = classifier_of(run)
    if classifier is not None:
        what_next(
            "confusion_matrices", "occlusion", "filters", "feature_visualization",
            words=("See its mistakes", "Hide parts of an image", "Look at its filters"),
            classifier=classifier,
        )  # fmt: skip


def _choose_run(runs: list[Run], bar: Bar) -> Run:
    """The chip of the run: the one of the address, else the latest, else one that ships."""
    follow = st.session_state.pop(f"{_KEY}_next", None)
    names = [run.name for run in runs]
    given = adopt_choice(_KEY)
    if follow in names:
        st.session_state[_KEY] = follow
    elif given and given[0] in names:
        st.session_state[_KEY] = given[0]
    elif st.session_state.get(_KEY) not in names:
        st.session_state[_KEY] = _first_run(names)
    titles = titles_of(names)
    states = {run.name: run.job.state for run in runs if run.job is not None}
    with bar.chips, st.popover(plain(titles[st.session_state[_KEY]]), key="chip_run"):
        name = st.selectbox(
            "Run", names, key=_KEY, format_func=titles.__getitem__, help=_queue_words(states), width=360
        )
        st.caption(plain(name))
    tell_choice(_KEY, [name])
    return find_run(str(name), runs)


def _first_run(names: list[str]) -> str:
    """An own run, else that of the classifier which other pages show, else one that says something."""
    chosen = SHIPPED_PREFIX + str(st.session_state.get("classifier"))
    if not names[0].startswith(SHIPPED_PREFIX):
        return names[0]
    return next((name for name in (chosen, FIRST_RUN) if name in names), names[0])


def titles_of(names: Iterable[str]) -> dict[str, str]:
    """The runs by name, each with the title of its checkpoint where it ships."""
    known = {entry.name: entry.title.partition(" (")[0] for entry in catalogue.entries()}
    titles = {}
    for name in names:
        checkpoint, _, implementation = name.removeprefix(SHIPPED_PREFIX).partition("/")
        title = known.get(checkpoint) if name.startswith(SHIPPED_PREFIX) else None
        titles[name] = f"{title}{f' · {implementation}' if implementation else ''}" if title else name
    return titles


def classifier_of(run: Run) -> str | None:
    """The classifier that a run has left, by its name in the catalogue; None while there is none."""
    if run.is_active or run.folder is None:
        return None
    shipped = run.name.startswith(SHIPPED_PREFIX)
    name = run.folder.name if shipped else f"runs/{run.folder.name}"
    return name if catalogue.checkpoint_folder(name) is not None else None


def _body(run: Run, view: View) -> None:
    was_active = run.is_active
    if was_active:  # drawn again by itself: see how it stands by now
        job = next((job for job in current_jobs() if job.name == run.name), None)
        run = Run(run.name, run.folder, job)
    history = run.history()
    settings = settings_of_run(run, history)
    verdict = judge(history, settings)
    main, side = st.columns([3, 2], gap="medium")
    charts = [run_chart(history, quantity, view, verdict) for quantity in view.quantities] if history else []
    with main.container(key="tm_main"):
        for chart in charts[:1]:
            draw(chart, "tm_chart_0", height="stretch")
        if not history:
            st.info(_why_empty(run))
    with side:
        if run.job is not None:
            job_progress(run.job, history, seconds_left(history, run.job.progress), changed=_look_again)
        if was_active and not run.is_active:
            st.rerun()  # the run has ended: no more drawing every second
        if history:
            show_verdict(history, verdict)
        for number, chart in enumerate(charts[1:], start=1):
            draw(chart, f"tm_chart_{number}", height=240)
    if history:
        _details(run, history, settings)


def _why_empty(run: Run) -> str:
    state = run.job.state if run.job is not None else ""
    if state == "waiting":
        return "It starts by itself when its turn comes; this page need not stay open."
    if state == "running":
        return "Loading the data set … the first points appear in a few seconds."
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
            f" On the test images the best weights reach {test.accuracy:.2%} (95% interval {low:.2%} to "
            f"{high:.2%})."
        )
    box, icon = _KINDS.get(verdict.kind, (st.info, "info"))
    box(plain(words), icon=f":material/{icon}:")


def _details(run: Run, history: list[Record], settings: Settings) -> None:
    row = st.container(horizontal=True)
    others = [each.name for each in companions(run)]
    if others and row.button(
        "Compare the implementations", icon=":material/stacked_line_chart:", key="tm_others"
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
