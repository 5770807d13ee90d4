"""How many sessions are kept for browsers that may come back, where the system allows few open files."""

from streamlit.runtime import Runtime
from streamlit.runtime.memory_session_storage import MemorySessionStorage
from streamlit.runtime.session_manager import SessionInfo

DESCRIPTORS_A_SESSION = 3
SHARE_OF_DESCRIPTORS = 0.2  # for sessions whose browser has gone
SESSIONS_OF_STREAMLIT = 128


class FewClosedSessions(MemorySessionStorage):
    """Streamlit's own storage, which ends the sessions it has no room for and so frees their descriptors."""

    def __init__(self, most: int) -> None:
        super().__init__(maxsize=most)
        self.most = most

    def save(self, session_info: SessionInfo) -> None:
        while len(kept := self.list()) >= self.most:
            self.delete(kept[0].session.id)
            kept[0].session.shutdown()
        super().save(session_info)


def keep_as_many_as_fit(descriptors: int | None) -> None:
    """Let the server that runs here keep fewer closed sessions than Streamlit would.

    Args:
        descriptors: That this process may have; None where there is no limit.
    """
    most = sessions_kept(descriptors)
    manager = getattr(Runtime.instance(), "_session_mgr", None) if Runtime.exists() else None
    if manager is not None and most < SESSIONS_OF_STREAMLIT and hasattr(manager, "_session_storage"):
        manager._session_storage = FewClosedSessions(most)


def sessions_kept(descriptors: int | None) -> int:
    """How many closed sessions may be kept."""
    if descriptors is None:
        return SESSIONS_OF_STREAMLIT
    fitting = int(SHARE_OF_DESCRIPTORS * descriptors) // DESCRIPTORS_A_SESSION
    return max(1, min(SESSIONS_OF_STREAMLIT, fitting))
