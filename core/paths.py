"""Where Convoscope keeps what it makes and fetches: one folder, which may be deleted at any time.

.convoscope/          in a checkout, in one's home folder where Convoscope is installed, or the folder in
                      CONVOSCOPE_HOME
  cache/              answers already computed, within a size limit
  data/               data sets: downloads and uploads
  weights/            downloaded weights
  runs/               trainings and other long jobs, one folder each
"""

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

# Seconds between tries to replace a file that somebody has open.
PAUSES_BETWEEN_TRIES = (0.01, 0.03, 0.1, 0.3)
PROJECT = Path(__file__).resolve().parent.parent


def home_folder() -> Path:
    """Convoscope's own folder, whether it exists or not."""
    given = os.environ.get("CONVOSCOPE_HOME")
    if given:
        return Path(given).expanduser()
    installed = PROJECT.name == "convoscope" and PROJECT.parent.name in ("site-packages", "dist-packages")
    return (Path.home() if installed else PROJECT) / ".convoscope"


def home(*parts: str) -> Path:
    """The folder `parts` below Convoscope's own, made if it is missing."""
    folder = home_folder().joinpath(*parts)
    if not folder.is_dir():  # looking is four times as quick as making what is there
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_whole(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a file so that others see all of it or the one before, after a crash too.

    Args:
        durable: Wait until it is on the disk, so that a power failure leaves no empty file. What can be made
            again need not.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        replace_file(Path(temporary), path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def replace_file(temporary: Path, path: Path) -> None:
    """Put a file in the place of another. Windows refuses that while it is read: then a moment later."""
    for pause in PAUSES_BETWEEN_TRIES:
        try:
            os.replace(temporary, path)
            return
        except PermissionError:
            time.sleep(pause)
    os.replace(temporary, path)


def from_json(text: str | bytes) -> Any:
    """What a JSON text says, also one that another program wrote.

    Raises:
        ValueError: It is not JSON, or nests deeper than Python follows.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it nests too deeply") from None


def read_json(path: Path) -> Any:
    """What a JSON file says; None where there is none, or it is damaged."""
    try:
        return from_json(path.read_bytes())
    except (OSError, ValueError):
        return None
