"""An imported checkpoint tried out: its first answer, and its accuracy on images that have labels."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from core.data.dataset import ImageDataset
from core.data.preprocessing import fit
from core.errors import BadCheckpoint
from core.evaluation.accuracy_check import AccuracyCheck, apply_cause, check_accuracy
from core.evaluation.probabilities import probabilities
from core.models.card import ModelCard
from core.models.classifier import Classifier
from core.models.import_weights import fill, free_folder, keep
from core.progress import Progress, no_progress


def first_answer(classifier: Classifier, pixels: np.ndarray) -> list[tuple[str, float]]:
    """Ask for one picture (H, W, 3) uint8, to see that the network runs: its likeliest classes.

    Raises:
        BadCheckpoint: It does not, or its answer is not finite.
    """
    image = fit(pixels, classifier.card.preprocessing)
    try:
        logits = classifier.predict_logits(np.array(image)[None])[0]
    except (RuntimeError, ValueError) as error:
        raise BadCheckpoint(
            f"The network does not run on an image of {classifier.card.preprocessing.input_size}: "
            f"{str(error).splitlines()[0]}. Choose the image size it was trained with."
        ) from None
    if not np.isfinite(logits).all():
        raise BadCheckpoint("The network's answer to a first image is not finite: its weights are damaged.")
    shares = probabilities(logits.astype(np.float64))
    order = np.argsort(-shares)[:5]
    return [(classifier.card.class_names[i], float(shares[i])) for i in order]


@dataclass(frozen=True, eq=False)
class Trial:
    """Weights in a network of ours, tried and not yet kept.

    Attributes:
        notes: What had to be done or assumed, in sentences.
        answer: To the first image: class names with probabilities, the likeliest first.
        check: Of the accuracy, where a data set was given.
    """

    classifier: Classifier
    notes: tuple[str, ...]
    answer: list[tuple[str, float]]
    check: AccuracyCheck | None = None

    def keep(self, *, mended: bool = False) -> Classifier:
        """Write the checkpoint folder, with the likely cause of a lost accuracy put right if asked for."""
        module, card = self.classifier.module, self.classifier.card
        if self.check is not None:
            measured = {"accuracy": self.check.accuracy, "interval": list(self.check.interval)}
            metrics: dict[str, Any] = {"test": measured | {"images": self.check.images}}
            if mended and self.check.cause is not None:
                module, card = apply_cause(module, self.check.cause)
                metrics = {"note": f"{self.check.cause.words}: {self.check.cause.accuracy:.1%}"}
            card = dataclasses.replace(card, metrics=metrics)
        return keep(free_folder(card.name), module, card)


def try_import(
    tensors: Mapping[str, Tensor],
    card: ModelCard,
    image: np.ndarray,
    *,
    dataset: ImageDataset | None = None,
    claimed: float | None = None,
    images: int = 2000,
    progress: Progress = no_progress,
) -> Trial:
    """Build the network, fill it, ask it for one image and, where there is a data set, check its accuracy.

    Args:
        image: (H, W, 3) uint8, any picture.
        claimed: The accuracy it is said to have, 0…1.
        images: Measured on at most so many of the data set's test images.
    Raises:
        BadCheckpoint: The weights do not fit or do not answer.
        SettingError: The data set's classes are not the network's.
    """
    module, notes = fill(card, tensors)
    classifier = Classifier(module, card)
    answer = first_answer(classifier, image)
    check = None
    if dataset is not None:
        card = dataclasses.replace(card, dataset=dataset.name)
        classifier = Classifier(module, card)
        check = check_accuracy(classifier, dataset, claimed=claimed, images=images, progress=progress)
    return Trial(classifier, tuple(notes), answer, check)
