"""What stands before Streamlit: limits of uploads, the teacher's link, and each browser's own cookie."""

import asyncio
from collections import Counter

import pytest

from core import roles
from pages.elements import front_door
from pages.elements.front_door import MB, TEACHER_COOKIE, VISITOR_COOKIE, FrontDoor


@pytest.fixture
def class_server(monkeypatch):
    monkeypatch.setenv(roles.CLASS, "1")
    monkeypatch.setattr(roles, "_token", None)


async def inner(scope, receive, send):
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def ask(method, path, *, query="", headers=(), door=None):
    """Status, headers and body of the answer."""
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request", "body": b""}

    scope = {
        "type": "http", "method": method, "path": path, "query_string": query.encode(), "scheme": "http",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers], "root_path": "",
    }  # fmt: skip
    asyncio.run((door or FrontDoor(inner))(scope, receive, send))
    found = [(name.decode(), value.decode()) for name, value in sent[0]["headers"]]
    return sent[0]["status"], found, b"".join(m.get("body", b"") for m in sent[1:]).decode()


def upload(size, session="s1", headers=(), door=None):
    path = f"/_stcore/upload_file/{session}/file"
    return ask("PUT", path, headers=[("Content-Length", str(size)), *headers], door=door)


def test_a_session_uploads_up_to_its_limit_and_reads_why_not_more(monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_SESSION_UPLOADS_MB", "10")
    monkeypatch.setattr(front_door, "held_bytes", lambda: {"s1": 6 * MB})
    assert upload(4 * MB)[0] == 204
    status, _, words = upload(5 * MB)
    assert (status, words) == (413, "This session's uploads would take 11 MB; 10 are allowed.")
    assert upload(5 * MB, session="s2")[0] == 204
    assert ask("PUT", "/_stcore/upload_file/s1/file")[0] == 411


def test_uploads_on_their_way_count_too():
    arriving = Counter({"s1": 6 * MB})
    assert front_door.too_much("s1", 5 * MB, arriving, 10 * MB)
    assert not front_door.too_much("s1", 4 * MB, arriving, 10 * MB)
    door = FrontDoor(inner)
    upload(MB, door=door)
    assert not door.arriving


def test_all_together_have_a_limit_and_sessions_that_ended_make_room_first(monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_ALL_UPLOADS_MB", "20")
    monkeypatch.setattr(front_door, "held_bytes", lambda: {"a": 8 * MB, "b": 8 * MB})
    monkeypatch.setattr(front_door, "drop_ended_sessions", lambda: 0)
    status, _, words = upload(5 * MB)
    assert status == 413
    assert "as many uploads as it can" in words
    monkeypatch.setattr(front_door, "drop_ended_sessions", lambda: 8 * MB)
    assert upload(5 * MB)[0] == 204


def test_in_a_class_a_visitor_uploads_photos_and_the_teacher_data_sets(class_server, monkeypatch):
    monkeypatch.setattr(front_door, "held_bytes", dict)
    monkeypatch.setattr(front_door, "total_limit", lambda: 10_000 * MB)
    assert upload(20 * MB)[0] == 204
    assert upload(200 * MB)[0] == 413
    cookie = ("Cookie", f"{TEACHER_COOKIE}={roles.teacher_token()}")
    assert upload(200 * MB, headers=[cookie])[0] == 204
    assert upload(200 * MB, headers=[("Cookie", f"{TEACHER_COOKIE}=wrong")])[0] == 413


def test_the_teachers_link_becomes_a_cookie_and_leaves_no_token_in_the_address(class_server):
    token = roles.teacher_token()
    status, headers, _ = ask("GET", "/teacher", query=f"token={token}")
    found = dict(headers)
    assert status == 303
    assert found["location"] == "./"
    assert f"{TEACHER_COOKIE}={token}" in found["set-cookie"]
    assert "HttpOnly" in found["set-cookie"]
    assert "SameSite=Lax" in found["set-cookie"]
    assert found["referrer-policy"] == "no-referrer"
    for wrong in ("", "token=", "token=x", f"token={token}x", "token=%FF"):
        status, headers, words = ask("GET", "/teacher", query=wrong)
        assert status == 403
        assert "set-cookie" not in dict(headers)
        assert token not in words


def test_on_ones_own_machine_there_is_no_teachers_link(monkeypatch):
    monkeypatch.delenv(roles.CLASS, raising=False)
    assert ask("GET", "/teacher", query="token=x")[0] == 204  # Streamlit's own answer


def test_a_browser_gets_a_secret_of_its_own_once():
    html = ("Accept", "text/html")
    cookies = [dict(ask("GET", "/", headers=[html])[1])["set-cookie"] for _ in range(2)]
    assert all(f"{VISITOR_COOKIE}=" in cookie and "HttpOnly" in cookie for cookie in cookies)
    assert cookies[0] != cookies[1]
    known = ("Cookie", f"{VISITOR_COOKIE}=mine")
    assert "set-cookie" not in dict(ask("GET", "/", headers=[html, known])[1])
    assert "set-cookie" not in dict(ask("GET", "/_stcore/health")[1])
