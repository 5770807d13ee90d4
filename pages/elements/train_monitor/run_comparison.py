"""Runs over each other: their curves, every setting that differs, and what each reached at its best epoch."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.history import MeasuredAccuracy, Record
from core.runs.ablation_study import differing_settings
from core.runs.differences import base_of, changed_settings, run_difference
from core.runs.run_list import (
    SHIPPED_PREFIX,
    Run,
    RunFigures,
    Settings,
    best_figures,
    families,
    settings_of_run,
)
from pages.elements.address import adopt_choice, tell_choice
from pages.elements.page import errors_shown
from pages.elements.pickers.bar import Bar
from pages.elements.train_monitor.run_view import titles_of
from pages.elements.train_monitor.training_curves import (
    MOST_COLORS,
    View,
    as_csv,
    comparison_chart,
    draw_grid,
    view_controls,
)

MOST_RUNS_COMPARED = 40
_PERCENT = st.column_config.NumberColumn(format="percent")
_RUNS = "tm_runs"
_AGAINST = "tm_against"
_ACTIVATIONS, _IMPLEMENTATIONS = ("relu", "tanh", "sigmoid", "linear"), ("", "/pytorch", "/scikit-learn")
_PRESETS = {
    "Four activations": tuple(f"fashion_mnist_mlp_{name}" for name in _ACTIVATIONS),
    "Three implementations": tuple(f"fashion_mnist_mlp_relu{name}" for name in _IMPLEMENTATIONS),
}


def run_comparison(runs: list[Run], bar: Bar) -> None:
    """Choose runs and see them together; before anyone has chosen, the first preset whose runs are here."""
    known = {run.name: run for run in runs}
    if len(known) < 2:
        st.info("There is nothing to compare yet: start a second run with one thing changed.")
        return
    names = _choose_runs(runs, bar)
    with bar.drawer():
        view = view_controls("tm")
        place = st.container()
    if len(names) < 2:
        st.info("Choose two runs or more: their curves are laid over each other, and what differs is listed.")
        return
    chosen = [known[name] for name in names]
    every = 2.0 if any(run.is_active for run in chosen) else None
    against = _base_and_factor(chosen, place)

    def body() -> None:
        with errors_shown():
            compare(chosen, view, *against)

    st.fragment(body, run_every=every)()


def presets(names: Iterable[str]) -> dict[str, list[str]]:
    """Runs that ship and are worth comparing, by what that shows: those of which all runs are here."""
    known = set(names)
    found = {title: [SHIPPED_PREFIX + name for name in members] for title, members in _PRESETS.items()}
    return {title: members for title, members in found.items() if known.issuperset(members)}


def _choose_runs(runs: list[Run], bar: Bar) -> list[str]:
    """The chip of the runs, and presets beside it."""
    names = [run.name for run in runs]
    offered = presets(names)
    follow = st.session_state.pop(f"{_RUNS}_next", None)
    if follow:
        for key in (_AGAINST, "tm_group"):  # they were of other runs
            st.session_state.pop(key, None)
    first = next(iter(offered.values()), [])
    before = follow or adopt_choice(_RUNS) or st.session_state.get(_RUNS, first)
    st.session_state[_RUNS] = [name for name in before if name in names][:MOST_RUNS_COMPARED]
    titles = titles_of(names)
    with bar.chips:
        with st.popover(f"{len(st.session_state[_RUNS])} runs", key="chip_runs"):
            chosen = st.multiselect(
                "Runs", names, key=_RUNS, max_selections=MOST_RUNS_COMPARED, width=420,
                format_func=titles.__getitem__, placeholder="Choose two or more; type to find them",
            )  # fmt: skip
            for title, members in families(runs).items():
                _offer(f"{title} ({len(members)})", title, members)
        for title, members in offered.items():
            _offer(title, title, members)
    tell_choice(_RUNS, chosen)
    return list(chosen)


def _offer(label: str, title: str, names: list[str]) -> None:
    if st.button(label, icon=":material/stacked_line_chart:", key=f"tm_of_{title}"):
        st.session_state[f"{_RUNS}_next"] = names
        st.rerun()


def compare(runs: list[Run], view: View, base: str, factor: str | None) -> None:
    """Draw charts and tables of these runs.

    Args:
        base: The run that the others are measured against.
        factor: A setting: runs with the same value of it have one color. None gives each its own.
    """
    histories = {run.name: run.history() for run in runs}
    settings = {run.name: settings_of_run(run, histories[run.name]) for run in runs}
    differing = differing_settings(settings)
    groups = None
    if factor in differing:
        groups = {name: f"{factor} {_shown(differing[factor][name])}" for name in histories}
    short = short_names(list(histories))
    shown = {short[name]: history for name, history in histories.items()}
    labels = {short[name]: group for name, group in groups.items()} if groups else None
    charts = [comparison_chart(shown, quantity, view, labels) for quantity in view.quantities]
    draw_grid(charts, "tm_compare", height=400)
    words = "Solid lines: validation images. Dashed lines: training images."
    if len(set(groups.values() if groups else histories)) > MOST_COLORS:
        words += f" The first {MOST_COLORS} have colors, the others are gray: group them by a setting (⚙)."
    st.caption(words)
    figures = {name: best_figures(history) for name, history in histories.items()}
    if groups:
        st.dataframe(
            _grouped(groups, figures), hide_index=True,
            column_config=dict.fromkeys(("mean accuracy", "lowest", "highest", "mean gap"), _PERCENT),
        )  # fmt: skip
    _tables(base, settings, differing, figures, short)
    _download(histories)


def _base_and_factor(runs: Sequence[Run], place: DeltaGenerator) -> tuple[str, str | None]:
    """Choose the run that the others are measured against, and a setting to group by."""
    settings = {run.name: settings_of_run(run) for run in runs}
    differing = differing_settings(settings)
    titles = titles_of(settings)
    given = adopt_choice(_AGAINST) or [str(st.session_state.get(_AGAINST))]
    st.session_state[_AGAINST] = given[0] if given[0] in settings else base_of(settings)
    base = place.selectbox(
        "Against", list(settings), key=_AGAINST, format_func=titles.__getitem__,
        help="The run that the others are measured against: by default, the one they have most in common "
        "with.",
    )  # fmt: skip
    tell_choice(_AGAINST, [base])
    if not differing:
        return base, None
    if st.session_state.get("tm_group") not in (None, *differing):
        del st.session_state["tm_group"]
    factor = place.selectbox(
        "Group by", list(differing), None, key="tm_group", bind="query-params",
        placeholder=f"one of {len(differing)} settings that differ",
        help="Runs with the same value get one color in the charts and one line in a table.",
    )  # fmt: skip
    return base, factor


def _tables(
    base: str, settings: Mapping[str, Settings], differing: Mapping[str, Settings],
    figures: Mapping[str, RunFigures | None], short: Mapping[str, str],
) -> None:  # fmt: skip
    table = comparison_table(differing, figures)
    table.insert(1, "differs in", [_otherwise(settings[base], settings[name]) for name in table["run"]])
    sentences = {name: run_difference(settings[base], settings[name], figures[base], figures[name]).sentence
                 for name in figures if name != base}  # fmt: skip
    table.insert(2, f"against {short[base]}", [sentences.get(name, "—") for name in table["run"]])
    table["run"] = [short[name] for name in table["run"]]
    shares = [c for c in table if c.endswith(("accuracy", "gap")) and c not in differing]
    st.dataframe(table, hide_index=True, column_config=dict.fromkeys(shares, _PERCENT))
    st.caption(
        "Accuracies of the best epoch. “Against” compares test accuracies where both runs have one, and "
        "otherwise those on the images held out. Its 95% interval covers the chance in the choice of "
        "images, not that in the first weights: for that, run an ablation with several seeds."
    )


def _download(histories: Mapping[str, list[Record]]) -> None:
    st.download_button(
        "CSV of these curves", lambda: as_csv(histories), "comparison.csv", "text/csv",
        icon=":material/download:", key="tm_compare_csv", on_click="ignore",
    )  # fmt: skip


def short_names(names: list[str]) -> dict[str, str]:
    """Names without the beginning that all of them share, up to a word's end: what tells them apart."""
    first, last = min(names), max(names)
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    cut = max(first[:same].rfind(mark) for mark in "/_-. ") + 1
    return {name: name[cut:] or name for name in names}


