"""Do the weights of a checkpoint still reach what its card says? The test images are asked again."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.data.catalogue import catalogue_entry, open_dataset
from core.data.dataset import ImageDataset, Split
from core.data.fitting import fitted
from core.errors import ConvoscopeError, Unavailable
from core.evaluation.prediction import predict_split
from core.history import StartRecord, of_kind, read_history
from core.models.card import HISTORY
from core.models.checkpoint import load_checkpoint
from core.models.classifier import Classifier
from core.progress import Progress, no_progress
from core.settings import assignments_in

# Two logits so close together, as a share of the largest, may change places on another processor.
ACCURACY_TOLERANCE = 1e-3
MEASURED = {"test": "test images", "test_flips_averaged": "test images, flips averaged"}


@dataclass(frozen=True)
class Figure:
    """One accuracy of a card, and what the weights reach here.

    Attributes:
        what: A name in `MEASURED`.
        said: Images that are right by the card.
        correct: Images that are right here.
        close: Images whose two best logits are so close that rounding may decide between them.
    """

    what: str
    said: int
    correct: int
    images: int
    close: int

    @property
    def holds(self) -> bool:
        """Whether nothing but rounding lies between the two."""
        return abs(self.said - self.correct) <= self.close

    @property
    def words(self) -> str:
        """Both figures and the judgment, for people."""
        both = f"{self.said / self.images:.2%} on the card, {self.correct / self.images:.2%} here"
        counts = f"{self.correct:,} of {self.images:,} {MEASURED[self.what]}"
        apart = abs(self.said - self.correct)
        if not apart:
            return f"{both}: equal ({counts})"
        if self.holds:
            return f"{both}: equal but for {apart} that another processor rounds differently ({counts})"
        return f"{both}: NOT EQUAL ({counts}, {self.said:,} by the card)"


@dataclass(frozen=True)
class CheckpointCheck:
    """What was found: `figures`, or why nothing could be measured; `reason` also tells what to mind."""

    name: str
    figures: tuple[Figure, ...]
    reason: str = ""

    @property
    def holds(self) -> bool:
        return all(figure.holds for figure in self.figures)


def check_checkpoint(
    folder: Path, *, download: bool = False, progress: Progress = no_progress
) -> CheckpointCheck:
    """Measure the test accuracies of a card again.

    Args:
        download: Fetch a data set whose test images are not here.
    Raises:
        BadCheckpoint: Its weights are not those of its card, or do not fit.
    """
    classifier = load_checkpoint(folder)
    card = classifier.card
    wanted = {what: card.metrics[what] for what in MEASURED if "correct" in card.metrics.get(what, {})}
    if not wanted:
        return CheckpointCheck(card.name, (), "its card states no test accuracy.")
    settings = dataset_settings_of(folder)
    if download and catalogue_entry(card.dataset).setting("download"):
        settings["download"] = True
    try:
        dataset = open_dataset(card.dataset, progress=progress, **settings)
        test = dataset.split("test")
    except Unavailable as error:
        return CheckpointCheck(card.name, (), str(error))
    except ConvoscopeError as error:
        return CheckpointCheck(card.name, (), f"{card.dataset} cannot be opened: {error}")
    logits = predict_split(classifier, test, progress)
    figures = []
    for what, stated in wanted.items():
        answers = logits if what == "test" else (logits + _mirrored(classifier, test, progress)) / 2
        figures.append(_figure(what, stated, answers, test.labels))
    return CheckpointCheck(card.name, tuple(figures), _other_pixels(card.dataset_fingerprint, dataset))


def dataset_settings_of(folder: Path) -> dict[str, Any]:
    """The settings of the data set that a run was trained on, as its history tells."""
    starts = list(of_kind(read_history(folder / HISTORY), StartRecord))
    text = starts[-1].settings.get("dataset_settings") if starts else ""
    return dict(assignments_in(text or ""))


def _mirrored(classifier: Classifier, split: Split, progress: Progress) -> np.ndarray:
    pixels = fitted(split.images, classifier.card.preprocessing)
    return classifier.predict_logits(
        lambda start, stop: np.ascontiguousarray(pixels(np.arange(start, stop))[:, :, ::-1]),
        n=len(split),
        progress=progress,
    )


def _figure(what: str, stated: Mapping[str, Any], logits: np.ndarray, labels: np.ndarray) -> Figure:
    best = np.sort(logits, axis=1)[:, -2:].astype(np.float64)
    close = best[:, 1] - best[:, 0] < ACCURACY_TOLERANCE * np.abs(logits).max(axis=1)
    correct = int((logits.argmax(axis=1) == labels).sum())
    return Figure(what, int(stated["correct"]), correct, len(labels), int(close.sum()))


def _other_pixels(fingerprint: str, dataset: ImageDataset) -> str:
    """A warning where the data set is another one than the card's; only a whole one can be compared."""
    if not fingerprint or "train" not in dataset.splits or dataset.fingerprint == fingerprint:
        return ""
    return (
        f"{dataset.title} has other pixels here than where it was trained (sha256 "
        f"{dataset.fingerprint[:12]}… instead of {fingerprint[:12]}…), so the figures may differ."
    )
