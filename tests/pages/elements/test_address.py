"""The address follows what is done in a component, and the component a link, but never its own echo."""

from streamlit.testing.v1 import AppTest

from pages.elements import address


def _script():
    import streamlit as st

    from pages.elements.address import AddressMemory, new_address, remember

    memory = st.session_state.setdefault("memory", AddressMemory())
    if "do" in st.session_state:
        remember(memory, ["p", "q"], st.session_state.pop("do"))
    st.session_state["found"] = new_address(memory, ["p", "q"])


def _run(at, held, **state):
    """One run, in which the browser sends the address `held`."""
    for name in list(at.query_params):
        del at.query_params[name]
    for name, value in held.items():
        at.query_params[name] = value
    for name, value in state.items():
        at.session_state[name] = value
    at.run()
    assert not at.exception
    return at.session_state["found"], {name: value[0] for name, value in at.query_params.items()}


def test_a_link_is_followed_once():
    at = AppTest.from_function(_script)
    assert _run(at, {"p": "1", "other": "x"}) == ({"p": "1"}, {"p": "1", "other": "x"})
    assert _run(at, {"p": "1", "other": "y"})[0] is None
    assert _run(at, {"p": "2"})[0] == {"p": "2"}


def test_an_address_that_is_still_on_its_way_takes_nothing_back(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(address.time, "monotonic", lambda: now[0])
    at = AppTest.from_function(_script)
    _run(at, {})
    assert _run(at, {}, do={"p": "1"}) == (None, {"p": "1"})
    assert _run(at, {"p": "1"}, do={"q": "5"}) == (None, {"q": "5"})
    assert _run(at, {}) == (None, {"q": "5"})  # clicked before the browser had heard of either change
    assert _run(at, {"p": "1"}) == (None, {"q": "5"})
    assert _run(at, {"p": "9"})[0] == {"p": "9"}  # a link is a link at once


def test_back_is_followed(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(address.time, "monotonic", lambda: now[0])
    at = AppTest.from_function(_script)
    _run(at, {"p": "1"})
    _run(at, {"p": "1"}, do={"p": "2"})
    now[0] += 10
    assert _run(at, {"p": "1"}) == ({"p": "1"}, {"p": "1"})
    assert _run(at, {"p": "2"})[0] == {"p": "2"}  # and forward again
