"""Does an imported network reach the accuracy that was claimed for it, and if not, what is likely wrong?

Normalization, the order of the color channels and of the classes, and the activation are no part of the
weights: they are tried one after another on some images, and the one that brings the accuracy back is named.
"""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from core.data.dataset import ImageDataset, Split
from core.data.fitting import fitted
from core.data.preprocessing import Preprocessing
from core.errors import SettingError
from core.evaluation.accuracy import wilson_interval
from core.evaluation.probabilities import probabilities
from core.models.architectures import models
from core.models.card import ModelCard
from core.models.checkpoint import build
from core.models.classifier import Classifier
from core.progress import Progress, no_progress
from core.settings import Choice

TRIED_IMAGES = 400
IMAGENET_MEAN_AND_STD = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class Cause:
    """Something to do differently, and what it brings.

    Attributes:
        words: What is done, such as "mean and std of ImageNet".
        card: The card with it; `reverse_channels` and `order` cannot stand there.
        reverse_channels: Blue, green, red: the first layer's filters are turned round.
        order: Which output each class has, where the classes stand in another order.
        changes: How many things are done differently.
        accuracy: On the images that were tried.
    """

    words: str
    card: ModelCard
    changes: int = 1
    reverse_channels: bool = False
    order: tuple[int, ...] | None = None
    accuracy: float = 0.0


@dataclass(frozen=True)
class AccuracyCheck:
    """What was measured, and what follows from it.

    Attributes:
        accuracy: As the network was imported, with its 95% interval.
        verdict: In words, for people.
        cause: What restores the accuracy; None where nothing needs to, or nothing was found.
    """

    accuracy: float
    interval: tuple[float, float]
    images: int
    claimed: float | None
    fits: bool
    verdict: str
    cause: Cause | None = None


def check_accuracy(
    classifier: Classifier,
    dataset: ImageDataset,
    *,
    claimed: float | None = None,
    images: int = 2000,
    progress: Progress = no_progress,
) -> AccuracyCheck:
    """Measure on (a part of) the test images, compare with the claim, look for the cause if it falls short.

    Args:
        claimed: The accuracy it is said to have, 0…1; without it the search starts where it is below 0.5 or
            three times that of guessing, whichever is less.
        images: Stratified, at most so many.
    Raises:
        SettingError: The data set's classes are not the network's.
    """
    split = _test_split(dataset).subset(images)
    labels = _labels(classifier.card, dataset, split)
    logits = _logits(classifier, split, lambda share, text: progress(0.4 * share, "Measuring"))
    right = int((logits.argmax(1) == labels).sum())
    accuracy, interval = right / len(split), wilson_interval(right, len(split))
    chance = 1 / classifier.number_of_classes
    wanted = claimed if claimed is not None else min(0.5, 3 * chance)
    shown = f"{accuracy:.1%} on {len(split)} images ({interval[0]:.1%} to {interval[1]:.1%})"
    if interval[1] >= wanted:
        words = f"It reaches {shown}"
        words += f", which fits the {_percent(claimed)} that were claimed." if claimed is not None else "."
        return AccuracyCheck(accuracy, interval, len(split), claimed, True, words)
    cause = _find_cause(
        classifier, split, labels, claimed, lambda share, text: progress(0.4 + 0.6 * share, text)
    )
    short = (
        f"less than the {_percent(claimed)} that were claimed"
        if claimed is not None
        else "hardly better than guessing"
    )
    words = f"It reaches {shown}, {short}. "
    if cause is None:
        words += (
            "Neither another normalization, nor blue and red exchanged, nor another order of the classes or "
            "another activation brings it back: check the image size, the resizing and whether these are the "
            "best weights."
        )
    else:
        words += f"With {cause.words} it reaches {cause.accuracy:.1%}: that is the likely cause."
    return AccuracyCheck(accuracy, interval, len(split), claimed, False, words, cause)


