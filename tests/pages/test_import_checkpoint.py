"""The import page: from a file to a checkpoint that is listed, and words for what goes wrong."""

import io
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from streamlit.testing.v1 import AppTest

from core import roles
from core.models.architectures import models
from core.models.catalogue import load, names


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))
    return AppTest.from_file("../../pages/import_checkpoint.py", default_timeout=60).run()


def weights() -> bytes:
    torch.manual_seed(0)
    module = models["small_cnn"](
        channels=1, number_of_classes=10, input_size=(8, 8), widths="4,4", hidden=8, batch_norm=True
    )
    buffer = io.BytesIO()
    torch.save({"model": {f"module.{k}": v for k, v in module.state_dict().items()}}, buffer)
    return buffer.getvalue()


def with_file(app: AppTest, data: bytes, name: str = "mine.pth") -> AppTest:
    app.file_uploader(key="import_file").set_value((name, data, "application/octet-stream"))
    return app.run()


def texts(app: AppTest) -> str:
    return " ".join(
        e.value for kind in ("success", "info", "warning", "error", "caption") for e in app.get(kind)
    )


def test_it_says_what_to_do_first(app: AppTest) -> None:
    assert not app.exception
    assert "torch.save(model.state_dict()" in app.info[0].value


def test_three_steps_lead_to_a_checkpoint_that_is_listed(app: AppTest) -> None:
    with_file(app, weights())
    assert "16 tensors" in app.success[0].value
    assert "The weights were under 'model'" in app.success[0].value
    assert app.selectbox(key="import_architecture").value == "small_cnn"  # recognized
    assert "widths=4,4; hidden=8; batch\\_norm=True" in texts(app)
    assert app.text_input(key="import_size_small_cnn").value == "8"
    app.selectbox(key="import_dataset").set_value("digits").run()
    app.text_input(key="import_claimed").set_value("97 %").run()
    app.button(key="import_try").click().run()
    assert not app.exception
    assert "less than the 97.0% that were claimed" in app.warning[0].value
    assert "check the image size" in app.warning[0].value
    app.button(key="import_keep").click().run()
    assert "Kept as **imported/mine**" in texts(app)
    assert "imported/mine" in names()
    card = load("imported/mine").card
    assert card.number_of_classes == 10
    assert card.metrics["test"]["images"] == 359


def test_what_was_tried_is_not_kept_once_something_changed(app: AppTest) -> None:
    with_file(app, weights())
    app.selectbox(key="import_architecture").set_value("small_cnn").run()
    app.button(key="import_try").click().run()
    assert any(button.key == "import_keep" for button in app.button)
    app.text_input(key="import_name").set_value("another").run()
    assert not any(button.key == "import_keep" for button in app.button)
    assert "Something above has changed" in texts(app)


@pytest.mark.parametrize(
    ("data", "name", "message"),
    [
        (b"", "empty.pth", "is empty"),
        (b"\x89PNG", "photo.pth", "not a file of weights"),
    ],
)
def test_other_files_are_refused_in_words(app: AppTest, data: bytes, name: str, message: str) -> None:
    with_file(app, data, name)
    assert not app.exception
    assert message in app.error[0].value


def test_what_does_not_fit_is_explained_and_the_page_lives_on(app: AppTest) -> None:
    with_file(app, weights())
    app.selectbox(key="import_architecture").set_value("resnet18").run()
    assert not app.exception
    assert "do not fit the architecture" in app.error[0].value
    assert "By their shapes they fit small_cnn" in app.error[0].value
    app.selectbox(key="import_architecture").set_value("small_cnn").run()
    app.text_area(key="import_classes").set_value("cat, dog").run()
    app.button(key="import_try").click().run()
    assert "2 class names are given (cat, dog), but the last layer has 10 outputs" in app.error[0].value
    app.text_area(key="import_classes").set_value("").run()
    app.text_input(key="import_settings").set_value("activation=rellu").run()
    assert "activation is 'rellu'" in app.error[0].value
    app.text_input(key="import_settings").set_value("activation=tanh").run()  # the field is still there
    assert not app.error
    app.button(key="import_try").click().run()
    assert any(button.key == "import_keep" for button in app.button)


def test_of_two_sets_of_weights_one_is_chosen(app: AppTest) -> None:
    state = models["resnet18"](
        channels=3, number_of_classes=2, input_size=(32, 32), width=1 / 64
    ).state_dict()
    average = {f"module.{k}": v * 0.5 for k, v in state.items()}
    buffer = io.BytesIO()
    torch.save({"state_dict_ema": average, "state_dict": state}, buffer)
    with_file(app, buffer.getvalue())
    assert app.selectbox(key="import_which").value == "state_dict"
    app.selectbox(key="import_which").set_value("state_dict_ema").run()
    app.button(key="import_try").click().run()
    app.button(key="import_keep").click().run()
    kept = load("imported/mine").module.state_dict()["fc.weight"]
    torch.testing.assert_close(kept, state["fc.weight"] * 0.5)


def test_a_network_no_better_than_guessing_gets_amber(app: AppTest) -> None:
    with_file(app, weights())
    app.selectbox(key="import_dataset").set_value("digits").run()
    app.button(key="import_try").click().run()
    assert not app.exception
    assert len(app.warning) == 1
    assert len(app.success) == 1  # the file alone


def test_nothing_of_size_stays_in_the_session(app: AppTest) -> None:
    with_file(app, weights())
    app.button(key="import_try").click().run()
    _, file, _ = app.session_state["import_outline"]
    sizes = [t.numel() for s in file.sets for t in s.tensors.values() if not t.is_meta]
    assert max(sizes) <= 16


def test_networks_are_built_traced_and_kept_where_the_models_are(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tracing in another thread breaks every forward of the thread that owns the models."""
    threads = []
    trace = torch.fx.Tracer.trace

    def recorded(self: Any, *args: Any, **kwargs: Any) -> Any:
        threads.append(threading.current_thread().name)
        return trace(self, *args, **kwargs)

    monkeypatch.setattr(torch.fx.Tracer, "trace", recorded)
    buffer = io.BytesIO()
    torch.save(torchvision.models.mobilenet_v3_small(num_classes=10).state_dict(), buffer)
    with_file(app, buffer.getvalue())
    assert app.selectbox(key="import_architecture").value == "torchvision/mobilenet_v3_small"
    app.selectbox(key="import_dataset").set_value("digits").run()
    app.text_input(key="import_size_torchvision/mobilenet_v3_small").set_value("32").run()
    app.button(key="import_try").click().run()
    assert not app.exception
    assert not app.error
    app.button(key="import_keep").click().run()
    assert "Kept as **imported/mine**" in texts(app)
    assert set(threads) == {"worker"}


def test_a_visitor_of_a_class_imports_nothing(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roles, "_visitor", lambda: roles.Visitor("ann", False))
    with_file(app, weights())
    assert "Only the teacher may import a checkpoint" in app.error[0].value.replace("\\", "")
    assert not [button for button in app.button if button.key == "import_try"]
