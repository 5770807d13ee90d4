"""Ablation: what to change about a run, the queue of trainings, and what each change brought."""

from collections.abc import Callable

import pandas as pd
import streamlit as st

from core.errors import ConvoscopeError
from core.history import StartRecord, of_kind
from core.runs.ablation_plans import Ablation, forget_ablation, list_ablations, save_ablation
from core.runs.ablation_study import BASE_RUN, Row, changes_for
from core.runs.run_list import Run, Settings, best_figures, current_jobs, settings_of_run
from core.serving import jobs
from core.training.training_settings import TrainingSettings
from pages.elements.as_text import plain
from pages.elements.page import errors_shown
from pages.elements.train_monitor.job_progress import duration
from pages.elements.train_monitor.training_curves import Chart
from pages.elements.train_monitor.training_form import free_name, start

MOST_RUNS_AT_ONCE = 200
SECONDS_TO_START = 5.0  # of a run's process, before its first step
_NEW = "A new ablation"


def ablation_view(runs: list[Run]) -> None:
    """Choose an ablation to look at, or plan one."""
    known = {ablation.name: ablation for ablation in list_ablations()}
    follow = st.session_state.pop("tm_ablation_next", None)
    if follow in (*known, _NEW):
        st.session_state["tm_ablation"] = follow
    elif st.session_state.get("tm_ablation") not in (None, _NEW, *known):
        del st.session_state["tm_ablation"]
    chosen = st.selectbox("Ablation", [*known, _NEW], key="tm_ablation", bind="query-params")
    if chosen in known:
        _look(known[chosen])
    else:
        with errors_shown():
            _plan(runs)


def _plan(runs: list[Run]) -> None:
    from core.models.architectures import models

    bases = {run.name: settings for run in runs if (settings := _train_settings(run))}
    if not bases:
        st.info(
            "An ablation starts from a run: train one under **New run**, then change one thing at a time."
        )
        return
    st.markdown(
        "Every change is tried alone, against the base run, with several seeds. The same seed gives the same "
        "split and the same order of images, so that differences are taken pair by pair."
    )
    left, right = st.columns(2)
    if st.session_state.get("tm_base") not in (None, *bases):
        del st.session_state["tm_base"]
    base_run = left.selectbox("Base run", list(bases), key="tm_base", bind="query-params")
    base, planned = bases[base_run], TrainingSettings.of(bases[base_run])
    flat = settings_of_run(next(run for run in runs if run.name == base_run))
    network = {s.name: flat.get(s.name, s.default) for s in models[planned.architecture].settings}
    offered = {change.title: change for change in changes_for(base, network)}
    suggested = free_name(f"ablation_{base_run}")
    name = right.text_input("Name", key="tm_ablation_name", placeholder=suggested, max_chars=60) or suggested
    if "tm_changes" in st.session_state:
        st.session_state["tm_changes"] = [t for t in st.session_state["tm_changes"] if t in offered]
    ticked = st.pills("Change", list(offered), selection_mode="multi", key="tm_changes", wrap=True)
    columns = st.columns(4, vertical_alignment="bottom")
    count = columns[0].number_input("Seeds", 1, 20, 2, key="tm_seeds", bind="query-params")
    epochs = columns[1].number_input(
        "Epochs", 1, 1000, planned.epochs, key=f"tm_ablation_epochs_{base_run}",
        help="For every run, the base run included. Fewer are quicker, but differences may change.",
    )  # fmt: skip
    size = columns[2].number_input(
        "Train images", 2, None, planned.train_images, placeholder="all of them",
        key=f"tm_ablation_images_{base_run}", help="For every run; the seed draws which images.",
    )  # fmt: skip
    changes = [offered[title] for title in ticked or ()]
    total = int(count) * (len(changes) + 1)
    pressed = columns[3].button(
        f"Queue {total} runs" if changes else "Queue", type="primary", icon=":material/playlist_add:",
        width="stretch", disabled=not changes, key="tm_queue",
    )  # fmt: skip
    st.caption(
        _estimate(runs, base_run, base, total, int(epochs), size) if changes else "Choose what to change."
    )
    if not pressed:
        return
    if total > MOST_RUNS_AT_ONCE:
        st.error(
            f"That makes {total} runs; at most {MOST_RUNS_AT_ONCE} are queued at once. Take fewer changes "
            "or seeds."
        )
        return
    settings = {**base, "epochs": int(epochs), "train_images": size}
    _queue(save_ablation(name, base_run, settings, changes, range(planned.seed, planned.seed + int(count))))
    st.session_state["tm_ablation_next"] = name
    st.rerun()


