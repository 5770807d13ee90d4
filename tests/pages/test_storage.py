"""Storage: what is there is shown with its limit, and can be deleted by those who may."""

import pytest
from streamlit.testing.v1 import AppTest

from core import roles
from core.disk import MB
from core.paths import PROJECT
from pages.elements import visitor  # noqa: F401  (it tells core who asks; a page would import it too late)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))
    monkeypatch.setenv("CONVOSCOPE_WEIGHTS_MB", "10")
    for area, name, size in (("weights", "net.pth", 4), ("weights", "_b_.pth", 1), ("imported", "mine", 2)):
        (tmp_path / area).mkdir(exist_ok=True)
        (tmp_path / area / name).write_bytes(bytes(size * MB))
    return tmp_path


def opened(*keys):
    app = AppTest.from_file(str(PROJECT / "pages" / "storage.py"), default_timeout=30)
    for key in keys:
        app.session_state[key] = True
    return app.run()


def test_each_area_says_what_it_takes_of_its_limit(home):
    app = opened()
    assert not app.exception
    assert not app.error
    texts = [bar.proto.text for bar in app.get("progress")]
    assert "Downloaded weights: 5.0 MB of 10.0 MB" in texts
    assert any(text.startswith("Uploads in this server's memory: 0.0 MB") for text in texts)


def test_what_can_be_made_again_is_emptied_at_a_click(home):
    app = opened()
    app.button(key="st_empty_weights").click().run()
    assert not app.error
    assert not list((home / "weights").iterdir())
    assert list((home / "imported").iterdir())
    assert not [button for button in app.button if button.key == "st_empty_imported"]


def test_a_visitor_of_a_class_deletes_nothing_here(home, monkeypatch):
    monkeypatch.setattr(roles, "_visitor", lambda: roles.Visitor("ann", False))
    app = opened()
    app.button(key="st_empty_weights").click().run()
    assert "Only the teacher may delete what is stored" in app.error[0].value.replace("\\", "")
    assert len(list((home / "weights").iterdir())) == 2


def test_a_limit_that_is_no_number_is_one_sentence_and_the_rest_is_shown(home, monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_WEIGHTS_MB", "plenty")
    app = opened()
    assert not app.exception
    assert "CONVOSCOPE" in app.error[0].value
    assert len(app.get("progress")) >= 5
