"""Frozen dataclasses as stored answers, and back: the one place that knows how a result lies in a file.

    answer = to_answer(OcclusionMap(...))        # arrays by their path, the rest as one JSON value
    found = from_answer(OcclusionMap, answer)    # equal in every field

A field may be an array, a number (NaN and infinities too), text, a boolean, None, an enum, another dataclass,
or a tuple, list or dictionary (with text or whole numbers as keys) of these. Fields with `init=False` are not
stored.
"""

import dataclasses
import enum
import math
import types
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from core.errors import ConvoscopeError
from core.store import Answer

T = TypeVar("T")
STRUCTURE_KEY = "shape of the answer"  # the key of all that is not an array
_ARRAY, _FLOAT = "array", "float"  # how these stand in it
_PLAIN = (bool, int, float, str)


class NotStored(ConvoscopeError):
    """What was stored is of another form than what is asked for: an entry of an earlier version."""


def to_answer(value: Any) -> Answer:
    """A dataclass as arrays and one JSON value.

    Raises:
        TypeError: A field is of a kind that cannot be stored; the message names it.
    """
    answer: Answer = {}
    answer[STRUCTURE_KEY] = _pack(value, "", answer)
    return answer


def from_answer(kind: type[T], answer: Mapping[str, Any]) -> T:
    """The dataclass of that kind which `to_answer` took apart.

    Raises:
        NotStored: The answer is not one of that kind.
    """
    try:
        found: T = _unpack(kind, answer[STRUCTURE_KEY], answer)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NotStored(
            f"A stored {kind.__name__} cannot be read ({error}). It is computed again."
        ) from error
    return found


def _pack(value: Any, path: str, answer: Answer) -> Any:
    if isinstance(value, np.ndarray):
        answer[path] = value
        return {_ARRAY: path}
    if isinstance(value, np.generic):
        return _pack(value.item(), path, answer)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, float) and not math.isfinite(value):
        return {_FLOAT: str(value)}
    if value is None or isinstance(value, str | int | float | bool):
        return value
    below = f"{path}/" if path else ""
    if dataclasses.is_dataclass(value):
        fields = [f.name for f in dataclasses.fields(value) if f.init]
        return {name: _pack(getattr(value, name), f"{below}{name}", answer) for name in fields}
    if isinstance(value, Mapping):
        return [[key, _pack(part, f"{below}{key}", answer)] for key, part in value.items()]
    if isinstance(value, Sequence):
        return [_pack(part, f"{below}{i}", answer) for i, part in enumerate(value)]
    raise TypeError(f"{path or 'The answer'} is a {type(value).__name__}, which cannot be stored.")


def _unpack(kind: Any, held: Any, answer: Mapping[str, Any]) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is not None and getattr(origin, "__name__", "") == "Annotated":
        return _unpack(inner[0], held, answer)
    if origin in (Union, types.UnionType):
        if held is None:
            return None
        kinds = [k for k in inner if k is not type(None)]
        if all(k in _PLAIN for k in kinds) and len(kinds) > 1:
            return float(held[_FLOAT]) if isinstance(held, dict) else held
        (kind,) = kinds  # of the others, only "a kind or None" can be told apart
        return _unpack(kind, held, answer)
    if isinstance(held, dict) and held.keys() == {_ARRAY}:
        return answer[held[_ARRAY]]
    if isinstance(held, dict) and held.keys() == {_FLOAT}:
        return float(held[_FLOAT])
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = _hints(kind)
        if not isinstance(held, dict):
            raise TypeError(f"no fields for {kind}")
        return kind(**{name: _unpack(hints[name], part, answer) for name, part in held.items()})
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind(held)
    if origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return {(inner[0](k) if inner[0] in (int, str) else k): _unpack(inner[1], v, answer) for k, v in held}
    if origin is tuple:
        kinds = [inner[0]] * len(held) if inner[-1] is Ellipsis else list(inner)
        return tuple(_unpack(k, part, answer) for k, part in zip(kinds, held, strict=True))
    if origin is list or (isinstance(origin, type) and issubclass(origin, Sequence)):
        return [_unpack(inner[0], part, answer) for part in held]
    if kind is float and isinstance(held, int):
        return float(held)
    if origin is Literal or kind is Any or not isinstance(kind, type) or isinstance(held, kind):
        return held
    raise TypeError(f"{held!r} is not a {kind.__name__}")


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
