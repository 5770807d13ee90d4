"""Who sits at the browser of this session, and what is taken from what they upload."""

from collections.abc import Callable
from typing import TypeVar, cast

import streamlit as st
from streamlit.runtime import Runtime
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile, UploadedFileRec

from core import roles
from core.errors import ConvoscopeError
from core.roles import Visitor
from pages.elements.front_door import TEACHER_COOKIE, VISITOR_COOKIE

T = TypeVar("T")


def visitor() -> Visitor:
    """The visitor of the session whose script runs here; outside a session, the user of this machine."""
    context = get_script_run_ctx(suppress_warning=True)
    if context is None or not roles.class_mode():
        return roles.USER
    cookies = st.context.cookies
    # A browser that keeps no cookies is one visitor for as long as its session lasts.
    secret = cookies.get(VISITOR_COOKIE) or context.session_id
    if _is_listed_teacher():
        return Visitor(roles.visitor_of(secret, "").name, may_all=True)
    return roles.visitor_of(secret, cookies.get(TEACHER_COOKIE, ""))


def taken(file: UploadedFile) -> None:
    """Let go of an uploaded file's bytes, once all that is wanted of it was read; its name stays shown."""
    context = get_script_run_ctx(suppress_warning=True)
    manager = Runtime.instance().uploaded_file_mgr if Runtime.exists() else None
    if context is None or not isinstance(manager, MemoryUploadedFileManager):
        return
    if manager.get_files(context.session_id, [file.file_id]):
        manager.add_file(context.session_id, UploadedFileRec(file.file_id, file.name, file.type, b""))


def read_once(file: UploadedFile, read: Callable[[bytes, str], T], key: str) -> T:
    """What `read` made of an uploaded file's bytes and name; the bytes are let go of then.

    Args:
        key: What the session keeps it under, or the reason why it was refused, until another file comes.
    Raises:
        ConvoscopeError: What `read` raised.
    """
    held = st.session_state.get(key)
    if held is None or held[0] != file.file_id:
        found: T | None = None
        refused: ConvoscopeError | None = None
        try:
            found = read(file.getvalue(), file.name)
        except ConvoscopeError as error:
            refused = error.with_traceback(None)  # which would keep the bytes
        held = st.session_state[key] = (file.file_id, found, refused)
        taken(file)
    if held[2] is not None:
        raise held[2].with_traceback(None)
    return cast(T, held[1])


def _is_listed_teacher() -> bool:
    """Whether this visitor has logged in (`st.login`) with an address among `teachers` in secrets.toml."""
    try:
        listed = st.secrets.get("teachers", [])
    except (FileNotFoundError, KeyError):
        return False
    teachers = {str(one).casefold() for one in ([listed] if isinstance(listed, str) else listed)}
    if not st.user.get("is_logged_in") or st.user.get("email_verified") is False:
        return False
    return str(st.user.get("email") or "").casefold() in teachers


roles.set_visitor(visitor)
