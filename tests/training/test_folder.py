"""The folder of a run: what it holds comes back as it was, and nothing of another's is overwritten."""

import json

import pytest
import torch

from core.errors import BadCheckpoint, SettingError, Unavailable
from core.history import (
    FILE,
    EndRecord,
    EpochRecord,
    FeaturesRecord,
    StartRecord,
    StepRecord,
    append_record,
    read_history,
)
from core.training.epoch_sums import EpochSums
from core.training.folder import SETTINGS, STATE, RunState, claim_folder, load_state, save_state, write_record
from core.training.step import StepperState
from core.training.train import train
from core.training.training_settings import TrainingSettings

STATE_OF_A_RUN = RunState(
    epoch=3,
    step=7,
    past=(EpochRecord(1, 10, 2.0, 0.25, validation_loss=1.5, validation_accuracy=0.5, seconds=3.0),
          EpochRecord(2, 20, skipped_steps=10)),
    sums=EpochSums(images=448, loss=3.5, correct=12, norm=2.0, largest_norm=1.5, steps=7, skipped=1),
    module={"weight": torch.arange(6.0).view(2, 3)},
    best_part={"weight": torch.ones(2, 3)},
    stepper=StepperState(
        {"state": {}, "param_groups": [{"lr": 0.1}]}, {"scale": 2.0}, {"weight": torch.zeros(2)}
    ),
)  # fmt: skip


def test_a_state_comes_back_as_it_was(tmp_path):
    save_state(tmp_path, STATE_OF_A_RUN)
    found = load_state(tmp_path)
    assert (found.epoch, found.step, found.past) == (3, 7, STATE_OF_A_RUN.past)
    assert found.sums == STATE_OF_A_RUN.sums
    assert torch.equal(found.module["weight"], STATE_OF_A_RUN.module["weight"])
    assert torch.equal(found.best_part["weight"], torch.ones(2, 3))
    assert found.stepper.optimizer == STATE_OF_A_RUN.stepper.optimizer
    assert found.stepper.scaler == {"scale": 2.0}
    assert torch.equal(found.stepper.slow["weight"], torch.zeros(2))
    assert [path.name for path in tmp_path.iterdir()] == [STATE]


def test_a_folder_without_a_state_is_at_the_beginning_and_an_ended_run_keeps_nothing(tmp_path):
    assert load_state(tmp_path) == RunState()
    save_state(tmp_path, RunState(finished=True))
    assert load_state(tmp_path) == RunState(finished=True)


@pytest.mark.parametrize(("name", "value"), [("past", [{"kind": "epoch"}]), ("sums", {"apples": 3})])
def test_a_state_of_another_form_is_refused_in_words(tmp_path, name, value):
    save_state(tmp_path, STATE_OF_A_RUN)
    held = torch.load(tmp_path / STATE, weights_only=True)
    torch.save(held | {name: value}, tmp_path / STATE)
    with pytest.raises(BadCheckpoint, match=r"state\.pt does not fit"):
        load_state(tmp_path)
    (tmp_path / STATE).write_bytes(b"no state")
    with pytest.raises(BadCheckpoint, match=r"state\.pt cannot be read .* delete it to start this run again"):
        load_state(tmp_path)


def test_a_folder_is_for_one_run_whose_device_may_change(tmp_path):
    folder = tmp_path / "run"
    claim_folder(folder, TrainingSettings(color=0.5))
    assert json.loads((folder / SETTINGS).read_text())["color"] == 0.5
    claim_folder(folder, TrainingSettings(color=0.5, device="cpu"))
    with pytest.raises(SettingError, match=r"holds a run with color = 0\.5, and now color is 0\.1"):
        claim_folder(folder, TrainingSettings(color=0.1))
    # From before the American spelling.
    (folder / SETTINGS).write_text((folder / SETTINGS).read_text().replace("color", "colour"))
    with pytest.raises(SettingError, match=r"holds a run with color = 0\.5"):
        claim_folder(folder, TrainingSettings(color=0.1))


@pytest.mark.parametrize("file", [FILE, "card.json"])
def test_a_model_or_a_run_of_another_kind_is_not_overwritten(tmp_path, file):
    (tmp_path / file).write_text("held\n")
    with pytest.raises(SettingError, match="holds a model or a run of another kind"):
        claim_folder(tmp_path, TrainingSettings())
    assert [path.name for path in tmp_path.iterdir()] == [file]


def test_a_start_takes_away_what_was_recorded_after_the_last_save(tmp_path):
    records = [StartRecord(step=0), StepRecord(1, 5), EpochRecord(1, 10), StepRecord(2, 15),
               EpochRecord(2, 20), FeaturesRecord(1, 2), EndRecord("all epochs done")]  # fmt: skip
    for record in records:
        append_record(tmp_path / FILE, record)
    write_record(tmp_path, StartRecord(epoch=2, step=15))
    assert read_history(tmp_path / FILE) == [*records[:4], StartRecord(epoch=2, step=15)]
    write_record(tmp_path, StartRecord())
    assert read_history(tmp_path / FILE) == [StartRecord()]


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_named_before_the_folder_is_claimed(tmp_path, monkeypatch, device):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    with pytest.raises(
        Unavailable, match=f"The device is '{device}', but PyTorch finds none here. Choose one"
    ):
        list(train(tmp_path / "run", TrainingSettings(dataset="digits", device=device)))
    assert not (tmp_path / "run").exists()


def test_a_network_that_is_not_there_is_named_before_the_folder_is_claimed(tmp_path):
    with pytest.raises(SettingError, match="no setting 'color'"):
        list(train(tmp_path / "run", TrainingSettings(dataset="digits", architecture_settings="color=3")))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "damage", [b"", b'{"seed": 1, "arch', b"null", b"[1]", b"[" * 100_000, b"\xe9", b"\0" * 30], ids=repr
)
def test_damaged_settings_are_written_again_from_the_history(tmp_path, damage):
    settings = TrainingSettings(dataset="digits", epochs=3)
    claim_folder(tmp_path, settings)
    whole = (tmp_path / SETTINGS).read_bytes()
    append_record(tmp_path / FILE, StartRecord(settings=settings.as_values()))
    save_state(tmp_path, STATE_OF_A_RUN)
    (tmp_path / SETTINGS).write_bytes(damage)
    with pytest.raises(SettingError, match="holds a run with seed = 0, and now seed is 5"):
        claim_folder(tmp_path, TrainingSettings(dataset="digits", epochs=3, seed=5))
    claim_folder(tmp_path, settings)
    assert (tmp_path / SETTINGS).read_bytes() == whole


def test_damaged_settings_of_a_run_whose_history_is_gone_are_refused_in_words(tmp_path):
    settings = TrainingSettings(dataset="digits")
    (tmp_path / SETTINGS).write_bytes(b"{")
    claim_folder(tmp_path, settings)  # it had not begun: nothing is lost
    (tmp_path / SETTINGS).write_bytes(b"{")
    save_state(tmp_path, STATE_OF_A_RUN)
    with pytest.raises(BadCheckpoint, match="cannot be read, and neither can the history"):
        claim_folder(tmp_path, settings)
