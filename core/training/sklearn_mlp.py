"""scikit-learn's `MLPClassifier`, trained epoch by epoch and watched: its history is like any other."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from sklearn.base import clone
from sklearn.neural_network import MLPClassifier

from core.compute.library_internals import set_rate, watched_classifier
from core.history import EpochRecord
from core.training.epoch_sums import EpochSums
from core.training.numpy_mlp import NumpyMLP, gradient_norm, validated

ACTIVATIONS = {"sigmoid": "logistic", "tanh": "tanh", "relu": "relu", "linear": "identity"}


def make_classifier(widths: list[int], activation: str, *, batch_size: int, seed: int) -> MLPClassifier:
    """A network with plain gradient descent: no momentum, no weight decay, no early stop.

    Its first weights are scikit-learn's own (Glorot's uniform ones, biases too).
    """
    return watched_classifier(
        hidden_layer_sizes=tuple(widths),
        activation=ACTIVATIONS[activation],
        solver="sgd",
        momentum=0.0,
        nesterovs_momentum=False,
        alpha=0.0,
        batch_size=batch_size,
        random_state=seed,
    )


def train_epochs(
    classifier: MLPClassifier,
    train: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray] | None,
    *,
    rates: Sequence[float],
    classes: int,
) -> Iterator[EpochRecord]:
    """One `partial_fit` an epoch, with a record after each; it ends early when the loss is no longer finite.

    Args:
        train: Inputs (N, F) and labels (N,).
        rates: The learning rate of every epoch.
        classes: How many classes there are, also where the images show fewer.
    """
    steps = 0
    with np.errstate(all="ignore"):
        for epoch, rate in enumerate(rates, start=1):
            began = time.perf_counter()
            sums, finite = _train_epoch(classifier, train, epoch, rate, classes)
            steps += sums.steps
            if not finite:
                sums.loss = float("nan")
            sums.seconds = time.perf_counter() - began
            record = sums.record(epoch, steps, rate)
            if finite:
                record = validated(record, network_of(classifier), validation)
            yield replace(record, seconds=time.perf_counter() - began)
            if not np.isfinite(sums.loss):
                return


def _train_epoch(
    classifier: MLPClassifier, train: tuple[np.ndarray, np.ndarray], epoch: int, rate: float, classes: int
) -> tuple[EpochSums, bool]:
    """What the epoch's batches add up to, and whether the loss stayed finite."""
    inputs, labels = train
    sums = EpochSums()
    trained = classifier if set_rate(classifier, rate) else _twin_at(rate, classifier, train, epoch)
    trained.tell = lambda loss, hits, images, found: sums.add(loss, hits, images, gradient_norm(found))
    try:
        trained.partial_fit(inputs, labels, classes=np.arange(classes))
    except ValueError as error:
        if "non-finite" not in str(error):
            raise
        return sums, False
    _copy_weights(trained, classifier)
    if not sums.steps:
        # The batches were not told: the means of what is public, and no gradients.
        sums.steps, sums.norm = -(-len(labels) // classifier.batch_size), float("nan")
        sums.images, sums.largest_norm = len(labels), float("nan")
        sums.loss = float(trained.loss_) * len(labels)
        sums.correct = round(trained.score(inputs, labels) * len(labels))
    return sums, True


def _twin_at(
    rate: float, classifier: MLPClassifier, train: tuple[np.ndarray, np.ndarray], epoch: int
) -> MLPClassifier:
    """The same weights with another learning rate, for when that of a classifier cannot be changed."""
    settings = {"learning_rate_init": rate, "random_state": classifier.random_state + epoch}
    twin = clone(classifier).set_params(**settings)
    few = slice(0, classifier.batch_size)  # enough for it to make its arrays
    twin.partial_fit(train[0][few], train[1][few], classes=classifier.classes_)
    _copy_weights(classifier, twin)
    return twin


def _copy_weights(source: MLPClassifier, target: MLPClassifier) -> None:
    if source is not target:
        arrays = zip(source.coefs_ + source.intercepts_, target.coefs_ + target.intercepts_, strict=True)
        for theirs, ours in arrays:
            ours[...] = theirs


def network_of(classifier: MLPClassifier) -> NumpyMLP:
    """Its weights as `core.training.numpy_mlp` has them. With two classes its one logit z becomes (0, z)."""
    weights = [weight.T.copy() for weight in classifier.coefs_]
    biases = [bias.copy() for bias in classifier.intercepts_]
    if len(biases[-1]) == 1:
        weights[-1] = np.concatenate([np.zeros_like(weights[-1]), weights[-1]])
        biases[-1] = np.concatenate([np.zeros_like(biases[-1]), biases[-1]])
    names = {theirs: ours for ours, theirs in ACTIVATIONS.items()}
    return NumpyMLP(weights, biases, names[classifier.activation])
