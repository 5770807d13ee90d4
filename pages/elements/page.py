"""The frame of every page: its title, one sentence on what can be done here, and no traceback."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import streamlit as st

from core.disk import sentence_of
from core.errors import ConvoscopeError
from pages.elements import visitor  # noqa: F401  (importing it tells core who asks)
from pages.elements.address import adopt_old_words
from pages.elements.as_text import as_written
from pages.elements.present import present_button

log = logging.getLogger(__name__)
ICON = str(Path(__file__).with_name("icon.svg"))
_STYLE = f"<style>{Path(__file__).with_name('page.css').read_text('utf-8')}</style>"
SIDEBAR = 220  # pixels


@contextmanager
def page(title: str, lead: str) -> Iterator[None]:
    """Everything a page draws goes inside: `with page("Occlusion", "Hide a part …"):`.

    An error that the user can put right is shown as its own sentence, where it happened; so is what the disk
    refuses. Any other is a defect of ours: it is logged in full and said to be one. The page lives on.
    """
    st.set_page_config(f"{title} · Convoscope", ICON, layout="wide", initial_sidebar_state=SIDEBAR)
    adopt_old_words()
    st.html(_STYLE)
    st.session_state["page"] = title
    with st.container(key="head", horizontal=True, vertical_alignment="bottom"):
        st.title(title, anchor=False, width="content")
        st.markdown(f":small[:gray[{lead}]]", width="stretch")
        with st.container(key="present_button", width="content"):
            present_button()
    with errors_shown():
        yield


@contextmanager
def errors_shown() -> Iterator[None]:
    """Show what goes wrong in this part of the page, and let the rest of it be drawn."""
    try:
        yield
    except ConvoscopeError as error:
        st.error(as_written(error), icon=":material/error:")
    except OSError as error:
        sentence = sentence_of(error)
        if sentence is None:
            _show_defect(error)
        else:
            st.error(as_written(sentence), icon=":material/error:")
    except Exception as error:  # noqa: BLE001
        _show_defect(error)


def _show_defect(error: Exception) -> None:
    log.error("a page failed", exc_info=error)
    st.error(
        f"This is a defect in Convoscope, not something you did ({type(error).__name__}). "
        "The server's log has the details; everything you chose is still here.",
        icon=":material/bug_report:",
    )