def _queue(ablation: Ablation) -> None:
    from core.training.training_settings import TrainingSettings

    defaults = TrainingSettings().as_values()
    try:
        for run in ablation.runs():
            given = {k: v for k, v in run.options.items() if v != defaults.get(k) or k == "seed"}
            start(run.name, given)
    except ConvoscopeError:
        forget_ablation(ablation.name)
        raise
    current_jobs(now=True)


def _estimate(
    runs: list[Run], base_run: str, base: Settings, total: int, epochs: int, size: int | None
) -> str:
    """How long it will take if every run is as quick as the base run was."""
    history = next(run for run in runs if run.name == base_run).history()
    figures, starts = best_figures(history), list(of_kind(history, StartRecord))
    if figures is None or not figures.seconds_an_epoch or not starts:
        return f"{total} runs, one after another."
    share = min(1.0, size / max(1, starts[-1].train_images)) if size else 1.0
    each = figures.seconds_an_epoch * epochs * share + SECONDS_TO_START
    return f"{total} runs, one after another: about {duration(each * total)}."


def _train_settings(run: Run) -> Settings | None:
    """All settings that a training was started with; None for a run of another kind."""
    starts = [r for r in of_kind(run.history(), StartRecord) if "optimizer" in r.settings]
    return dict(starts[-1].settings) if starts else None


def _look(ablation: Ablation) -> None:
    names = {run.name for run in ablation.runs()}
    active = any(job.name in names and job.state in ("waiting", "running") for job in current_jobs())

    def body() -> None:
        with errors_shown():
            _table(ablation, was_active=active)

    st.fragment(body, run_every=2.0 if active else None)()


def _table(ablation: Ablation, *, was_active: bool) -> None:
    names = [run.name for run in ablation.runs()]
    states = {job.name: job.state for job in current_jobs() if job.name in set(names)}
    rows = ablation.table()
    done = sum(len(row.values) for row in rows)
    active = [n for n in names if states.get(n) in ("waiting", "running", "stopping")]
    if was_active and not active:
        st.rerun()
    left, right = st.columns([5, 3], vertical_alignment="center")
    running = [n for n in names if states.get(n) == "running"]
    failed = [n for n in names if states.get(n) == "failed"]
    words = f"**{done} of {len(names)}** runs are done"
    words += f" · running: {plain(', '.join(running))}" if running else ""
    words += f" · failed: {plain(', '.join(failed))}" if failed else ""
    left.progress(done / len(names), words)
    with right.container(horizontal=True, horizontal_alignment="right"):
        _buttons(ablation, names, states)
    if any(row.difference for row in rows):
        st.echarts_chart(
            differences_chart(rows), height=96 + 36 * max(1, len(rows) - 1), key="tm_ablation_chart",
            alt="Difference of each change to the base run, with its interval",
        )  # fmt: skip
    st.dataframe(
        ablation_frame(rows, ablation.seeds), hide_index=True,
        column_config={f"seed {seed}": st.column_config.TextColumn(width=135) for seed in ablation.seeds}
        | {"what it brought": st.column_config.TextColumn(width=380)},
    )  # fmt: skip
    st.caption(
        "Accuracy on the images held out, at each run's best epoch. The interval is Student's t over the "
        "seeds; with few seeds it is wide, as it has to be."
    )


