"""The folder of a training run: its settings, the state it can be taken up from, and nothing half written.

<folder>/settings.json        what was asked for; a run with other settings needs another folder
         state.pt             weights, optimizer and sums at the last save; small once the run has ended
         weights.safetensors  the best epoch's weights, with card.json
         last.safetensors     the last epoch's weights, once the run has ended
         history.jsonl        records, appended by the command that runs `train`
"""

import dataclasses
import io
import json
import pickle
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import Tensor

from core.errors import BadCheckpoint, SettingError
from core.history import (
    FILE,
    EpochRecord,
    PlainRecord,
    Record,
    StartRecord,
    append_record,
    of_kind,
    plain_record,
    read_history,
    rewrite_history,
    typed_record,
)
from core.models.card import CARD
from core.paths import read_json, write_whole
from core.settings import RENAMED, Settings
from core.training.epoch_sums import EpochSums
from core.training.step import StepperState
from core.training.training_settings import MAY_CHANGE, TrainingSettings

SETTINGS, STATE, LAST = "settings.json", "state.pt", "last.safetensors"


@dataclass(frozen=True)
class RunState:
    """Where a run stands, with all that its next step depends on; by default, a run that begins.

    Attributes:
        epoch: The epoch that is under way, from 1.
        step: How many of its steps are done.
        past: The records of the epochs that have ended.
        sums: What the steps of the present epoch add up to.
        module: The tensors of the network that ever change in this run; None before the first save.
        best_part: Those of the best epoch, where only a part of the network learns.
        stepper: None before the first save.
        finished: The run has ended, and nothing else is kept.
    """

    epoch: int = 1
    step: int = 0
    past: tuple[EpochRecord, ...] = ()
    sums: EpochSums = field(default_factory=EpochSums)
    module: dict[str, Tensor] | None = None
    best_part: dict[str, Tensor] = field(default_factory=dict)
    stepper: StepperState | None = None
    finished: bool = False


class _Saved(TypedDict, total=False):
    """A state as its file has it."""

    finished: bool
    epoch: int
    step: int
    past: list[PlainRecord]
    sums: dict[str, Any]
    module: dict[str, Tensor] | None
    best_part: dict[str, Tensor]
    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    slow: dict[str, Tensor] | None


def claim_folder(folder: Path, settings: TrainingSettings) -> None:
    """Make the folder this run's, or check that it is.

    Raises:
        SettingError: It holds a run with other settings, of which the message names the first, or something
            that this run would overwrite.
        BadCheckpoint: Its settings cannot be read, and its history does not tell them either.
    """
    path, values = folder / SETTINGS, settings.as_values()
    held = read_json(path)
    whole = isinstance(held, dict)
    if not path.exists() and ((folder / FILE).exists() or (folder / CARD).exists()):
        raise SettingError(
            f"The folder {folder.name!r} holds a model or a run of another kind, which this run would "
            "overwrite: choose another name."
        )
    before = held if whole else _settings_by_history(folder) if path.exists() else {}
    before = {RENAMED.get(name, name): value for name, value in before.items()}
    for name, value in values.items():
        if name not in MAY_CHANGE and name in before and before[name] != value:
            raise SettingError(
                f"The folder {folder.name!r} holds a run with {name} = {before[name]!r}, and now {name} "
                f"is {value!r}: resume it with its own settings, or choose another name."
            )
    if not whole:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode())


def _settings_by_history(folder: Path) -> Settings:
    """What a run was started with, where the file that says so is damaged; empty if it had not begun."""
    starts = list(of_kind(read_history(folder / FILE), StartRecord))
    if starts and starts[-1].settings:
        return dict(starts[-1].settings)
    if not any((folder / file).exists() for file in (FILE, STATE, CARD)):
        return {}
    raise BadCheckpoint(
        f"{folder.name}/{SETTINGS} cannot be read, and neither can the history that would tell what this run "
        "was started with: choose another name for a new run."
    )


def load_state(folder: Path) -> RunState:
    """What `save_state` wrote last; a state at the beginning for a run that has not got so far.

    Raises:
        BadCheckpoint: The file is damaged, or of another version.
    """
    path = folder / STATE
    if not path.exists():
        return RunState()
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise BadCheckpoint(
            f"{folder.name}/{STATE} cannot be read ({str(error).splitlines()[0]}): delete it to start this "
            "run again from the beginning."
        ) from None
    try:
        return _state_of(held)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise state_does_not_fit(folder, error) from None


def _state_of(held: _Saved) -> RunState:
    if held.get("finished"):
        return RunState(finished=True)
    past = [typed_record(plain) for plain in held["past"]]
    epochs = tuple(record for record in past if isinstance(record, EpochRecord))
    if len(epochs) != len(past):
        raise ValueError("an epoch's record is damaged")
    return RunState(
        held["epoch"], held["step"], epochs, EpochSums(**held["sums"]), held["module"], held["best_part"],
        StepperState(held["optimizer"], held["scaler"], held.get("slow")),
    )  # fmt: skip


def state_does_not_fit(folder: Path, error: Exception) -> BadCheckpoint:
    """The error to raise where a state is whole, but not one of this run's network."""
    return BadCheckpoint(
        f"{folder.name}/{STATE} does not fit ({(str(error) or repr(error)).splitlines()[0]}): the run was "
        f"started by another version of Convoscope. Give a new run another name; this one's curves stay."
    )


def save_state(folder: Path, state: RunState) -> None:
    """Write the state, whole or not at all."""
    held: _Saved = {"finished": True}
    if not state.finished:
        assert state.stepper is not None
        held = {
            "epoch": state.epoch, "step": state.step, "past": [plain_record(r) for r in state.past],
            "sums": dataclasses.asdict(state.sums), "module": state.module, "best_part": state.best_part,
            "optimizer": state.stepper.optimizer, "scaler": state.stepper.scaler, "slow": state.stepper.slow,
        }  # fmt: skip
    buffer = io.BytesIO()
    torch.save(held, buffer)
    write_whole(folder / STATE, buffer.getvalue())


def write_record(folder: Path, record: Record) -> None:
    """Append a record of `train` to the folder's history.

    A "start" says at which step the run is taken up. What was recorded after that step was done after the
    last save, is lost and will be done again: it leaves the history first.
    """
    if isinstance(record, StartRecord) and (folder / FILE).exists():
        rewrite_history(folder / FILE, lambda held: _still_holds(held, record))
    append_record(folder / FILE, record)


def _still_holds(held: Record, start: StartRecord) -> bool:
    """Whether a record in the history is of what was saved when the run was taken up."""
    if isinstance(held, StartRecord):
        return held.step <= start.step and start.step > 0
    if isinstance(held, EpochRecord):
        return held.epoch < start.epoch
    return getattr(held, "step", start.step + 1) <= start.step


def versions() -> dict[str, str]:
    """The versions of what a run's digits depend on."""
    import numpy

    return {"python": platform.python_version(), "torch": torch.__version__, "numpy": numpy.__version__}


def machine() -> str:
    """The processor by name, as well as the system tells it."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    except OSError:
        pass
    if torch.cuda.is_available():
        name = f"{torch.cuda.get_device_name()}, {name}"
    return f"{name}, {torch.get_num_threads()} threads"
