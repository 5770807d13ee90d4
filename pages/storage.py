"""Storage: what Convoscope keeps on this machine, within which limits, and how to be rid of it."""

import time
from functools import partial

import streamlit as st

from core import disk, roles
from core.disk import AREAS, MB, Area, Entry
from core.errors import ConvoscopeError
from core.serving import jobs
from pages.elements.as_text import plain
from pages.elements.front_door import held_bytes, total_limit
from pages.elements.page import errors_shown, page

ENTRIES_SHOWN = 100  # entries of an area


def amount(count: float) -> str:
    """Bytes in words."""
    return f"{count / 1024 / MB:,.1f} GB" if count >= 1024 * MB else f"{count / MB:,.1f} MB"


def area_view(area: Area) -> None:
    """One area: its bar, and its entries behind a button."""
    found = disk.entries(area)
    used, limit = sum(entry.bytes for entry in found), disk.limit_of(area)
    words = f"{area.title}: {amount(used)} of {amount(limit)}"
    st.progress(min(1.0, used / limit) if limit else 1.0, words)
    key = area.folder.replace("/", "_")
    with st.container(horizontal=True, vertical_alignment="center"):
        again = (
            "made or fetched again when it is needed" if area.again else "gone for good once it is deleted"
        )
        st.caption(
            f"`{disk.home(area.folder)}`, {len(found):,} entries, {again}. "
            f"{area.variable} sets the limit in MB."
        )
        if area.again and found:
            st.button(
                "Empty", key=f"st_empty_{key}", on_click=partial(_empty, area), icon=":material/delete:"
            )
    if area.depth > 1 or not found:  # thousands of answers, whose names say nothing
        return
    panel = st.expander(f"What is in it ({len(found):,})", key=f"st_open_{key}", on_change="rerun")
    with panel:
        if panel.open:
            for entry in found[:ENTRIES_SHOWN]:
                _entry_view(area, entry)
            if len(found) > ENTRIES_SHOWN:
                st.caption(f"The {ENTRIES_SHOWN} largest of {len(found):,}.")


def _entry_view(area: Area, entry: Entry) -> None:
    left, middle, right = st.columns([5, 3, 2], vertical_alignment="center")
    left.markdown(plain(entry.name))
    days = (time.time() - entry.used) / 86_400
    middle.caption(f"{amount(entry.bytes)}, used {days:.0f} days ago" if days >= 1 else amount(entry.bytes))
    right.button(
        "Delete", key=f"st_delete_{area.folder}_{entry.name}", on_click=partial(_delete, area, entry),
        icon=":material/delete:",
    )  # fmt: skip


def _empty(area: Area) -> None:
    for entry in disk.entries(area):
        _delete(area, entry)
        if "st_refused" in st.session_state:
            return


def _delete(area: Area, entry: Entry) -> None:
    """Delete an entry; where that is refused, say why on the page that follows."""
    try:
        if area.folder == "runs" and (entry.path / jobs.JOB).exists():
            jobs.remove(entry.name)
        else:
            roles.visitor().require_teacher("delete what is stored")
            disk.delete(entry)
    except ConvoscopeError as error:
        st.session_state["st_refused"] = str(error)


with page("Storage", "See what takes room on this machine, and delete what you no longer need."):
    if refused := st.session_state.pop("st_refused", ""):
        st.error(plain(refused), icon=":material/error:")
    free = disk.free_bytes(disk.home())
    st.markdown(f"Everything lies in `{disk.home()}`; its disk has **{amount(free)}** free.")
    for one in AREAS:
        with st.container(border=True), errors_shown():
            area_view(one)
    with st.container(border=True):
        held = sum(held_bytes().values())
        st.progress(
            min(1.0, held / total_limit()),
            f"Uploads in this server's memory: {amount(held)} of {amount(total_limit())}",
        )
        st.caption("Photos and files of the sessions that are open now. They are never written to the disk.")
