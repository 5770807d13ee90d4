"""Histories from elsewhere, kept for the session they were dropped into."""

import streamlit as st

from core.errors import ConvoscopeError
from core.runs.foreign_history import read_foreign
from core.runs.run_list import Run
from pages.elements.as_text import plain
from pages.elements.visitor import taken

_KEPT = 30


def foreign_runs() -> list[Run]:
    """The runs that were dropped in by this session, the latest first."""
    held = st.session_state.get("tm_foreign", {})
    return [Run(name, records=records) for name, records in reversed(held.items())]


def drop_zone() -> None:
    """Take files and keep their records."""
    st.markdown(
        "Drop in a CSV, a TensorBoard event file (`events.out.tfevents…`) or a `history.jsonl`. What a "
        "column means is told from its name, such as `epoch`, `train_loss`, `val_acc` or `lr`. Nobody else "
        "sees it."
    )
    files = st.file_uploader("Histories", accept_multiple_files=True, key="tm_files")
    held = dict(st.session_state.get("tm_foreign", {}))
    seen = st.session_state.setdefault("tm_files_read", set())
    for file in files or ():
        if file.file_id in seen:
            continue
        try:
            found = read_foreign(file.name, file.getvalue())
        except ConvoscopeError as error:
            st.error(plain(str(error)), icon=":material/error:")
            continue
        seen.add(file.file_id)
        taken(file)
        for name, records in found.items():
            stem = f"dropped/{name}"
            free = next(n for i in range(1, 1000) if (n := stem if i == 1 else f"{stem} {i}") not in held)
            held[free] = tuple(records)
            st.session_state["tm_run_next"] = free
    st.session_state["tm_foreign"] = dict(list(held.items())[-_KEPT:])
