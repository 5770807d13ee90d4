"""Where a filter index lives: beside its checkpoint, or in the cache where that folder is not ours to write.

An index is one file, `filter_index/<key>.npz` in the checkpoint's folder, and opens at once. Beside it, while
it is being made, is what was added up so far (`.part`): whoever asks again goes on from there.
"""

import os
from pathlib import Path

from core import store
from core.filters.index import LABEL, depends_on
from core.models.catalogue import fingerprint_of
from core.models.checkpoint import write_whole
from core.paths import PROJECT, home
from core.store import Answer

FOLDER = "filter_index"


def index_key(fingerprint: str, split_fingerprint: str, images: int, k: int) -> str:
    """What the index of so many images of a split, with k of each kind, is stored under."""
    return store.key_of(fingerprint, LABEL, depends_on(split_fingerprint, images, k))


def index_key_of(name: str, split_fingerprint: str, images: int, k: int) -> str:
    """The same for a classifier by its name in the catalogue."""
    return index_key(fingerprint_of(name) or "", split_fingerprint, images, k)


def index_folder(checkpoint: Path | None) -> Path | None:
    """The folder for the indexes of a checkpoint; None where the cache has them.

    What ships is left as it was shipped.
    """
    if checkpoint is None or PROJECT / "checkpoints" in checkpoint.resolve().parents:
        return None
    return checkpoint / FOLDER if os.access(checkpoint, os.W_OK) else None


def part_path(key: str, checkpoint: Path | None) -> Path:
    """Where to save what an index has added up so far."""
    return (index_folder(checkpoint) or home("cache") / FOLDER) / f"{key}.part"


def find_index(key: str, checkpoint: Path | None) -> Answer | None:
    """The stored index, or None."""
    folder = index_folder(checkpoint)
    if folder is not None:
        found = store.open_file(folder / f"{key}.npz", key)
        if found is not None:
            return found
    return store.find(key)


def keep_index(key: str, checkpoint: Path | None, answer: Answer) -> Answer:
    """Store an index and drop what was saved on the way; returned is what `find_index` will give."""
    folder = index_folder(checkpoint)
    part_path(key, checkpoint).unlink(missing_ok=True)
    if folder is None:
        return store.keep(key, answer)
    try:
        folder.mkdir(exist_ok=True)
        write_whole(folder / f"{key}.npz", store.to_bytes(answer))
    except OSError:  # full, or not ours after all
        return store.keep(key, answer)
    return find_index(key, checkpoint) or answer
