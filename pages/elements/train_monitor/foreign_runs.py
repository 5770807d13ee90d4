"""Histories from elsewhere, kept for the session they were dropped into: read, asked about, drawn."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pandas as pd
import streamlit as st

from core.errors import ConvoscopeError
from core.runs.foreign.column_choice import CURVES, MEANINGS
from core.runs.foreign.reading import HistoryReading, ReadRun, read_history
from core.runs.foreign.records import plain_records
from core.runs.run_list import Run
from pages.elements.as_text import plain
from pages.elements.visitor import taken

_KEPT_FILES = 10  # files
_KEPT_BYTES = 40 * 2**20  # of a session: older files are forgotten
_WORDS = {**CURVES, "epoch": "epoch", "step": "step", "run": "name of the run", "other": "something else"}
_STEPS = {"": "as guessed", "epochs": "epochs", "batches": "batches"}


@dataclass(frozen=True)
class _Dropped:
    """A file of this session: its bytes, so that it can be read otherwise, and what was said about it."""

    name: str
    data: bytes
    reading: HistoryReading
    said: Mapping[str, str]
    steps_are: str = ""


def foreign_runs() -> list[Run]:
    """The runs that were dropped in by this session, the latest first."""
    return [Run(name, records=tuple(plain_records(run))) for name, run in reversed(_named_runs().items())]


def drop_zone() -> None:
    """Take files, say what they were taken for, and ask where that is open."""
    st.markdown(
        "Drop in a CSV or JSON file, a TensorBoard event file (`events.out.tfevents…`) or a "
        "`history.jsonl`. What "
        "a column means is told from its name, such as `epoch`, `train_loss`, `val_acc` or `lr`; what it was "
        "taken for is shown, and you can change it. Nobody else sees it."
    )
    files = st.file_uploader("Histories", accept_multiple_files=True, key="tm_files")
    held: dict[str, _Dropped] = dict(st.session_state.get("tm_foreign", {}))
    seen = st.session_state.setdefault("tm_files_read", set())
    for file in files or ():
        if file.file_id in seen:
            continue
        try:
            reading = read_history(file.name, file.getvalue())
        except ConvoscopeError as error:
            st.error(plain(str(error)), icon=":material/error:")
            continue
        seen.add(file.file_id)
        held[str(file.file_id)] = _Dropped(file.name, file.getvalue(), reading, {})
        taken(file)
        while len(held) > 1 and (
            len(held) > _KEPT_FILES or sum(len(d.data) for d in held.values()) > _KEPT_BYTES
        ):
            del held[next(iter(held))]
        st.session_state["tm_foreign"] = held
        names = list(_named_runs())
        if reading.runs and not reading.problem and names:
            st.session_state["tm_run_next"] = names[-1]
    for key, dropped in reversed(list(held.items())):
        _what_it_was_taken_for(key, dropped)


def extra_curves() -> None:
    """The columns of the chosen run that are no curves of the verdict, drawn where they are asked for."""
    run = _named_runs().get(str(st.session_state.get("tm_run", "")))
    if run is None or run.placed is None or not run.placed.others:
        return
    chosen = st.multiselect(
        "Other columns of this file", list(run.placed.others), key="tm_others_drawn",
        placeholder="Choose what else to draw: test, top-k, single classes, …",
    )  # fmt: skip
    if chosen:
        by = run.placed.others_by
        columns = {name: dict(run.placed.others[name]) for name in chosen}
        st.line_chart(
            pd.DataFrame(columns).sort_index(), x_label=by, height=300, alt="Other columns of the log"
        )


def _named_runs() -> dict[str, ReadRun]:
    """All runs of all files by the names that the page shows, each once."""
    found: dict[str, ReadRun] = {}
    for dropped in st.session_state.get("tm_foreign", {}).values():
        if dropped.reading.problem:
            continue
        for run in dropped.reading.runs:
            stem = f"dropped/{run.name}"
            number, name = 1, stem
            while name in found:
                number += 1
                name = f"{stem} {number}"
            found[name] = run
    return found


def _what_it_was_taken_for(key: str, dropped: _Dropped) -> None:
    """What a file was taken for, and the form that says it otherwise; open where something was guessed."""
    reading = dropped.reading
    if reading.problem:
        st.error(plain(reading.problem), icon=":material/error:")
    title = f"{plain(dropped.name)}: what it was taken for" + (", please check" if reading.is_open else "")
    with st.expander(title, expanded=reading.is_open, icon=":material/table_view:"):
        words, form = st.columns([3, 2])
        words.markdown("\n".join(f"- {plain(sentence)}" for sentence in reading.sentences()))
        columns = {c.metric: c.taken_for for c in reading.columns if c.is_number or c.taken_for == "run"}
        if not columns:
            return
        with form, st.form(f"tm_form_{key}", border=False):
            said = _columns_asked(key, columns)
            counted = any(c.taken_for == "step" for c in reading.columns)
            steps_are = dropped.steps_are
            if counted and "epoch" not in columns.values():
                steps_are = st.segmented_control(
                    "The steps count", list(_STEPS), default=steps_are, format_func=_STEPS.__getitem__,
                    key=f"tm_steps_{key}", required=True,
                )  # fmt: skip
            changed = st.form_submit_button("Read it this way", key=f"tm_say_{key}")
        if changed:
            _read_again(key, dropped, said, str(steps_are or ""))


def _columns_asked(key: str, columns: Mapping[str, str]) -> dict[str, str]:
    """One line a column, filled with what it was taken for; returns all that was said, now and before."""
    before: dict[str, str] = dict(st.session_state["tm_foreign"][key].said)
    shown = pd.DataFrame({"column": list(columns), "is": [_WORDS[m] for m in columns.values()]})
    edited = st.data_editor(
        shown, hide_index=True, disabled=["column"], key=f"tm_columns_{key}",
        column_config={"is": st.column_config.SelectboxColumn(options=list(_WORDS.values()), required=True)},
    )  # fmt: skip
    meanings = {_WORDS[m]: m for m in MEANINGS}
    chosen = dict(zip(edited["column"], (meanings[str(word)] for word in edited["is"]), strict=True))
    return before | {name: meaning for name, meaning in chosen.items() if meaning != columns[name]}


def _read_again(key: str, dropped: _Dropped, said: Mapping[str, str], steps_are: str) -> None:
    try:
        reading = read_history(dropped.name, dropped.data, said, steps_are=steps_are)
    except ConvoscopeError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    held = st.session_state["tm_foreign"]
    held[key] = replace(dropped, reading=reading, said=dict(said), steps_are=steps_are)
    st.session_state.pop(f"tm_columns_{key}", None)
    st.rerun()
