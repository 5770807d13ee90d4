"""What an index has added up so far, in a file: going on from it gives the same figures."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core.filters.channel_statistics import LayerSums
from core.models.checkpoint import write_whole


def save_part(path: Path, layers: Sequence[LayerSums], batch_size: int, images: int) -> None:
    """Write what was added up of the first `images`. A full disk costs the part, not the index."""
    import io

    out = io.BytesIO()
    arrays = {f"{i}/{name}": a for i, one in enumerate(layers) for name, a in one.arrays().items()}
    np.savez(out, allow_pickle=False, done=np.array([images, batch_size]), **arrays)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, out.getvalue())
    except OSError:
        path.unlink(missing_ok=True)


def read_part(path: Path, layers: Sequence[LayerSums], batch_size: int) -> int:
    """Put what was saved into the layers, and return how many images that were; 0 where there is none.

    A file that cannot be read, or that is of another batch size, counts as none.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            images, size = (int(n) for n in file["done"])
            if size != batch_size:
                return 0
            held = [{name: file[f"{i}/{name}"] for name in one.state} for i, one in enumerate(layers)]
        for one, arrays in zip(layers, held, strict=True):
            one.restore(arrays)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        for one in layers:
            one.clear()
        return 0
    return images