def _percent(share: float) -> str:
    """With as many places as were claimed, one or two."""
    return f"{share:.1%}" if abs(share - round(share, 3)) < 1e-9 else f"{share:.2%}"


def apply_cause(module: nn.Module, cause: Cause) -> tuple[nn.Module, ModelCard]:
    """The network and card with the cause put right; the module itself is left as it is.

    Turned channels are turned in the first layer's filters, another order of classes in the card's names.
    """
    card = cause.card
    changed = build(card)
    changed.load_state_dict(module.state_dict())
    if cause.reverse_channels:
        reverse_first_layer(changed)
        preprocessing = card.preprocessing
        card = dataclasses.replace(
            card,
            preprocessing=dataclasses.replace(
                preprocessing, mean=preprocessing.mean[::-1], std=preprocessing.std[::-1]
            ),
        )
    if cause.order is not None:
        names = list(card.class_names)
        for label, output in enumerate(cause.order):
            names[output] = card.class_names[label]
        card = dataclasses.replace(card, class_names=tuple(names))
    return changed.eval(), card


@torch.no_grad()
def reverse_first_layer(module: nn.Module) -> None:
    """Let the first convolution take red, green, blue where it took blue, green, red."""
    first = next(part for part in module.modules() if isinstance(part, nn.Conv2d))
    first.weight.copy_(first.weight.flip(1))


def _find_cause(
    classifier: Classifier, split: Split, labels: np.ndarray, claimed: float | None, progress: Progress
) -> Cause | None:
    """The best of all tries on some images, if it brings back what was claimed and that cannot be chance."""
    rows = np.sort(np.random.default_rng(0).permutation(len(split))[:TRIED_IMAGES])
    some, truth = split.take(rows), labels[rows]
    before = _logits(classifier, some).argmax(1) == truth
    found: list[tuple[tuple[float, int, float], Cause, np.ndarray]] = []
    tries = list(_tries(classifier, split))
    for number, cause in enumerate(tries):
        progress(number / len(tries), f"Trying {cause.words}")
        module: nn.Module = build(cause.card)
        module.load_state_dict(classifier.module.state_dict())
        trial = Classifier(module, cause.card, device=classifier.device)
        logits = _logits(trial, some, reverse=cause.reverse_channels)
        right = logits.argmax(1) == truth
        found.append((_rank(logits, truth, cause), cause, right))
        # An order is fitted to the images, so it is looked for only where the claim says what it must reach.
        order = _best_order(logits, truth) if claimed is not None else None
        if order is not None:
            words = "the classes in another order"
            words = words if cause.words == "as it is" else f"{cause.words} and {words}"
            cause = dataclasses.replace(
                cause, words=words, order=tuple(order.tolist()), changes=cause.changes + 1
            )
            logits = logits[:, order]
            found.append((_rank(logits, truth, cause), cause, logits.argmax(1) == truth))
    _, cause, right = max(found, key=lambda item: item[0])
    gained, lost = int((right & ~before).sum()), int((~right & before).sum())
    if gained - lost <= 2.6 * max(1, gained + lost) ** 0.5:  # a sign test at one in a hundred
        return None
    if wilson_interval(int(right.sum()), len(right))[1] < (claimed if claimed is not None else 0.5):
        return None
    return dataclasses.replace(cause, accuracy=float(right.mean()))


def _rank(logits: np.ndarray, truth: np.ndarray, cause: Cause) -> tuple[float, int, float]:
    """Accuracy to a percent; among equals what changes less; then how sure the network is of the truth."""
    of_the_truth = probabilities(logits.astype(np.float64))[np.arange(len(truth)), truth]
    accuracy = float((logits.argmax(1) == truth).mean())
    return round(accuracy, 2), -cause.changes, float(np.log(np.maximum(of_the_truth, 1e-12)).mean())


