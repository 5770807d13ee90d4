"""A form drawn from what a function declares: one control for every setting, each kept in the address."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import streamlit as st

from core.errors import SettingError
from core.settings import Choice, Range, Setting, SettingValue, Text
from pages.elements.page import errors_shown

MOST_PLACES_OF_A_SLIDER = 100
FOUND_FOR_YOU = "found for you"


@dataclass(frozen=True)
class Filled:
    """What stands in a form.

    Attributes:
        values: Of every setting whose field holds something allowed, as the setting's type.
        errors: What is wrong with the other fields, in words.
    """

    values: dict[str, SettingValue]
    errors: tuple[SettingError, ...]


class _Shared(TypedDict):
    """What every control is given."""

    key: str
    bind: Literal["query-params"]
    help: str | None


def settings_form(
    settings: Sequence[Setting], prefix: str, *, options: Mapping[str, Sequence[str]] | None = None,
    columns: int = 1,
) -> dict[str, SettingValue]:  # fmt: skip
    """Draw the controls and return the settings that are chosen, checked.

    Args:
        prefix: The beginning of the controls' keys, which are their names in the address too: "att" makes
            "att_n_steps".
        options: Words to choose from for settings that are free text, by the setting's name.
        columns: How many controls stand side by side.
    Raises:
        SettingError: What was typed is not allowed. All controls are drawn before that.
    """
    filled = filled_form(settings, prefix, options=options, columns=columns, say_errors=False)
    if filled.errors:
        raise filled.errors[0]
    return filled.values


def filled_form(
    settings: Sequence[Setting], prefix: str, *, options: Mapping[str, Sequence[str]] | None = None,
    placeholders: Mapping[str, str] | None = None, columns: int = 1, say_errors: bool = True,
) -> Filled:  # fmt: skip
    """Draw the controls; what is wrong with a field is said below it.

    Args:
        placeholders: What an empty field means, by the setting's name; otherwise "found for you".
        say_errors: Whether to say it here, or leave that to the caller.
    """
    words, empty = options or {}, placeholders or {}
    values: dict[str, SettingValue] = {}
    errors = []
    for begin in range(0, len(settings), columns):
        row = st.columns(columns, vertical_alignment="bottom") if columns > 1 else [st.container()]
        for place, setting in zip(row, settings[begin : begin + columns], strict=False):
            key, name = f"{prefix}_{setting.name}", setting.name
            with place:
                entered = _control(setting, key, words.get(name), empty.get(name, FOUND_FOR_YOU))
                found = _checked(setting, entered, say_errors)
            if isinstance(found, SettingError):
                errors.append(found)
            else:
                values[name] = found
    return Filled(values, tuple(errors))


def _checked(setting: Setting, entered: Any, say_errors: bool) -> SettingValue | SettingError:
    """The value of a setting, or what is wrong with what was entered, said here if it is to be."""
    try:
        return setting.check(entered)
    except SettingError as error:
        if say_errors:
            with errors_shown():
                raise
        return error


def field_value(setting: Setting, value: Any) -> Any:
    """A setting's value as its control holds it in the session."""
    return f"{value:g}" if _is_typed(setting) else value


def _control(setting: Setting, key: str, words: Sequence[str] | None, empty: str) -> Any:
    """Draw one control; what stands in it, not checked yet."""
    label = setting.title.capitalize() + (f" ({setting.unit})" if setting.unit else "")
    shared: _Shared = {"key": key, "bind": "query-params", "help": setting.help or None}
    if setting.type is bool:
        return st.toggle(label, setting.default, **shared)
    match setting.allowed:
        case Choice(options=allowed):
            return st.selectbox(label, allowed, allowed.index(setting.default), **shared)
        case Range() as allowed:
            return _number(setting, allowed, label, shared, empty)
        case Text(example=example):
            if words:
                if st.session_state.get(key) not in (None, *words):
                    del st.session_state[key]  # a word of another classifier
                if setting.optional:
                    return st.selectbox(label, words, None, placeholder=empty, **shared)
                return st.selectbox(label, words, list(words).index(setting.default), **shared)
            return st.text_input(label, setting.default or "", placeholder=example or None, **shared)
    raise TypeError(f"There is no control for the setting {setting}.")


def _number(setting: Setting, allowed: Range, label: str, shared: _Shared, empty: str) -> Any:
    if _is_typed(setting):
        return st.text_input(label, field_value(setting, setting.default), **shared)
    kind = setting.type
    low, high = kind(allowed.minimum), kind(allowed.maximum)
    default = None if setting.default is None else kind(setting.default)
    step = kind(allowed.step or (1 if kind is int else 0.01))
    if allowed.step and default is not None and (high - low) / step <= MOST_PLACES_OF_A_SLIDER:
        return st.slider(label, low, high, default, step, **shared)
    return st.number_input(
        label, low, high, default, step, "%g" if kind is float else None,
        placeholder=empty if setting.optional else None, **shared,
    )  # fmt: skip


def _is_typed(setting: Setting) -> bool:
    """Whether it is a number of any size, such as 0.00003: buttons for more and less are no help there."""
    return (
        isinstance(setting.allowed, Range)
        and setting.type is float
        and setting.allowed.logarithmic
        and not setting.optional
    )
