"""A dataclass that is stored and read back is the same in every field."""

import enum
import math
from dataclasses import dataclass, field

import numpy as np
import pytest

from core import store
from core.settings import Settings
from core.stored import NotStored, from_answer, to_answer


class Kind(enum.Enum):
    ONE = "one"
    TWO = "two"


@dataclass(frozen=True)
class Part:
    name: str
    values: np.ndarray


@dataclass(frozen=True)
class Whole:
    parts: tuple[Part, ...]
    by_layer: dict[str, Part]
    by_row: dict[int, list[float]]
    size: tuple[int, int]
    share: float
    lost: float
    kind: Kind
    settings: Settings
    nothing: str | None = None
    maybe: np.ndarray | None = None
    derived: int = field(default=3, init=False)


def whole() -> Whole:
    part = Part("a/b", np.arange(6, dtype=np.float32).reshape(2, 3))
    other = Part("", np.zeros((0, 2), np.uint8))
    lists = {3: [1.5, math.inf], -1: []}
    maybe = np.array([True, False])
    settings = {"a": 1, "b": 0.5, "c": "word", "d": True, "e": None, "f": math.inf}
    by_layer = {"conv1.0": part}
    return Whole((part, other), by_layer, lists, (7, 9), 2, math.nan, Kind.TWO, settings, maybe=maybe)


def same(a, b) -> bool:
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b)
    if isinstance(a, Part):
        return a.name == b.name and same(a.values, b.values)
    if isinstance(a, float) and math.isnan(a):
        return math.isnan(b)
    if isinstance(a, tuple):
        return isinstance(b, tuple) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return a == b


def test_it_comes_back_from_a_file_as_it_went(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))
    before = whole()
    store.keep("k" * 64, to_answer(before))
    store.forget_memory()
    after = from_answer(Whole, store.find("k" * 64))
    for name in Whole.__dataclass_fields__:
        assert same(getattr(before, name), getattr(after, name)), name
    assert isinstance(after.share, float)


@pytest.mark.parametrize("spoil", [
    lambda shape: shape.pop("size"),
    lambda shape: shape.update(size=[1, 2, 3]),
    lambda shape: shape.update(more=1),
    lambda shape: shape.update(kind="three"),
    lambda shape: shape.update(parts=5),
])  # fmt: skip
def test_an_answer_of_another_form_is_refused(spoil):
    answer = to_answer(whole())
    spoil(answer["shape of the answer"])
    with pytest.raises(NotStored, match="Whole cannot be read"):
        from_answer(Whole, answer)


def test_what_cannot_be_stored_is_named():
    with pytest.raises(TypeError, match=r"0/values is a set"):
        to_answer((Part("a", {1, 2}),))
