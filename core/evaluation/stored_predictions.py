"""Predictions that come with a checkpoint: what it says of every test image, for where the images are not.

<folder>/predictions.npz    logits in 16 bits and labels, about 200 kB for 10,000 images of ten classes
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from core import store
from core.data.dataset import ImageDataset
from core.evaluation.prediction import Predictions, match_classes
from core.models.card import WEIGHTS
from core.models.catalogue import checkpoint_folder, fingerprint_of
from core.paths import write_whole
from core.stored import NotStored, from_answer, to_answer

FILE = "predictions.npz"


@dataclass(frozen=True, eq=False)
class StoredPredictions:
    """What a classifier says of a split.

    Attributes:
        classifier: Its fingerprint when the predictions were made.
        weights: sha256 of its weights file.
        dataset: The data set's name in the catalogue.
        images: The fingerprint of the split.
        class_names: Of the classifier.
        logits: (N, K) float16, with the same predicted class for each image as the classifier's own.
        labels: (N,) uint16, indices into `class_names`.
    """

    classifier: str
    weights: str
    dataset: str
    split: str
    images: str
    class_names: tuple[str, ...]
    logits: np.ndarray
    labels: np.ndarray

    @property
    def predictions(self) -> Predictions:
        """As they would be made now, but for the 16 bits, which move a probability by less than 1 %."""
        labels = self.labels.astype(np.int64)
        return Predictions(self.logits.astype(np.float32), labels, self.class_names, np.arange(len(labels)))


def stored_predictions(name: str, dataset: str | None = None) -> StoredPredictions | None:
    """The predictions that come with a classifier; None where there are none, or its weights are others now.

    Args:
        name: The classifier's, in the catalogue.
        dataset: Only predictions for this data set.
    """
    folder = checkpoint_folder(name)
    if folder is None:
        return None
    path = folder / FILE
    answer = store.open_file(path, f"{path} {_changed(path)}")
    if answer is None:
        return None
    try:
        found = from_answer(StoredPredictions, answer)
    except NotStored:
        return None
    if dataset not in (None, found.dataset) or found.classifier != fingerprint_of(name):
        return None
    weights = folder / WEIGHTS
    return found if _sha256(weights, _changed(weights)) == found.weights else None


def keep_predictions(name: str, dataset: ImageDataset, split: str, logits: np.ndarray) -> Path:
    """Write the predictions of a split beside the checkpoint.

    Args:
        logits: (N, K) float32, as `predict_split` returns them. All classes of the data set must be known.
    Returns:
        The file.
    """
    from core.models.catalogue import card_of

    folder, card = checkpoint_folder(name), card_of(name)
    assert folder is not None, f"{name} has no checkpoint folder"
    matching, _ = match_classes(dataset.class_names, card.class_names)
    images, weights = dataset.split(split), folder / WEIGHTS
    found = StoredPredictions(
        fingerprint_of(name) or "", _sha256(weights, _changed(weights)), dataset.name, split,
        images.fingerprint, card.class_names, _in_16_bits(logits), matching[images.labels].astype(np.uint16),
    )  # fmt: skip
    write_whole(folder / FILE, store.to_bytes(to_answer(found)))
    return folder / FILE


def _in_16_bits(logits: np.ndarray) -> np.ndarray:
    """Logits in 16 bits: where rounding makes another class the first, the class that was it is raised."""
    rounded = logits.astype(np.float16)
    rows, best = np.arange(len(logits)), logits.argmax(axis=1)
    changed = rounded.argmax(axis=1) != best
    raised = np.nextafter(rounded.max(axis=1), np.float16(np.inf))
    rounded[rows[changed], best[changed]] = raised[changed]
    return rounded


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns if path.is_file() else 0


@lru_cache(maxsize=64)
def _sha256(path: Path, changed: int) -> str:
    """Of a file; read again only when it has changed."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
