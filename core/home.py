"""Where Convoscope keeps what it makes and fetches: one folder, which may be deleted at any time.

.convoscope/          or the folder in CONVOSCOPE_HOME
  cache/              answers already computed, within a size limit
  data/               data sets: downloads and uploads
  weights/            downloaded weights
  runs/               trainings and other long jobs, one folder each
"""

import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


def home(*parts: str) -> Path:
    """The folder `parts` below Convoscope's own, made if it is missing."""
    root = os.environ.get("CONVOSCOPE_HOME")
    folder = (Path(root).expanduser() if root else PROJECT / ".convoscope").joinpath(*parts)
    if not folder.is_dir():  # looking is four times as quick as making what is there
        folder.mkdir(parents=True, exist_ok=True)
    return folder
