"""A form drawn from what a function declares: one control for every setting, each kept in the address."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from core.settings import Choice, Range, Setting, Text, check_settings


def settings_form(
    settings: Sequence[Setting], prefix: str, *, options: Mapping[str, Sequence[str]] | None = None
) -> dict[str, Any]:
    """Draw the controls and return the settings that are chosen, checked.

    Args:
        prefix: Of the controls' keys, which are their names in the address too: "att" makes "att_n_steps".
        options: Words to choose from for settings that are free text, by the setting's name.
    Raises:
        SettingError: What was typed is not allowed.
    """
    words = options or {}
    values = {s.name: _control(s, f"{prefix}_{s.name}", words.get(s.name)) for s in settings}
    return check_settings(settings, values)


def _control(setting: Setting, key: str, words: Sequence[str] | None) -> Any:
    label = setting.title.capitalize() + (f" ({setting.unit})" if setting.unit else "")
    shared: dict[str, Any] = {"key": key, "bind": "query-params", "help": setting.help or None}
    if setting.type is bool:
        return st.toggle(label, setting.default, **shared)
    match setting.allowed:
        case Choice(options=allowed):
            return st.selectbox(label, allowed, allowed.index(setting.default), **shared)
        case Range():
            return _number(setting, label, shared)
        case Text(example=example):
            if words:
                if st.session_state.get(key) not in (None, *words):
                    del st.session_state[key]  # a word of another classifier
                if setting.optional:
                    return st.selectbox(label, words, None, placeholder="found for you", **shared)
                return st.selectbox(label, words, list(words).index(setting.default), **shared)
            return st.text_input(label, setting.default or "", placeholder=example or None, **shared)
    raise TypeError(f"no control for {setting}")


def _number(setting: Setting, label: str, shared: dict[str, Any]) -> Any:
    allowed = setting.allowed
    assert isinstance(allowed, Range)
    kind = setting.type
    step = allowed.step or (1 if kind is int else 0.1)
    return st.number_input(
        label,
        kind(allowed.minimum),
        kind(allowed.maximum),
        None if setting.default is None else kind(setting.default),
        kind(step),
        placeholder="found for you" if setting.optional else None,
        **shared,
    )
