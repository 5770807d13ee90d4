"""scikit-learn's `MLPClassifier`, trained epoch by epoch and watched: its history is like any other."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier

from core.history import EpochRecord
from core.training.epoch_sums import EpochSums
from core.training.numpy_mlp import NumpyMLP, gradient_norm, validated

ACTIVATIONS = {"sigmoid": "logistic", "tanh": "tanh", "relu": "relu", "linear": "identity"}


class _Watched(MLPClassifier):
    """Notes the loss, the hits and the gradient of every batch, which scikit-learn keeps to itself."""

    sums: EpochSums

    def _backprop(self, X: Any, y: Any, *rest: Any) -> Any:
        loss, by_weights, by_biases = super()._backprop(X, y, *rest)
        # The layers' outputs stand before the three lists that were filled with the gradients.
        probabilities = rest[-4][-1]
        truth = y.argmax(axis=1) if y.shape[1] > 1 else y[:, 0]
        found = probabilities.argmax(axis=1) if y.shape[1] > 1 else probabilities[:, 0] > 0.5
        self.sums.add(float(loss), int((found == truth).sum()), len(y), gradient_norm(by_weights + by_biases))
        return loss, by_weights, by_biases


def make_classifier(widths: list[int], activation: str, *, batch_size: int, seed: int) -> MLPClassifier:
    """A network with plain gradient descent: no momentum, no weight decay, no early stop.

    Its first weights are scikit-learn's own (Glorot's uniform ones, biases too).
    """
    return _Watched(
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
    inputs, labels = train
    steps = 0
    with np.errstate(all="ignore"):
        for epoch, rate in enumerate(rates, start=1):
            _set_rate(classifier, rate)
            began = time.perf_counter()
            classifier.sums = EpochSums()
            try:
                classifier.partial_fit(inputs, labels, classes=np.arange(classes))
                finite = True
            except ValueError as error:
                if "non-finite" not in str(error):
                    raise
                finite = False
            sums = classifier.sums
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


def _set_rate(classifier: MLPClassifier, rate: float) -> None:
    """The rate from now on: its optimizer, which is made by the first step, keeps a copy of its own."""
    classifier.learning_rate_init = rate
    if hasattr(classifier, "_optimizer"):
        classifier._optimizer.learning_rate = classifier._optimizer.learning_rate_init = rate


def network_of(classifier: MLPClassifier) -> NumpyMLP:
    """Its weights as `core.training.numpy_mlp` has them. With two classes its one logit z becomes (0, z)."""
    weights = [weight.T.copy() for weight in classifier.coefs_]
    biases = [bias.copy() for bias in classifier.intercepts_]
    if len(biases[-1]) == 1:
        weights[-1] = np.concatenate([np.zeros_like(weights[-1]), weights[-1]])
        biases[-1] = np.concatenate([np.zeros_like(biases[-1]), biases[-1]])
    names = {theirs: ours for ours, theirs in ACTIVATIONS.items()}
    return NumpyMLP(weights, biases, names[classifier.activation])
