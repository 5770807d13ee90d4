"""Where Convoscope keeps what it makes and fetches: one folder, which may be deleted at any time.

.convoscope/          or the folder in CONVOSCOPE_HOME
  cache/              answers already computed, within a size limit
  data/               data sets: downloads and uploads
  weights/            downloaded weights
  runs/               trainings and other long jobs, one folder each
"""

import os
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


def home(*parts: str) -> Path:
    """The folder `parts` below Convoscope's own, made if it is missing."""
    root = os.environ.get("CONVOSCOPE_HOME")
    folder = (Path(root).expanduser() if root else PROJECT / ".convoscope").joinpath(*parts)
    if not folder.is_dir():  # looking is four times as quick as making what is there
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_whole(path: Path, data: bytes | memoryview) -> None:
    """Write a file so that others see all of it or the one before, after a crash or a power failure too."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # otherwise the new name may be on disk before the bytes are
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
