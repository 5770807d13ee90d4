"""Uploaded files are let go of once they were read, and who has logged in as a teacher is one."""

import io
import re
from types import SimpleNamespace

import pytest
import streamlit as st

from core import roles
from core.errors import BadImage, ConvoscopeError
from core.paths import PROJECT
from pages.elements import visitor
from pages.elements.front_door import TEACHER_COOKIE, VISITOR_COOKIE


class Uploaded(io.BytesIO):
    def __init__(self, data: bytes, file_id: str = "1", name: str = "a.png") -> None:
        super().__init__(data)
        self.file_id, self.name = file_id, name


@pytest.fixture
def let_go(monkeypatch):
    """The ids of the files that were let go of; the session is a dictionary."""
    gone = []
    monkeypatch.setattr(visitor, "taken", lambda file: gone.append(file.file_id))
    monkeypatch.setattr(st, "session_state", {})
    return gone


def test_a_file_is_read_once_and_let_go_of(let_go):
    read = []

    def reader(data, name):
        read.append(name)
        return data.decode()

    assert visitor.read_once(Uploaded(b"x"), reader, "k") == "x"
    assert visitor.read_once(Uploaded(b""), reader, "k") == "x"  # as Streamlit gives it from then on
    assert visitor.read_once(Uploaded(b"y", "2"), reader, "k") == "y"
    assert (len(read), let_go) == (2, ["1", "2"])


def test_a_refusal_is_kept_and_the_file_is_not(let_go):
    def reader(data, name):
        raise BadImage(f"{name} is no picture")

    for _ in range(3):
        with pytest.raises(BadImage, match=r"a\.png is no picture"):
            visitor.read_once(Uploaded(b"x"), reader, "k")
    assert let_go == ["1"]
    assert len(list(traceback_of(st.session_state["k"][2]))) <= 3  # frames hold the bytes


def traceback_of(error):
    frame = error.__traceback__
    while frame is not None:
        yield frame
        frame = frame.tb_next


def test_a_defect_does_not_lose_the_file(let_go):
    def reader(data, name):
        raise KeyError("x")

    with pytest.raises(KeyError):
        visitor.read_once(Uploaded(b"x"), reader, "k")
    assert not let_go
    assert "k" not in st.session_state


def test_every_page_that_takes_files_lets_go_of_them():
    takes = re.compile(r"\b(file_uploader|camera_input)\(")
    files = [path for path in (PROJECT / "pages").rglob("*.py") if takes.search(path.read_text("utf-8"))]
    assert len(files) >= 6
    for path in files:
        words = path.read_text("utf-8")
        assert len(takes.findall(words)) <= len(re.findall(r"\b(taken|read_once|_take)\(", words)), path.name


@pytest.fixture
def class_session(monkeypatch):
    """A session of a class, whose cookies and login the test sets."""
    monkeypatch.setenv(roles.CLASS, "1")
    monkeypatch.setattr(roles, "_token", None)
    session = SimpleNamespace(session_id="session-1")
    monkeypatch.setattr(visitor, "get_script_run_ctx", lambda **_: session)
    stand_in = SimpleNamespace(
        session_state={}, secrets={}, user={}, context=SimpleNamespace(cookies={VISITOR_COOKIE: "ann"})
    )
    monkeypatch.setattr(visitor, "st", stand_in)
    return stand_in


def test_a_teacher_who_logged_in_needs_no_token(class_session):
    name = visitor.visitor().name
    assert not visitor.visitor().may_all
    class_session.secrets = {"teachers": ["t@school.example"]}
    for user in (
        {},
        {"is_logged_in": False, "email": "t@school.example"},
        {"is_logged_in": True},
        {"is_logged_in": True, "email": "eve@school.example"},
        {"is_logged_in": True, "email": "t@school.example.evil.example"},
        {"is_logged_in": True, "email": "t@school.example", "email_verified": False},
    ):
        class_session.user = user
        assert not visitor.visitor().may_all, user
    for email in ("t@school.example", "T@School.example"):
        class_session.user = {"is_logged_in": True, "email": email}
        assert visitor.visitor().may_all
        assert visitor.visitor().name == name  # what she started before she logged in is hers


def test_a_list_of_teachers_that_is_one_word_is_one_address(class_session):
    class_session.secrets = {"teachers": "t@school.example"}
    class_session.user = {"is_logged_in": True, "email": "t"}
    assert not visitor.visitor().may_all
    class_session.user = {"is_logged_in": True, "email": "t@school.example"}
    assert visitor.visitor().may_all


def test_without_secrets_the_token_decides(class_session):
    class Missing(dict):
        def get(self, key, default=None):
            raise FileNotFoundError("no secrets.toml")

    class_session.secrets = Missing()
    class_session.user = {"is_logged_in": True, "email": "t@school.example"}
    assert not visitor.visitor().may_all
    class_session.context.cookies = {VISITOR_COOKIE: "ann", TEACHER_COOKIE: roles.teacher_token()}
    assert visitor.visitor().may_all


def test_a_browser_without_cookies_is_one_visitor_for_its_session(class_session):
    class_session.context.cookies = {}
    first = visitor.visitor()
    assert first.name
    assert first == visitor.visitor()
    with pytest.raises(ConvoscopeError):
        first.require_own("somebody", "the run")
