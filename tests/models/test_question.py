"""A question knows its key once, and its answers are kept as objects within limits."""

from dataclasses import dataclass

import numpy as np
import pytest

from core import store
from core.models import question as questions
from core.models.question import Question


@dataclass(frozen=True, eq=False)
class Held:
    values: np.ndarray


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))
    questions._objects.clear()
    store.forget_memory()


def asked(number):
    return Question("held", "net", Held, (number,), fingerprint="f")


def test_equal_questions_have_one_key_and_one_object():
    first = asked(1).keep(Held(np.ones(3)))
    assert asked(1).key == asked(1).key != asked(2).key
    assert asked(1).find() is first
    assert asked(2).find() is None


def test_objects_are_kept_within_their_bytes_and_number(monkeypatch):
    monkeypatch.setattr(questions, "OBJECT_BYTES_KEPT", 3 * 80_000)
    for number in range(10):
        asked(number).keep(Held(np.zeros(10_000)))
    assert len(questions._objects) == 3
    assert asked(0).find() is not None  # from the store
    monkeypatch.setattr(questions, "OBJECTS_KEPT", 2)
    asked(20).keep(Held(np.zeros(1)))
    assert len(questions._objects) == 2


def test_an_entry_of_an_earlier_form_counts_as_none():
    store.keep(asked(1).key, {"values": np.ones(3)})
    assert asked(1).find() is None
    assert store.find(asked(1).key) is None
