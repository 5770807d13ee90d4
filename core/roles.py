"""Who may do what. On one's own machine everything; in a class only the teacher may touch what others made.

A server is one for a class where CONVOSCOPE_CLASS is 1, which `make app HOST=...` sets. Each browser has a
name there, which is a secret that it keeps in a cookie; what it starts belongs to that name. The teacher's
browser keeps the teacher's token instead of being asked for it at every step.

Core knows no browser. `set_visitor` tells it how to find out who is asking; without that, it is the user of
this machine, as on the command line.
"""

import hashlib
import hmac
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from core.errors import ConvoscopeError

CLASS, TOKEN = "CONVOSCOPE_CLASS", "CONVOSCOPE_TEACHER_TOKEN"
JOBS_WAITING = 3  # of one visitor
LONGEST_JOB = 30 * 60  # seconds; a visitor's training is small, or is stopped then and can be resumed


class NotAllowed(ConvoscopeError):
    """Something that only the teacher, or the visitor who made it, may do."""


@dataclass(frozen=True)
class Visitor:
    """Who asks.

    Attributes:
        name: What its jobs are marked with; "" for the user of this machine.
        may_all: It may do everything.
    """

    name: str = ""
    may_all: bool = True

    def owns(self, owner: str) -> bool:
        """Whether it may stop and delete what `owner` started."""
        return self.may_all or (self.name != "" and self.name == owner)

    def require_own(self, owner: str, what: str) -> None:
        """
        Raises:
            NotAllowed: It belongs to someone else.
        """
        if not self.owns(owner):
            raise NotAllowed(
                f"Someone else started {what}: only that person and the teacher may change it. Ask your "
                f"teacher, or "
                "start one of your own."
            )

    def require_room_for_a_job(self, waiting: int) -> None:
        """
        Raises:
            NotAllowed: As many of its jobs wait as are allowed.
        """
        if not self.may_all and waiting >= JOBS_WAITING:
            raise NotAllowed(
                f"{waiting} of your trainings are waiting already, and {JOBS_WAITING} may: stop one of them, "
                "or wait until one has started."
            )

    def require_teacher(self, what: str) -> None:
        """
        Raises:
            NotAllowed: It is not the teacher. `what` is an action: "import a checkpoint".
        """
        if not self.may_all:
            raise NotAllowed(f"Only the teacher may {what} on this server: open it with the teacher's link.")

    @property
    def longest_job(self) -> float | None:
        """Seconds after which its jobs are stopped, with what they have saved."""
        return None if self.may_all else LONGEST_JOB


USER = Visitor()


def class_mode() -> bool:
    """Whether this server is one for a class."""
    return os.environ.get(CLASS, "") not in ("", "0")


def teacher_token() -> str:
    """The secret of the teacher's link: the one in CONVOSCOPE_TEACHER_TOKEN, or a new one for each start."""
    global _token
    if _token is None:
        _token = os.environ.pop(TOKEN, "") or secrets.token_urlsafe(24)  # no child process inherits it
    return _token


def is_teacher(token: str) -> bool:
    """Whether that is the teacher's token; takes as long for a wrong one as for the right one."""
    return hmac.compare_digest(token.encode(), teacher_token().encode())


def visitor_of(secret: str, token: str) -> Visitor:
    """The visitor whose browser keeps these two.

    Args:
        secret: By which the browser is known again. Its name is made from it, and tells nothing of it.
        token: The teacher's, or "".
    """
    name = hashlib.sha256(secret.encode()).hexdigest()[:16] if secret else ""
    if not class_mode():
        return USER
    return Visitor(name, may_all=bool(token) and is_teacher(token))


def visitor() -> Visitor:
    """Who is asking now."""
    return _acting.get() or _visitor()


@contextmanager
def acting_for(asker: Visitor) -> Iterator[None]:
    """In here, and in this thread, a visitor is asking whose browser is not at hand."""
    token = _acting.set(asker)
    try:
        yield
    finally:
        _acting.reset(token)


def set_visitor(find: Callable[[], Visitor]) -> None:
    """Say how to find out who is asking."""
    global _visitor
    _visitor = find


def _user() -> Visitor:
    return USER


_acting: ContextVar[Visitor | None] = ContextVar("acting", default=None)
_token: str | None = None
_visitor: Callable[[], Visitor] = _user
