"""The picker of the classifier: a damaged checkpoint is a line, a strange name in a link a sentence."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

SCRIPT = """
import streamlit as st
from pages.elements.page import errors_shown
from pages.elements.pickers.choose import choose_classifier
from core.models import catalogue
with errors_shown():
    name = choose_classifier()
    st.write(catalogue.card_of(name).title)
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))
    folder = tmp_path / "imported" / "bro_ken"
    folder.mkdir(parents=True)
    (folder / "card.json").write_bytes(b'{"name": "\xe9"}')
    (folder / "weights.safetensors").write_bytes(b"")
    return AppTest.from_string(SCRIPT, default_timeout=60)


def test_a_damaged_checkpoint_is_a_line_where_it_would_stand(app: AppTest) -> None:
    app.run()
    assert not app.exception
    assert "imported/bro_ken" not in app.selectbox(key="classifier").options
    (line,) = [c.value for c in app.caption if "is left out" in c.value]
    assert "imported/bro\\_ken is left out: bro_ken/card.json is not a model card" in line
    assert app.markdown[-1].value == "EfficientNet-Lite0 (ImageNet)"


@pytest.mark.parametrize("name", ["a" * 5000, "runs/" + "b" * 5000, "`**x**`$y$"])
def test_a_long_or_strange_name_in_a_link_is_a_sentence(app: AppTest, name: str) -> None:
    app.query_params["classifier"] = name
    app.run()
    assert not app.exception
    assert "There is no classifier named" in app.error[0].value
    assert len(app.error[0].value) < 1500
