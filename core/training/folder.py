"""The folder of a training run: its settings, the state it can be taken up from, and nothing half written.

<folder>/settings.json        what was asked for; a run with other settings needs another folder
         state.pt             weights, optimizer and sums at the last save; small once the run has ended
         weights.safetensors  the best epoch's weights, with card.json
         last.safetensors     the last epoch's weights, once the run has ended
         history.jsonl        records, appended by whoever runs `train`
"""

import io
import json
import os
import platform
import shlex
from pathlib import Path
from typing import Any

import torch

from core.errors import BadCheckpoint, SettingError
from core.settings import Setting

SETTINGS, STATE, LAST = "settings.json", "state.pt", "last.safetensors"
_MAY_CHANGE = {"device"}


def claim_folder(folder: Path, settings: dict[str, Any]) -> None:
    """Make the folder this run's, or check that it is.

    Raises:
        SettingError: It holds a run with other settings; the message names the first that differs.
    """
    path = folder / SETTINGS
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        for name, value in settings.items():
            if name not in _MAY_CHANGE and name in before and before[name] != value:
                raise SettingError(
                    f"The folder {folder.name!r} holds a run with {name} = {before[name]!r}, and now {name} "
                    f"is {value!r}: resume it with its own settings, or choose another name."
                )
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(settings, indent=2, ensure_ascii=False) + "\n").encode())


def load_state(folder: Path) -> dict[str, Any] | None:
    """What `save_state` wrote last; None for a run that has not got so far.

    Raises:
        BadCheckpoint: The file is damaged.
    """
    path = folder / STATE
    if not path.exists():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, ValueError, EOFError) as error:
        raise BadCheckpoint(
            f"{folder.name}/{STATE} cannot be read ({str(error).splitlines()[0]}): delete it to start this "
            "run again from the beginning."
        ) from None


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write the state, whole or not at all."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomically(folder / STATE, buffer.getbuffer())


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    with open(partial, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def command_of(name: str, settings: dict[str, Any], declared: tuple[Setting, ...]) -> str:
    """The shell command of a run: its name, and every setting that is not the default."""
    words = ["python", "-m", "core", "train", "--name", name]
    for setting in declared:
        value = settings[setting.name]
        if value != setting.default and setting.name not in _MAY_CHANGE:
            written = str(value).lower() if isinstance(value, bool) else str(value)
            words += [f"--{setting.name.replace('_', '-')}", written]
    return shlex.join(words)


def versions() -> dict[str, str]:
    """Of what a run's digits depend on."""
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
