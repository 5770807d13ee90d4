"""What a classifier says of every image of a split: computed once, and everything else is made from it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from core.data.dataset import Split
from core.errors import BadDataset
from core.evaluation.finite import check_finite
from core.progress import Progress, no_progress

if TYPE_CHECKING:
    from core.models.classifier import Classifier


@dataclass(frozen=True, eq=False)
class SplitLogits:
    """What a classifier says of every image of a split.

    Attributes:
        logits: (N, K) float32.
    """

    logits: np.ndarray


@dataclass(frozen=True, eq=False)
class Predictions:
    """The logits of N images beside their labels, both in the classifier's K classes.

    Attributes:
        logits: (N, K) float32.
        labels: (N,) int64, indices into `class_names`.
        rows: (N,) int64, the row of each image in its split.
        note: What people should know of how the classes were matched; empty where nothing is particular.
    """

    logits: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    rows: np.ndarray
    note: str = field(default="", compare=False)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def number_of_classes(self) -> int:
        return len(self.class_names)

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Softmax of the logits: (N, K) float64, each row summing to 1."""
        values = np.exp(self.logits.astype(np.float64) - self.logits.max(axis=1, keepdims=True))
        share: np.ndarray = values / values.sum(axis=1, keepdims=True)
        return share

    @cached_property
    def predicted(self) -> np.ndarray:
        """The class with the largest logit, the first of several: (N,) int64."""
        return self.logits.argmax(axis=1).astype(np.int64)

    @cached_property
    def confidence(self) -> np.ndarray:
        """The probability of the predicted class: (N,) float64."""
        picked: np.ndarray = self.probabilities[np.arange(len(self)), self.predicted]
        return picked

    @cached_property
    def correct(self) -> np.ndarray:
        """Whether the prediction is the label: (N,) bool."""
        right: np.ndarray = self.predicted == self.labels
        return right

    def where(
        self, *, true: int | None = None, predicted: int | None = None, wrong: bool = False
    ) -> np.ndarray:
        """Which images these are, the most confident first: positions in these predictions, (n,) int64.

        Args:
            true: Only images of this class.
            predicted: Only images that were taken for this class.
            wrong: Only images whose prediction is not their label.
        """
        keep = np.ones(len(self), bool)
        if true is not None:
            keep &= self.labels == true
        if predicted is not None:
            keep &= self.predicted == predicted
        if wrong:
            keep &= ~self.correct
        found = np.flatnonzero(keep)
        return found[np.argsort(-self.confidence[found], kind="stable")]


def predict_split(classifier: "Classifier", split: Split, progress: Progress = no_progress) -> np.ndarray:
    """The logits of every image of a split, in its order.

    Shape:
        returns: (N, K) float32
    Raises:
        OutOfMemory: Not even one image fits.
    """
    from core.data.fitting import fitted

    pixels = fitted(split.images, classifier.card.preprocessing, lambda share, text: progress(0.0, text))
    total = len(split)

    def said(share: float, note: str) -> None:
        progress(share, note or f"{round(share * total):,} of {total:,} images")

    return classifier.predict_logits(
        lambda start, stop: pixels(np.arange(start, stop)), n=total, progress=said
    )


def match_classes(theirs: Sequence[str], ours: Sequence[str]) -> tuple[np.ndarray, str]:
    """For every class of a data set the index of the classifier's class of that name.

    Case, spaces, `_` and `-` make no difference, and one name of several between commas is enough, as
    ImageNet writes them. Where no name at all is shared but the number of classes is the same, the order
    decides, and the note says so.

    Args:
        theirs: Names of the data set's classes.
        ours: Names of the classifier's classes.
    Shape:
        returns: (number of the data set's classes,) int64, −1 where the classifier has no such class
    Raises:
        BadDataset: They have nothing in common.
    """
    found = np.full(len(theirs), -1, np.int64)
    whole = _index_by(ours, lambda name: [_plain(name)])
    parts = _index_by(ours, lambda name: [_plain(part) for part in name.split(",")])
    for index, name in enumerate(theirs):
        candidates = whole.get(_plain(name)) or parts.get(_plain(name)) or []
        if len(candidates) == 1:
            found[index] = candidates[0]
    missing = [name for name, index in zip(theirs, found, strict=True) if index < 0]
    if len(missing) == len(theirs):
        if len(theirs) == len(ours):
            return np.arange(len(theirs)), (
                f"The classes have other names in the data set ({theirs[0]}, …) than in the classifier "
                f"({ours[0]}, …), so they were matched by their order."
            )
        raise BadDataset(
            f"The data set's {len(theirs)} classes ({_some(theirs)}) are none of the classifier's "
            f"{len(ours)} ({_some(ours)}): choose a data set with the classes it was trained on."
        )
    known = [name for name, index in zip(theirs, found, strict=True) if index >= 0]
    if len(known) == 1 < len(theirs):
        raise BadDataset(
            f"Of the data set's {len(theirs)} classes the classifier knows “{known[0]}” only, and one class "
            "cannot be mixed up: choose a data set with the classes it was trained on."
        )
    if len({int(i) for i in found if i >= 0}) < len(theirs) - len(missing):
        raise BadDataset(
            f"Two of the data set's classes ({_some(theirs)}) have the same name as one class of the "
            "classifier: rename one of them."
        )
    note = ""
    if missing:
        note = (
            f"{len(missing)} of the data set's {len(theirs)} classes are unknown to this classifier "
            f"({_some(missing)}): their images are left out."
        )
    return found, note


def predictions_of(
    logits: np.ndarray, split: Split, dataset_classes: Sequence[str], class_names: Sequence[str]
) -> Predictions:
    """The logits of a split beside its labels, in the classifier's classes.

    Args:
        logits: (N, K) as `predict_split` returns them.
        dataset_classes: Names of the data set's classes, which `split.labels` counts.
        class_names: Names of the classifier's K classes.
    Raises:
        BadDataset: The classes have nothing in common, or no image is left.
        NotFinite: A logit is NaN or infinite.
    """
    check_finite(logits, "logits")
    matching, note = match_classes(dataset_classes, class_names)
    labels = matching[split.labels]
    rows = np.flatnonzero(labels >= 0)
    if not len(rows):
        raise BadDataset(f"No image is left to judge: {note} Choose another split or data set.")
    return Predictions(logits[rows], labels[rows], tuple(class_names), rows, note)


def _index_by(names: Sequence[str], keys_of) -> dict[str, list[int]]:  # type: ignore[no-untyped-def]
    index: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        for key in dict.fromkeys(keys_of(name)):
            index.setdefault(key, []).append(number)
    return index


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _some(names: Sequence[str], limit: int = 4) -> str:
    return ", ".join(map(str, names[:limit])) + (", …" if len(names) > limit else "")
