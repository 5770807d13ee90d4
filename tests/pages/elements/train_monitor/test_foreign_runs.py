from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from core.paths import PROJECT
from core.runs.foreign.reading import read_history


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))


def open_page():
    page = AppTest.from_file(str(PROJECT / "pages" / "train_monitor.py"), default_timeout=60)
    page.query_params["tm_part"] = "From elsewhere"
    return page.run()


def written(page):
    return " ".join(each.value for each in page.markdown).replace("\\", "")


def test_a_dropped_history_gets_a_verdict():
    page = open_page()
    text = b"epoch,loss,accuracy,val_loss,val_accuracy,test_loss\n0,2,.3,2,.3,9\n1,1,.6,1,.55,8\n"
    page.get("file_uploader")[0].set_value([("keras.csv", text, "text/csv")]).run()
    assert not page.exception
    assert page.selectbox(key="tm_run").value == "dropped/keras.csv"
    assert "val_loss is the validation loss" in written(page)
    assert page.multiselect(key="tm_others_drawn").options == ["test_loss"]
    page.multiselect(key="tm_others_drawn").set_value(["test_loss"]).run()
    assert not page.exception
    page.get("file_uploader")[0].set_value([("bad.csv", b"a,b\n1,2\n", "text/csv")]).run()
    assert "no loss and no accuracy" in page.error[0].value.replace("\\", "")


def test_a_dropped_history_is_asked_about_and_read_again_as_said():
    page = open_page()
    text = b"epoch,loss,main_accuracy,aux_accuracy\n1,2,.5,.3\n2,1,.6,.4\n"
    page.get("file_uploader")[0].set_value([("keras.csv", text, "text/csv")]).run()
    assert page.expander[0].label == "keras\\.csv: what it was taken for, please check"
    ((key, dropped),) = page.session_state["tm_foreign"].items()
    said = {"main_accuracy": "train_accuracy"}
    page.session_state["tm_foreign"] = {
        key: replace(dropped, reading=read_history("k.csv", text, said), said=said)
    }
    page.run()
    assert not page.exception
    assert "main_accuracy is the training accuracy (as you said)" in written(page)


@pytest.mark.parametrize(
    "text", [b"epoch,loss\rnan,1\r1,2\r", b"epoch,loss\n1,abc\n", b"[" * 100_000, b"\0" * 50]
)
def test_no_dropped_file_is_called_a_defect(text):
    page = open_page()
    page.get("file_uploader")[0].set_value([("history.csv", text, "text/csv")]).run()
    assert not page.exception
    assert not any("defect" in error.value for error in page.error)
