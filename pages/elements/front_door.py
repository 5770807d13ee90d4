"""What stands before Streamlit: how much may be uploaded, and which browser is whose.

Each browser gets a cookie with a secret, by which what it started is known to be its own. The teacher's link
(`/teacher?token=…`) turns the token into a cookie and leads on to the app, so that it stands in no address
that could be shared. Both cookies are out of reach of scripts.
"""

import os
import secrets
import threading
from collections import Counter
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs

import psutil
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.runtime import Runtime
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager

from core import roles

VISITOR_COOKIE, TEACHER_COOKIE = "convoscope_visitor", "convoscope_teacher"
COOKIE_SECONDS = 180 * 24 * 3600
UPLOAD_PATH = "/_stcore/upload_file/"
MB = 2**20
SESSION_MB = 1100  # of one session: one file of the largest size that is taken, and some photos
CLASS_SESSION_MB = 64  # of one session in a class: photos
SHARE_OF_MEMORY = 0.25  # of this machine, for all uploads together


class FrontDoor:
    """The middleware. `app.py` puts it before everything else."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.arriving: Counter[str] = Counter()  # bytes on their way, by session
        self.lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = str(scope["path"])
        if scope["method"] == "PUT" and UPLOAD_PATH in path:
            await self._upload(scope, receive, send)
        elif path.endswith("/teacher") and roles.class_mode():
            await self._teacher(scope, receive, send)
        else:
            await self._with_cookie(scope, receive, send)

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        session = str(scope["path"]).partition(UPLOAD_PATH)[2].partition("/")[0]
        length = Headers(scope=scope).get("content-length", "")
        if not length.isdigit():
            await PlainTextResponse("The upload must say how long it is.", 411)(scope, receive, send)
            return
        cookies = cookie_parser(Headers(scope=scope).get("cookie", ""))
        visitor = roles.visitor_of("", cookies.get(TEACHER_COOKIE, ""))
        with self.lock:
            refused = too_much(session, int(length), self.arriving, session_limit(visitor))
            if not refused:
                self.arriving[session] += int(length)
        if refused:
            await PlainTextResponse(refused, 413)(scope, receive, send)
            return
        try:
            await self.app(scope, receive, send)
        finally:
            with self.lock:
                self.arriving[session] -= int(length)
                if not self.arriving[session]:
                    del self.arriving[session]

    async def _teacher(self, scope: Scope, receive: Receive, send: Send) -> None:
        token = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
        headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
        if not roles.is_teacher(token):
            words = "This is not the teacher's link of this server, which is printed where it was started."
            await PlainTextResponse(words, 403, headers)(scope, receive, send)
            return
        response = RedirectResponse("./", 303, headers)
        response.headers.append("Set-Cookie", _cookie(TEACHER_COOKIE, token, scope))
        await response(scope, receive, send)

    async def _with_cookie(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        known = VISITOR_COOKIE in cookie_parser(headers.get("cookie", ""))
        if known or scope["method"] != "GET" or "text/html" not in headers.get("accept", ""):
            await self.app(scope, receive, send)
            return

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                cookie = _cookie(VISITOR_COOKIE, secrets.token_urlsafe(24), scope)
                MutableHeaders(scope=message).append("Set-Cookie", cookie)
            await send(message)

        await self.app(scope, receive, send_with_cookie)


def too_much(session: str, length: int, arriving: Counter[str], limit: int) -> str:
    """Why an upload is refused; "" where there is room for it.

    Files of sessions that have ended are dropped first, where the room for all is used up.
    """
    held = held_bytes()
    own = held.get(session, 0) + arriving[session] + length
    if own > limit:
        return f"This session's uploads would take {own / MB:,.0f} MB; {limit / MB:,.0f} are allowed."
    everyone = sum(held.values()) + sum(arriving.values()) + length
    if everyone > total_limit():
        everyone -= drop_ended_sessions()
    if everyone > total_limit():
        return "The server holds as many uploads as it can: try again later, or with a smaller file."
    return ""


def session_limit(visitor: roles.Visitor) -> int:
    """Bytes of uploads that one session of this visitor may have in memory."""
    default = SESSION_MB if visitor.may_all else CLASS_SESSION_MB
    return int(os.environ.get("CONVOSCOPE_SESSION_UPLOADS_MB", default)) * MB


def total_limit() -> int:
    """Bytes of uploads that all sessions may have in memory."""
    given = os.environ.get("CONVOSCOPE_ALL_UPLOADS_MB")
    return int(given) * MB if given else round(SHARE_OF_MEMORY * psutil.virtual_memory().total)


def held_bytes() -> dict[str, int]:
    """Bytes of uploads in memory, by session."""
    files = _files()
    if files is None:
        return {}
    return {name: sum(len(file.data) for file in list(held.values())) for name, held in _copy(files).items()}


def drop_ended_sessions() -> int:
    """Forget the uploads of sessions whose browser has gone. Returns the bytes that were freed."""
    files = _files()
    if files is None:
        return 0
    freed = 0
    for session, size in held_bytes().items():
        if not Runtime.instance().is_active_session(session):
            files.remove_session_files(session)
            freed += size
    return freed


def _files() -> MemoryUploadedFileManager | None:
    manager = Runtime.instance().uploaded_file_mgr if Runtime.exists() else None
    return manager if isinstance(manager, MemoryUploadedFileManager) else None


def _copy(files: MemoryUploadedFileManager) -> dict[str, dict[str, Any]]:
    return {name: dict(held) for name, held in list(files.file_storage.items())}


def _cookie(name: str, value: str, scope: Scope) -> str:
    cookie: SimpleCookie = SimpleCookie({name: value})
    attributes = {"path": "/", "max-age": COOKIE_SECONDS, "httponly": True, "samesite": "Lax"}
    for attribute, given in attributes.items():
        cookie[name][attribute] = given
    if scope.get("scheme") == "https":
        cookie[name]["secure"] = True
    return cookie[name].OutputString()
