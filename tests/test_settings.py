"""Settings are read from a signature, checked, and drawn as options."""

import argparse
from typing import Annotated

import pytest

from core.errors import SettingError, UnknownName
from core.registry import Registry
from core.settings import Choice, Range, Text, add_options, check_settings, settings_of


def analyse(
    image,
    *,
    steps: Annotated[int, Range(1, 64), "steps"] = 8,
    rate: Annotated[float, Range(0, 1)] = 0.5,
    fill: Annotated[str, Choice("gray", "black")] = "gray",
    layers: Annotated[str, Text(r"\w+(,\w+)*", "a,b")] = "a",
    seed: Annotated[int | None, Range(0, 9)] = None,
    fast: bool = True,
    progress=None,
):
    """Analyse.

    Args:
        steps: How many,
            at most.
        fill: What with.
    """


SETTINGS = settings_of(analyse)


def test_what_the_signature_declares():
    assert [s.name for s in SETTINGS] == ["steps", "rate", "fill", "layers", "seed", "fast"]
    assert [s.type for s in SETTINGS] == [int, float, str, str, int, bool]
    assert SETTINGS[0].help == "How many, at most."
    assert SETTINGS[0].unit == "steps"
    assert SETTINGS[4].optional


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("steps", 0, "steps is 0: choose a whole number from 1 to 64 steps"),
        ("steps", 2.5, "whole number"),
        ("steps", "many", "steps is 'many'"),
        ("steps", True, "whole number"),
        ("steps", None, "steps is empty"),
        ("rate", float("nan"), "a number from 0 to 1"),
        ("rate", float("inf"), "a number from 0 to 1"),
        ("fill", "white", "Choose one of gray, black"),
        ("layers", "a b", "write it like 'a,b'"),
        ("fast", "perhaps", "choose true or false"),
        ("color", 1, "no setting 'color' here. Choose one of steps"),
    ],
)
def test_what_is_not_allowed_is_named(name, value, words):
    with pytest.raises(SettingError, match=words):
        check_settings(SETTINGS, {name: value})


def test_what_is_allowed_is_converted():
    values = check_settings(SETTINGS, {"steps": "16", "rate": "1", "fast": "no", "seed": ""})
    assert values == {"steps": 16, "rate": 1.0, "fill": "gray", "layers": "a", "seed": None, "fast": False}


def test_options_are_drawn_from_the_declaration(capsys):
    parser = argparse.ArgumentParser()
    add_options(parser, SETTINGS)
    given = vars(parser.parse_args(["--steps", "9", "--fill", "black"]))
    assert check_settings(SETTINGS, given)["steps"] == 9
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    shown = capsys.readouterr().out
    assert "How many, at most. (default: 8)" in " ".join(shown.split())
    assert "{gray,black}" in shown


def test_a_registry_refuses_a_second_of_one_name_and_names_the_nearest():
    from core.data.sets import datasets

    with pytest.raises(UnknownName, match=r"There is no data set named 'digit'. Did you mean 'digits'"):
        datasets["digit"]
    registry = Registry("thing", "core.commands")
    registry.register("one")(lambda: None)
    with pytest.raises(ValueError, match="Two things are named 'one'"):
        registry.register("one")(lambda: None)
