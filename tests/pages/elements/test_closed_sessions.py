"""Sessions whose browser has gone keep descriptors: where there are few, few are kept."""

from types import SimpleNamespace

from streamlit.runtime import Runtime
from streamlit.runtime.websocket_session_manager import WebsocketSessionManager

from pages.elements import closed_sessions
from pages.elements.closed_sessions import FewClosedSessions, sessions_kept


def test_a_session_that_there_is_no_room_for_is_ended_and_not_only_forgotten():
    ended = []
    storage = FewClosedSessions(3)
    for i in range(10):
        session = SimpleNamespace(id=str(i), shutdown=lambda i=i: ended.append(i))
        storage.save(SimpleNamespace(session=session))
    assert ended == list(range(7))
    assert [one.session.id for one in storage.list()] == ["7", "8", "9"]


def test_few_descriptors_mean_few_closed_sessions():
    assert sessions_kept(None) == sessions_kept(8192) == 128
    assert sessions_kept(256) * closed_sessions.DESCRIPTORS_A_SESSION < 256 / 4
    assert sessions_kept(10) == 1


def test_the_server_that_runs_gets_it(monkeypatch):
    manager = WebsocketSessionManager.__new__(WebsocketSessionManager)
    manager._session_storage = None
    runtime = SimpleNamespace(_session_mgr=manager)
    monkeypatch.setattr(Runtime, "exists", lambda: True)
    monkeypatch.setattr(Runtime, "instance", lambda: runtime)
    closed_sessions.keep_as_many_as_fit(8192)
    assert manager._session_storage is None
    closed_sessions.keep_as_many_as_fit(256)
    assert manager._session_storage.most == sessions_kept(256)