def _otherwise(base: Settings, other: Settings) -> str:
    """What is set differently from the base run, in one line."""
    return (
        ", ".join(f"{name} {_shown(value)}" for name, value in changed_settings(base, other).items()) or "—"
    )


def comparison_table(
    differing: Mapping[str, Settings], figures: Mapping[str, RunFigures | None]
) -> pd.DataFrame:
    """One line a run, the best first: the best epoch's figures, the test's, and what differs.

    Args:
        differing: The settings in which runs differ, each with its value by run.
        figures: What each run reached; None where no epoch has ended.
    """
    tested = any(reached and reached.test for reached in figures.values())
    rows = []
    for name, reached in figures.items():
        test = reached.test if reached else None
        row: dict[str, object] = {"run": name}
        if tested:
            row["test accuracy"] = test.accuracy if test else None
            row["95% interval"] = _interval(test) if test else ""
        row |= {
            "validation accuracy": reached and reached.validation_accuracy,
            "validation loss": reached and reached.validation_loss,
            "training accuracy": reached and reached.train_accuracy,
            "gap": reached and reached.gap,
            "best epoch": reached and reached.best_epoch,
            "epochs done": reached and reached.epochs,
            "seconds an epoch": reached and reached.seconds_an_epoch,
        }
        row |= {setting: _shown(values[name]) for setting, values in differing.items()}
        rows.append(row)
    return pd.DataFrame(rows).sort_values("validation accuracy", ascending=False, na_position="last")


def _interval(test: MeasuredAccuracy) -> str:
    low, high = test.interval
    return f"{100 * low:.2f} to {100 * high:.2f}%"


def _grouped(groups: Mapping[str, str], figures: Mapping[str, RunFigures | None]) -> pd.DataFrame:
    """One line a value of the factor: how its runs did at their best epochs."""
    frame = pd.DataFrame(
        [
            {
                "value": groups[name],
                "accuracy": reached and reached.validation_accuracy,
                "gap": reached and reached.gap,
            }
            for name, reached in figures.items()
        ]
    )
    frame = frame.astype({"accuracy": float, "gap": float})
    summed = frame.groupby("value", sort=False).agg(
        runs=("accuracy", "size"),
        mean=("accuracy", "mean"),
        lowest=("accuracy", "min"),
        highest=("accuracy", "max"),
        gap=("gap", "mean"),
    )
    named = summed.reset_index().rename(columns={"mean": "mean accuracy", "gap": "mean gap"})
    return named.sort_values("mean accuracy", ascending=False)


def _shown(value: object) -> str:
    return "—" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