def _buttons(ablation: Ablation, names: list[str], states: dict[str, str]) -> None:
    if st.button("Compare the curves", icon=":material/stacked_line_chart:", key="tm_ablation_compare"):
        st.session_state["tm_runs_next"] = names
        st.session_state["tm_part_next"] = "Compare"
        st.rerun()
    active = [n for n in names if states.get(n) in ("waiting", "running")]
    if active and st.button("Stop all", icon=":material/stop:", key="tm_ablation_stop"):
        for name in reversed(active):  # those that wait first, so that none of them starts
            _quietly(jobs.stop, name)
        current_jobs(now=True)
        st.rerun()
    left = [n for n in names if states.get(n) in ("stopped", "failed")]
    if left and not active and st.button("Resume", icon=":material/play_arrow:", key="tm_ablation_resume"):
        for name in left:
            _quietly(jobs.resume, name)
        current_jobs(now=True)
        st.rerun()


def _quietly(action: Callable[[str], object], name: str) -> None:
    try:
        action(name)
    except ConvoscopeError as error:  # it ended in the meantime
        st.toast(plain(str(error)))


def ablation_frame(rows: list[Row], seeds: tuple[int, ...]) -> pd.DataFrame:
    """The table: a line a change, its accuracies by seed, and the difference to the base in words."""
    sentences = [row.sentence.rstrip(".").partition("): ") for row in rows]
    parts = [(said + ")" * bool(colon), judged) for said, colon, judged in sentences]
    return pd.DataFrame(
        [
            {
                "change": row.title,
                **{
                    f"seed {seed}": f"{row.values[seed]:.2%} (epoch {row.best_epochs[seed]})"
                    if seed in row.values
                    else "…"
                    for seed in seeds
                },
                "judgment": judged,
                "what it brought": brought,
            }
            for row, (brought, judged) in zip(rows, parts, strict=True)
        ]
    )


def differences_chart(rows: list[Row]) -> Chart:
    """Differences in points: a dot for the mean, a line for the interval, small dots for the seeds."""
    changed = [row for row in rows if row.change != BASE_RUN][::-1]
    series: list[Chart] = []
    means, seeds = [], []
    for place, row in enumerate(changed):
        if row.difference is None:
            continue
        color = (
            "#8a949c"
            if row.difference.could_be_noise
            else "#2e9e5b"
            if row.difference.mean > 0
            else "#c0392b"
        )
        means.append({"value": [100 * row.difference.mean, place], "itemStyle": {"color": color}})
        seeds += [[100 * value, place] for value in row.difference.differences]
        if row.difference.interval:
            series.append({
                "type": "line", "data": [[100 * end, place] for end in row.difference.interval],
                "symbol": "none", "lineStyle": {"width": 3, "color": color}, "silent": True,
                "animation": False, "tooltip": {"show": False},
            })  # fmt: skip
    dots = {"type": "scatter", "animation": False}
    zero = {"symbol": "none", "silent": True, "data": [{"xAxis": 0}], "label": {"show": False},
            "lineStyle": {"color": "#8a949c"}, "animation": False}  # fmt: skip
    series.append(
        dots | {"name": "a seed", "data": seeds, "symbolSize": 6, "itemStyle": {"color": "#8a949c"}}
    )
    series.append(dots | {"name": "mean", "data": means, "symbolSize": 13, "markLine": zero})
    return {
        "grid": {"left": 8, "right": 24, "top": 8, "bottom": 40, "containLabel": True},
        "tooltip": {"trigger": "item", "valueFormatter": "%.2f"},
        "xAxis": {"type": "value", "name": "points of accuracy more than the base run",
                  "nameLocation": "middle", "nameGap": 24},
        "yAxis": {"type": "category", "data": [row.title for row in changed]},
        "series": series,
    }  # fmt: skip
