"""Where a filter index lives: beside its checkpoint, or in the cache where that folder is not ours to write.

An index is one file, `filter_index/<key>.npz` in the checkpoint's folder, and opens at once. Beside it, while
it is being made, is what was added up so far (`.part`): the next question for it goes on from there.
"""

import os
from pathlib import Path

from core import store
from core.filters.filter_index import FilterIndex
from core.models.checkpoint import write_whole
from core.models.question import Question
from core.paths import PROJECT, home
from core.stored import NotStored, to_answer

LABEL = "filter index 3"
FOLDER = "filter_index"


def index_question(
    classifier: str, split_fingerprint: str, images: int, k: int, fingerprint: str | None = None
) -> Question[FilterIndex]:
    """The index of so many images of a split, with k of each kind.

    Args:
        classifier: Its name in the catalogue.
        fingerprint: Of the classifier, where it is not the one that the catalogue has now.
    """
    return Question(LABEL, classifier, FilterIndex, (split_fingerprint, images, k), fingerprint)


def index_folder(checkpoint: Path | None) -> Path | None:
    """The folder for the indexes of a checkpoint; None where the cache has them.

    What ships is left as it was shipped.
    """
    if checkpoint is None or PROJECT / "checkpoints" in checkpoint.resolve().parents:
        return None
    return checkpoint / FOLDER if os.access(checkpoint, os.W_OK) else None


def part_path(question: Question[FilterIndex], checkpoint: Path | None) -> Path:
    """Where to save what an index has added up so far."""
    return (index_folder(checkpoint) or home("cache") / FOLDER) / f"{question.key}.part"


def find_index(question: Question[FilterIndex], checkpoint: Path | None) -> FilterIndex | None:
    """The stored index, or None."""
    folder, key = index_folder(checkpoint), question.key
    answer = store.open_file(folder / f"{key}.npz", key) if folder is not None else None
    if answer is None:
        answer = store.find(key)
    if answer is None:
        return None
    try:
        return question.read(answer)
    except NotStored:  # of an earlier form
        return None


def keep_index(question: Question[FilterIndex], checkpoint: Path | None, index: FilterIndex) -> FilterIndex:
    """Store an index and drop what was saved on the way; returned is what `find_index` will give."""
    folder = index_folder(checkpoint)
    part_path(question, checkpoint).unlink(missing_ok=True)
    if folder is None:
        return question.keep(index)
    try:
        folder.mkdir(exist_ok=True)
        write_whole(folder / f"{question.key}.npz", store.to_bytes(to_answer(index)))
    except OSError:  # a full disk, or a folder that cannot be written to after all
        return question.keep(index)
    return find_index(question, checkpoint) or index
