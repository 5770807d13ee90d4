"""Train monitor: start a run, watch it learn, judge it, compare it, take it apart."""

import streamlit as st

from core.runs.run_list import list_runs
from pages.elements.address import tell_choice
from pages.elements.page import errors_shown, page
from pages.elements.pickers.bar import draw_bar
from pages.elements.train_monitor.ablation_view import ablation_view
from pages.elements.train_monitor.foreign_runs import drop_zone, extra_curves, foreign_runs
from pages.elements.train_monitor.run_comparison import run_comparison
from pages.elements.train_monitor.run_view import run_view
from pages.elements.train_monitor.training_form import start, training_form

PARTS = ("Watch", "New run", "Compare", "Ablation", "Import logs")

with page("Train monitor", "Is it still learning, and when did it start to memorize?"):
    follow = st.session_state.pop("tm_part_next", None)
    if follow:
        st.session_state["tm_part"] = follow
    bar = draw_bar()
    with bar.controls:
        part = st.segmented_control(
            "Part", PARTS, default="Watch", key="tm_part", bind="query-params",
            label_visibility="collapsed", required=True, wrap=True,
        )  # fmt: skip
    for key, parts in {"tm_run": ("Watch", "Import logs"), "tm_runs": ("Compare",)}.items():
        if part not in parts:
            tell_choice(key, [])
    match part:
        case "New run":
            with errors_shown():
                wanted = training_form("tm")
                if wanted is not None:
                    start(*wanted)
                    st.session_state["tm_run_next"] = wanted[0]
                    st.session_state["tm_part_next"] = "Watch"
                    st.rerun()
        case "Compare":
            run_comparison(list_runs() + foreign_runs(), bar)
        case "Ablation":
            ablation_view(list_runs())
        case "Import logs":
            drop_zone()
            if foreign_runs():
                run_view(foreign_runs(), bar)
                extra_curves()
        case _:
            run_view(list_runs() + foreign_runs(), bar)
