"""Who may do what, by the token and the name that a browser keeps."""

import pytest

from core import roles
from core.roles import NotAllowed, Visitor, visitor_of


@pytest.fixture
def class_server(monkeypatch):
    monkeypatch.setenv(roles.CLASS, "1")
    monkeypatch.setattr(roles, "_token", None)


def test_on_ones_own_machine_everything_is_allowed(monkeypatch):
    monkeypatch.delenv(roles.CLASS, raising=False)
    assert visitor_of("secret", "") == roles.USER
    roles.visitor().require_teacher("import a checkpoint")
    roles.visitor().require_own("somebody", "the run")


def test_in_a_class_only_the_token_makes_a_teacher(class_server):
    token = roles.teacher_token()
    assert len(token) >= 32
    assert visitor_of("ann's secret", token).may_all
    for wrong in ("", "x", token[:-1], token + "x", "é", token.swapcase()):
        visitor = visitor_of("ann's secret", wrong)
        assert not visitor.may_all
        with pytest.raises(NotAllowed, match="Only the teacher may import a checkpoint"):
            visitor.require_teacher("import a checkpoint")


def test_a_name_tells_nothing_of_the_secret_and_stays_the_same(class_server):
    first, again, other = (visitor_of(secret, "") for secret in ("ann", "ann", "bob"))
    assert first == again != other
    assert "ann" not in first.name
    assert not visitor_of("", "").owns("")  # a browser without a cookie owns nothing, not even the machine's


def test_one_owns_what_one_started_and_the_teacher_all(class_server):
    ann, bob = visitor_of("ann", ""), visitor_of("bob", "")
    ann.require_own(ann.name, "the run")
    with pytest.raises(NotAllowed, match="Someone else started the run"):
        bob.require_own(ann.name, "the run")
    Visitor("teacher", True).require_own(ann.name, "the run")
    with pytest.raises(NotAllowed):
        ann.require_own("", "a run of the machine's own user")


def test_three_may_wait(class_server):
    ann = visitor_of("ann", "")
    ann.require_room_for_a_job(2)
    with pytest.raises(NotAllowed, match="3 of your trainings"):
        ann.require_room_for_a_job(3)
    assert ann.longest_job == roles.LONGEST_JOB
    assert roles.USER.longest_job is None


def test_the_teachers_own_token_is_taken_and_no_child_process_inherits_it(monkeypatch):
    import os

    monkeypatch.setattr(roles, "_token", None)
    monkeypatch.setenv(roles.TOKEN, "chosen")
    assert roles.teacher_token() == "chosen"
    assert roles.TOKEN not in os.environ
    assert roles.is_teacher("chosen")
