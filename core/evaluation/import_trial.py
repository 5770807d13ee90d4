"""Weights that people bring, tried out: the first answer, the accuracy on images that have labels, and kept.

Building a network follows its forward, which changes PyTorch for all threads at once: call `try_import` and
`keep_import` where the models are (in a page, through `pages/elements/ask.py`).
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.data.dataset import ImageDataset
from core.data.preprocessing import fit
from core.errors import BadCheckpoint
from core.evaluation.accuracy_check import AccuracyCheck, Cause, apply_cause, check_accuracy
from core.evaluation.probabilities import probabilities
from core.models.card import ModelCard
from core.models.classifier import Classifier
from core.models.import_weights import Plan, Wishes, fill, free_folder, keep, plan_import
from core.models.state_dict import WeightSet
from core.network.summary import ModelSummary, summarize
from core.progress import Progress, no_progress
from core.settings import JsonObject

SHOWN_CLASSES = 5


@dataclass(frozen=True)
class Remedy:
    """What likely went wrong in the import, and what doing it differently brings.

    Attributes:
        words: What is done, such as "mean and std of ImageNet".
        card: With it, as JSON.
        accuracy: On the images that were tried.
    """

    words: str
    card: str
    changes: int
    reverse_channels: bool
    order: tuple[int, ...] | None
    accuracy: float

    def cause(self) -> Cause:
        card = ModelCard.from_json(self.card)
        return Cause(self.words, card, self.changes, self.reverse_channels, self.order, self.accuracy)


@dataclass(frozen=True)
class Measured:
    """The accuracy of an import on a data set.

    Attributes:
        interval: That of 95%.
        fits: Whether it is what was claimed, or what a trained network has.
        better_than_guessing: Whether the interval lies above the share of one class.
        verdict: In words, for people.
    """

    accuracy: float
    interval: tuple[float, float]
    images: int
    fits: bool
    better_than_guessing: bool
    verdict: str
    remedy: Remedy | None


@dataclass(frozen=True)
class Trial:
    """Weights tried in a network of ours, and not yet kept.

    Attributes:
        card_json: The card of the network.
        notes: What had to be done or assumed, in sentences.
        answer: To the first image: class names with probabilities, the likeliest first.
        tensors: How many of the file are the network's.
        measured: Where a data set was given.
    """

    card_json: str
    notes: tuple[str, ...]
    answer: tuple[tuple[str, float], ...]
    tensors: int
    summary: ModelSummary
    measured: Measured | None = None

    @property
    def card(self) -> ModelCard:
        return ModelCard.from_json(self.card_json)


@dataclass(frozen=True)
class Kept:
    """The name in the catalogue under which an import was kept."""

    name: str


def first_answer(classifier: Classifier, pixels: np.ndarray) -> tuple[tuple[str, float], ...]:
    """Ask for one picture (H, W, 3) uint8, to see that the network runs: its likeliest classes.

    Raises:
        BadCheckpoint: It does not, or its answer is not finite.
    """
    image = fit(pixels, classifier.card.preprocessing)
    try:
        logits = classifier.predict_logits(np.array(image)[None])[0]
    except (RuntimeError, ValueError, AssertionError, IndexError, TypeError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BadCheckpoint(
            f"The network does not run on an image of {classifier.card.preprocessing.input_size}: "
            f"{first}. Choose the image size it was trained with."
        ) from None
    if not np.isfinite(logits).all():
        raise BadCheckpoint("The network's answer to the first image is not finite: its weights are damaged.")
    shares = probabilities(logits.astype(np.float64))
    order = np.argsort(-shares)[:SHOWN_CLASSES]
    return tuple((classifier.card.class_names[i], float(shares[i])) for i in order)


def try_import(
    sets: Sequence[WeightSet],
    name: str,
    architecture: str,
    wishes: Wishes,
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
    plan = _plan(sets, name, architecture, wishes, dataset)
    progress(0.0, "Building the network")
    classifier = Classifier(fill(plan), plan.card)
    answer = first_answer(classifier, image)
    notes = (*plan.notes, *_other_answers(plan, wishes, image))
    measured = None
    if dataset is not None:
        check = check_accuracy(classifier, dataset, claimed=claimed, images=images, progress=progress)
        measured = _measured(check, plan.card.number_of_classes)
    preprocessing = plan.card.preprocessing
    summary = summarize(classifier.module, preprocessing.input_size, preprocessing.channels)
    return Trial(plan.card.to_json(), notes, answer, len(plan.fit.names), summary, measured)


def keep_import(
    sets: Sequence[WeightSet],
    name: str,
    architecture: str,
    wishes: Wishes,
    trial: Trial,
    *,
    dataset: ImageDataset | None = None,
    mended: bool = False,
) -> Kept:
    """Write the checkpoint folder of what was tried.

    Args:
        mended: Put right what likely went wrong, as `trial.measured.remedy` says.
    """
    plan = _plan(sets, name, architecture, wishes, dataset)
    module, card, measured = fill(plan), plan.card, trial.measured
    if measured is not None:
        figures = {"accuracy": measured.accuracy, "interval": list(measured.interval)}
        metrics: JsonObject = {"test": figures | {"images": measured.images}}
        if mended and measured.remedy is not None:
            module, card = apply_cause(module, measured.remedy.cause())
            metrics = {"note": f"{measured.remedy.words}: {measured.remedy.accuracy:.1%}"}
        card = dataclasses.replace(card, metrics=metrics)
    return Kept(f"imported/{keep(free_folder(card.name), module, card).card.name}")


def _plan(
    sets: Sequence[WeightSet], name: str, architecture: str, wishes: Wishes, dataset: ImageDataset | None
) -> Plan:
    if dataset is not None and not wishes.class_names:
        wishes = dataclasses.replace(wishes, class_names=dataset.class_names)
    plan = plan_import(sets, name, architecture, wishes)
    if dataset is None:
        return plan
    return dataclasses.replace(plan, card=dataclasses.replace(plan.card, dataset=dataset.name))


def _other_answers(plan: Plan, wishes: Wishes, image: np.ndarray) -> list[str]:
    """What the network would answer with the other value of each setting that was assumed, in sentences."""
    notes = []
    for setting in plan.guess.assumed:
        if setting in wishes.settings:
            continue
        other = not plan.card.settings[setting]
        card = dataclasses.replace(plan.card, settings={**plan.card.settings, setting: other})
        found = first_answer(Classifier(fill(dataclasses.replace(plan, card=card)), card), image)
        answers = ", ".join(f"{name} {share:.1%}" for name, share in found[:3])
        notes.append(f"With {setting}={str(other).lower()} it would answer: {answers}.")
    return notes


def _measured(check: AccuracyCheck, number_of_classes: int) -> Measured:
    cause = check.cause
    remedy = None
    if cause is not None:
        remedy = Remedy(
            cause.words, cause.card.to_json(), cause.changes, cause.reverse_channels, cause.order,
            cause.accuracy,
        )  # fmt: skip
    better = check.interval[0] > 1 / number_of_classes
    verdict = check.verdict
    if check.fits and not better:
        verdict += " That is no better than guessing."
    return Measured(
        check.accuracy, check.interval, check.images, check.fits, better, verdict, remedy
    )  # fmt: skip
