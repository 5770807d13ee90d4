"""One form for all declared settings: what is drawn is what is declared, and what is wrong is named."""

from typing import Annotated

import pytest
from streamlit.testing.v1 import AppTest

from core.settings import Choice, Range, Text, settings_of


def declared(
    *,
    steps: Annotated[int, Range(1, 64), "steps"] = 8,
    rate: Annotated[float, Range(1e-6, 10, logarithmic=True)] = 0.001,
    share: Annotated[float, Range(0, 0.95, 0.05)] = 0.5,
    scale: Annotated[float, Range(0, 1000, 0.5)] = 1.0,
    noise: Annotated[float | None, Range(0, 2, 0.05)] = None,
    images: Annotated[int | None, Range(2, 1000)] = None,
    fill: Annotated[str, Choice("gray", "black")] = "gray",
    widths: Annotated[str, Text(r"\d+(,\d+)*", "64,128")] = "8",
    layer: Annotated[str | None, Text()] = None,
    fast: bool = True,
):
    """Analyze."""


SETTINGS = settings_of(declared)
DEFAULTS = {s.name: s.default for s in SETTINGS}


def _page(columns: int) -> None:
    import streamlit as st

    from pages.elements.page import errors_shown
    from pages.elements.settings_form import filled_form, settings_form
    from tests.pages.elements.test_settings_form import SETTINGS

    options = {"layer": ["conv1", "conv2"]}
    if columns:
        filled = filled_form(SETTINGS, "t", options=options, columns=columns, placeholders={"images": "all"})
        st.session_state["found"] = filled.values
        st.session_state["wrong"] = [str(error) for error in filled.errors]
    else:
        with errors_shown():
            st.session_state["found"] = None
            st.session_state["found"] = settings_form(SETTINGS, "t", options=options)


def opened(columns=3, **address):
    page = AppTest.from_function(_page, kwargs={"columns": columns}, default_timeout=30)
    for name, value in address.items():
        page.query_params[name] = value
    page.run()
    assert not page.exception
    return page


@pytest.mark.parametrize("columns", [0, 1, 3])
def test_an_untouched_form_holds_the_defaults(columns):
    page = opened(columns)
    assert page.session_state["found"] == DEFAULTS
    assert [type(v) for v in page.session_state["found"].values()] == [type(v) for v in DEFAULTS.values()]
    assert not page.error


def test_each_setting_gets_the_control_that_fits_it():
    page = opened()
    assert [one.key for one in page.text_input] == ["t_rate", "t_widths"]
    assert [one.key for one in page.slider] == ["t_share"]
    assert {one.key for one in page.number_input} == {"t_steps", "t_scale", "t_noise", "t_images"}
    assert [one.key for one in page.selectbox] == ["t_fill", "t_layer"]
    assert [one.key for one in page.toggle] == ["t_fast"]
    assert page.number_input(key="t_images").placeholder == "all"
    assert page.number_input(key="t_noise").placeholder == "found for you"
    assert page.number_input(key="t_steps").label == "Steps (steps)"


def test_an_address_fills_the_form():
    page = opened(
        t_rate="0.00003", t_fill="black", t_fast="false", t_steps="9", t_share="0.25", t_layer="conv2"
    )
    expected = {"rate": 3e-5, "fill": "black", "fast": False, "steps": 9, "share": 0.25, "layer": "conv2"}
    assert page.session_state["found"] == DEFAULTS | expected


def test_what_is_wrong_is_said_at_its_field_and_the_others_keep_their_values():
    page = opened()
    page.text_input(key="t_rate").set_value("fast").run()
    page.text_input(key="t_widths").set_value("8,,").run()
    assert not page.exception
    rate, widths = page.session_state["wrong"]
    assert rate == "rate is 'fast': choose a number from 1e-06 to 10."
    assert widths == "widths is '8,,': write it like '64,128'."
    assert [one.value for one in page.error] == [rate, widths]
    wrong = ("rate", "widths")
    assert page.session_state["found"] == {k: v for k, v in DEFAULTS.items() if k not in wrong}


def test_a_form_that_gives_all_or_nothing_draws_every_field_before_it_complains():
    page = opened(columns=0)
    page.text_input(key="t_rate").set_value("20").run()
    assert [one.value for one in page.error] == ["rate is '20': choose a number from 1e-06 to 10."]
    assert page.session_state["found"] is None
    assert page.toggle(key="t_fast").value is True


@pytest.mark.parametrize("words", ["nonsense", "-3", "1e9", "nan", ""])
def test_nonsense_in_an_address_is_named_or_left_out(words):
    page = opened(**{f"t_{setting.name}": words for setting in SETTINGS})
    found = page.session_state["found"]
    for setting in SETTINGS:
        if setting.name in found:
            assert setting.check(found[setting.name]) == found[setting.name]
    assert len(found) + len(page.session_state["wrong"]) == len(SETTINGS)
