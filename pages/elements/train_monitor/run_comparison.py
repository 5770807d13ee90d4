"""Runs over each other: their curves, every setting that differs, and what each reached at its best epoch."""

from collections.abc import Mapping

import pandas as pd
import streamlit as st

from core.history import MeasuredAccuracy, Record
from core.runs.ablation_study import differing_settings
from core.runs.differences import base_of, changed_settings, run_difference
from core.runs.run_list import Run, RunFigures, Settings, best_figures, families, settings_of_run
from pages.elements.address import adopt_choice, tell_choice
from pages.elements.page import errors_shown
from pages.elements.train_monitor.training_curves import (
    View,
    as_csv,
    comparison_chart,
    draw_grid,
    view_controls,
)

MOST_RUNS_COMPARED = 40  # more colors than that cannot be told apart
_PERCENT = st.column_config.NumberColumn(format="percent")


def run_comparison(runs: list[Run]) -> None:
    """Choose runs and see them together."""
    known = {run.name: run for run in runs}
    if len(known) < 2:
        st.info("There is nothing to compare yet: start a second run with one thing changed.")
        return
    follow = st.session_state.pop("tm_runs_next", None)
    if follow:
        for key in ("tm_against", "tm_group"):  # they were of other runs
            st.session_state.pop(key, None)
    chosen_before = follow or adopt_choice("tm_runs") or st.session_state.get("tm_runs", [])
    st.session_state["tm_runs"] = [name for name in chosen_before if name in known][:MOST_RUNS_COMPARED]
    names = st.multiselect(
        "Runs", list(known), key="tm_runs", max_selections=MOST_RUNS_COMPARED,
        placeholder="Choose two or more; type to find them",
    )  # fmt: skip
    tell_choice("tm_runs", names)
    view = view_controls("tm")
    if len(names) < 2:
        st.info("Choose two runs or more: their curves are laid over each other, and what differs is listed.")
        _offer_families(runs)
        return
    chosen = [known[name] for name in names]
    every = 2.0 if any(run.is_active for run in chosen) else None

    def body() -> None:
        with errors_shown():
            compare(chosen, view)

    st.fragment(body, run_every=every)()


def compare(runs: list[Run], view: View) -> None:
    """Draw charts and tables of these runs."""
    histories = {run.name: run.history() for run in runs}
    settings = {run.name: settings_of_run(run, histories[run.name]) for run in runs}
    differing = differing_settings(settings)
    base, factor = _base_and_factor(settings, differing)
    groups = None
    if factor is not None:
        groups = {name: f"{factor} {_shown(differing[factor][name])}" for name in histories}
    short = short_names(list(histories))
    shown = {short[name]: history for name, history in histories.items()}
    labels = {short[name]: group for name, group in groups.items()} if groups else None
    draw_grid([comparison_chart(shown, quantity, view, labels) for quantity in view.quantities], "tm_compare")
    st.caption("Solid: images held out. Dashed: training images.")
    figures = {name: best_figures(history) for name, history in histories.items()}
    if groups:
        st.dataframe(
            _grouped(groups, figures), hide_index=True,
            column_config=dict.fromkeys(("mean accuracy", "lowest", "highest", "mean gap"), _PERCENT),
        )  # fmt: skip
    _tables(base, settings, differing, figures, short)
    _download(histories)


def _base_and_factor(
    settings: Mapping[str, Settings], differing: Mapping[str, Settings]
) -> tuple[str, str | None]:
    """Choose the run that the others are measured against, and a setting to group by."""
    row = st.container(horizontal=True)
    if st.session_state.get("tm_against") not in (None, *settings):
        del st.session_state["tm_against"]
    base = row.selectbox(
        "Against", list(settings), list(settings).index(base_of(settings)), key="tm_against",
        bind="query-params", width=320,
        help="The run that the others are measured against: at first the one they have most in common with.",
    )  # fmt: skip
    if not differing:
        return base, None
    if st.session_state.get("tm_group") not in (None, *differing):
        del st.session_state["tm_group"]
    factor = row.selectbox(
        "Group by", list(differing), None, key="tm_group", bind="query-params", width=320,
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
        "otherwise those on the images held out. Its 95 % interval counts the chance in which images these "
        "are, not the chance in the first weights: for that, run an ablation with several seeds."
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


def _offer_families(runs: list[Run]) -> None:
    """Runs that ship and belong together, at one click."""
    found = families(runs)
    if not found:
        return
    with st.container(horizontal=True):
        for title, names in found.items():
            if st.button(
                f"{title} ({len(names)})", icon=":material/stacked_line_chart:", key=f"tm_of_{title}"
            ):
                st.session_state["tm_runs_next"] = names
                st.rerun()


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
            row["95 % interval"] = _interval(test) if test else ""
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
    return f"{100 * low:.2f} to {100 * high:.2f} %"


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
