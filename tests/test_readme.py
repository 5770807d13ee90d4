"""What docs/checkpoints.md says of the shipped checkpoints is what their cards say."""

import json

import pytest

from core.paths import PROJECT

CARDS = sorted((PROJECT / "checkpoints").glob("*/card.json"))


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.parent.name)
def test_the_table_of_checkpoints_says_what_the_card_says(path):
    test = json.loads(path.read_text(encoding="utf-8"))["metrics"]["test"]
    low, high = test["interval"]
    row = f"| {path.parent.name} | {test['accuracy']:.2%} ({low:.2%} to {high:.2%})"
    assert row in (PROJECT / "docs" / "checkpoints.md").read_text(encoding="utf-8")
