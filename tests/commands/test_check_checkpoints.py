"""`python -m core check-checkpoints`: a card that is right, one that is not, and one nobody can ask."""

import json
import shutil
from pathlib import Path

import pytest

from core.__main__ import main
from core.evaluation.checkpoint_check import Figure, check_checkpoint, dataset_settings_of
from core.history import append_record
from core.paths import PROJECT, home

SHIPPED = PROJECT / "checkpoints" / "digits_cnn"


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))


def a_copy(name: str, **changed: object) -> Path:
    folder = home("runs") / name
    shutil.copytree(SHIPPED, folder)
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, "name": name, **changed}))
    return folder


def test_a_shipped_card_tells_the_truth(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-checkpoints", "digits_cnn"]) == 0
    said = capsys.readouterr().out
    assert "98.05% on the card, 98.05% here: equal (352 of 359 test images)" in said
    assert "1 of 1 measured: all as on their cards." in said


def test_a_card_that_boasts_is_found_out(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = {"test": {"accuracy": 1.0, "correct": 359, "images": 359}}
    a_copy("boast", metrics=metrics)
    assert main(["check-checkpoints", "runs/boast"]) == 1
    said = capsys.readouterr().out
    assert "98.05% here: NOT EQUAL (352 of 359 test images, 359 by the card)" in said
    assert "NOT as on their cards: boast" in said


def test_what_cannot_be_measured_is_named_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    a_copy("afar", dataset="cifar10")
    a_copy("silent", metrics={})
    assert main(["check-checkpoints", "runs/afar", "runs/silent"]) == 0
    said = capsys.readouterr().out
    assert "runs/afar: not measured: CIFAR-10 is not on this machine. Download it (170 MB)" in said
    assert "runs/silent: not measured: its card states no test accuracy." in said
    assert "0 of 2 measured" in said


def test_the_mirror_images_are_averaged_where_the_card_says_so() -> None:
    from core.data.catalogue import open_dataset
    from core.evaluation.accuracy import measure
    from core.models.checkpoint import load_checkpoint

    averaged = measure(load_checkpoint(SHIPPED), open_dataset("digits").split("test"), flips=True).to_json()
    assert averaged["correct"] != 352
    check = check_checkpoint(a_copy("flipped", metrics={"test_flips_averaged": averaged}))
    assert [(f.what, f.correct) for f in check.figures] == [("test_flips_averaged", averaged["correct"])]
    assert check.holds


def test_the_data_sets_settings_come_from_the_history() -> None:
    folder = a_copy("leaky")
    append_record(
        folder / "history.jsonl", {"kind": "start", "settings": {"dataset_settings": "test_share=0.5"}}
    )
    assert dataset_settings_of(folder) == {"test_share": "0.5"}
    check = check_checkpoint(folder)
    assert check.figures[0].images > 800
    assert "Digits has other pixels here than where it was trained" in check.reason


def test_only_answers_that_rounding_may_turn_are_forgiven() -> None:
    assert Figure("test", 90, 88, 100, close=2).holds
    assert "equal but for 2 that another processor rounds differently" in Figure("test", 90, 88, 100, 2).words
    assert not Figure("test", 90, 88, 100, close=1).holds


def test_no_such_checkpoint(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-checkpoints", "digits_cn"]) == 2
    assert "no checkpoint named 'digits_cn'. Did you mean 'digits_cnn'" in capsys.readouterr().err