def _tries(classifier: Classifier, split: Split) -> Iterator[Cause]:
    card = classifier.card
    yield Cause("as it is", card, changes=0)
    channels = card.preprocessing.channels
    own = split.mean_std
    scalings: list[tuple[str, Any, Any]] = [
        ("mean and std of ImageNet", *(IMAGENET_MEAN_AND_STD if channels == 3 else ((0.449,), (0.226,)))),
        ("mean 0.5 and std 0.5", (0.5,) * channels, (0.5,) * channels),
        ("pixels of 0 to 1, without mean and std", (0.0,) * channels, (1.0,) * channels),
        ("pixels of 0 to 255", (0.0,) * channels, (1 / 255,) * channels),
        (
            "the mean of ImageNet alone, on pixels of 0 to 255",
            IMAGENET_MEAN_AND_STD[0][:channels],
            (1 / 255,) * channels,
        ),
    ]
    if len(own[0]) == channels:
        scalings.append(("mean and std of these images", *own))
    given = card.preprocessing
    cards = [("as it is", card)]
    for words, mean, std in scalings:
        if not (np.allclose(mean, given.mean, atol=0.02) and np.allclose(std, given.std, rtol=0.05)):
            cards.append((words, _with(card, given, tuple(mean), tuple(std))))
    yield from (Cause(words, changed) for words, changed in cards[1:])
    if channels == 3 and any(isinstance(part, nn.Conv2d) for part in classifier.module.modules()):
        for words, changed in cards:
            both = "" if words == "as it is" else f"{words}, and "
            yield Cause(
                f"{both}blue, green, red instead of red, green, blue",
                changed,
                1 + bool(both),
                reverse_channels=True,
            )
    activation = next((s for s in models[card.architecture].settings if s.name == "activation"), None)
    if activation is not None and isinstance(activation.allowed, Choice):
        for option in activation.allowed.options:
            if option != card.settings.get("activation"):
                settings = {**card.settings, "activation": option}
                yield Cause(f"the activation {option}", dataclasses.replace(card, settings=settings))


def _with(
    card: ModelCard, given: Preprocessing, mean: tuple[float, ...], std: tuple[float, ...]
) -> ModelCard:
    return dataclasses.replace(card, preprocessing=dataclasses.replace(given, mean=mean, std=std))


def _best_order(logits: np.ndarray, labels: np.ndarray) -> np.ndarray | None:
    """For each class the output that answers to it, if it is another order than the one that was given."""
    from scipy.optimize import linear_sum_assignment

    classes = logits.shape[1]
    if classes > 100 or len(labels) < 10 * classes:
        return None  # too few images a class to tell an order from luck
    hits = np.zeros((classes, classes))
    np.add.at(hits, (labels, logits.argmax(1)), 1)
    order = linear_sum_assignment(hits, maximize=True)[1]
    return None if np.array_equal(order, np.arange(classes)) else order


def _logits(
    classifier: Classifier, split: Split, progress: Callable[[float, str], None] = no_progress, *,
    reverse: bool = False,
) -> np.ndarray:  # fmt: skip
    pixels = fitted(split.images, classifier.card.preprocessing)

    def make(start: int, stop: int) -> np.ndarray:
        some = pixels(np.arange(start, stop))
        return np.ascontiguousarray(some[..., ::-1]) if reverse else some

    return classifier.predict_logits(make, n=len(split), progress=progress)


def _test_split(dataset: ImageDataset) -> Split:
    for name in ("test", "val"):
        if name in dataset.splits:
            return dataset.splits[name]
    return next(iter(dataset.splits.values()))


def _labels(card: ModelCard, dataset: ImageDataset, split: Split) -> np.ndarray:
    """The split's labels as the network's class indices; classes of the same names are matched by name."""
    theirs = [name.lower() for name in dataset.class_names]
    ours = [name.lower() for name in card.class_names]
    if len(theirs) != len(ours):
        raise SettingError(
            f"{dataset.title} has {len(theirs)} classes and the network {len(ours)}: choose a data set "
            "with the network's classes."
        )
    if set(theirs) == set(ours):
        return np.array([ours.index(name) for name in theirs])[split.labels]
    return split.labels
