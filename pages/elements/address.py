"""The part of the address that a component keeps: what a teacher sends as a link."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import streamlit as st


@dataclass
class AddressMemory:
    """What a component knows of its part of the address; kept in the session.

    Attributes:
        address: As the component left it or took it up last; None before the first run.
        left: What it was before, and until when.
    """

    address: dict[str, str] | None = None
    left: list[tuple[float, dict[str, str] | None]] = field(default_factory=list)


@dataclass
class ChoiceMemory:
    """What a widget that several pages have knows of its part of the address; kept in the session.

    Attributes:
        value: What was chosen last, on any page.
        page: The page that was drawn last.
        bare: What an address without the parameter means on that page.
    """

    link: AddressMemory
    value: str
    page: object = None
    bare: str = ""


_ON_ITS_WAY = 0.6  # seconds in which a browser may not have heard yet that its address has changed


# Parameters and words of links from before the American spelling.
_OLD_PARAMETERS = {"cm_normalise": "cm_normalize", "data_colour": "data_color"}
_OLD_WORDS = {"grey": "gray", "One against the rest": "One vs. rest", "From elsewhere": "Import logs"}


def adopt_old_words() -> None:
    """Let a link that was made long ago say the same today. Before the first widget of a page."""
    for name in list(st.query_params):
        values = st.query_params.get_all(name)
        today = [_OLD_WORDS.get(value, value) for value in values]
        new = _OLD_PARAMETERS.get(name, name)
        if new != name:
            del st.query_params[name]
        if new != name or today != values:
            st.query_params[new] = today
            # A bound widget has read the address before the page began.
            st.session_state[new] = today[0] if len(today) == 1 else today


def read_address(names: Iterable[str]) -> dict[str, str]:
    """The parameters of these names that the address has."""
    return {name: st.query_params[name] for name in names if name in st.query_params}


def keep_in_address(names: Iterable[str], address: Mapping[str, str]) -> None:
    """Make the address hold `address` and no other of these names, with as few steps of history as can be."""
    before = read_address(names)
    changed = {name: text for name, text in address.items() if before.get(name) != text}
    if changed:
        st.query_params.update(changed)
    for name in before:
        if name not in address:
            del st.query_params[name]


def adopt_choice(key: str) -> list[str] | None:
    """The values that the address has for a widget, if a link or Back brought them; else None.

    For widgets that buttons fill in too: `bind` does not tell the address of that.
    """
    given = st.query_params.get_all(key)
    return given if given and given != st.session_state.get(f"{key}_in_address") else None


def tell_choice(key: str, values: list[str]) -> None:
    """Make the address hold what a widget of that key has now."""
    st.session_state[f"{key}_in_address"] = values
    if values and st.query_params.get_all(key) != values:
        st.query_params[key] = values
    elif not values and key in st.query_params:
        del st.query_params[key]


def take_choice(key: str, default: str) -> None:
    """Before a widget that several pages have: give it what a link or Back brings, or what was chosen before.

    `bind` would leave the choice out of the address of a page that is opened by the sidebar, and lose it on
    Back to another page, where Streamlit takes its parameter for one of the page that is left.

    Args:
        default: What an address without the parameter means before anyone has chosen.
    """
    memory: ChoiceMemory = st.session_state.setdefault(
        f"{key}_in_address", ChoiceMemory(AddressMemory({}), default, bare=default)
    )
    page = st.session_state.get("page")
    entered = memory.page != page
    found = new_address(memory.link, [key])
    if entered:
        memory.page, memory.bare = page, st.session_state.get(key, memory.value)
    if found:
        st.session_state[key] = found[key]
    elif entered or found is not None:
        # What it was when the page was opened: Back to before it was chosen here, or the page is just opened
        # and the choice must be given once more, or it stays that of the other page's widget.
        st.session_state[key] = memory.bare


def keep_choice(key: str, value: str, default: str) -> None:
    """After that widget: make the address hold its value, unless it is the default."""
    memory: ChoiceMemory = st.session_state[f"{key}_in_address"]
    memory.value = value
    address = {} if value == default else {key: value}
    if read_address([key]) != address or memory.link.address != address:
        remember(memory.link, [key], address)


def remember(memory: AddressMemory, names: Iterable[str], address: Mapping[str, str]) -> None:
    """Make the address hold what was done in a component, and `memory` know that it was the component."""
    memory.left = [*_just_left(memory), (time.monotonic(), memory.address)]
    memory.address = dict(address)
    keep_in_address(names, address)


def new_address(memory: AddressMemory, names: Iterable[str]) -> dict[str, str] | None:
    """The address, where it was opened as a link or Back was pressed; else None.

    With every click the browser sends the address it has. If that click was made before it heard of the last
    change, it is an address from before, and following it would take back what was just done.
    """
    address = read_address(names)
    if address == memory.address:
        return None
    if any(address == left for _, left in _just_left(memory)):
        keep_in_address(names, memory.address or {})
        return None
    memory.address, memory.left = address, []
    return address


def _just_left(memory: AddressMemory) -> list[tuple[float, dict[str, str] | None]]:
    since = time.monotonic() - _ON_ITS_WAY
    return [(at, address) for at, address in memory.left if at > since]
