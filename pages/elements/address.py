"""The part of the address that a component keeps: what a teacher sends as a link."""

from collections.abc import Iterable, Mapping

import streamlit as st


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
