"""A multi-layer perceptron by hand: forward, backward and stochastic gradient descent in NumPy.

What PyTorch does with `loss.backward()` is written out here, layer by layer, with nothing hidden.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from core.errors import UnknownName
from core.history import EpochRecord
from core.training.epoch_sums import EpochSums

ACTIVATIONS = ("sigmoid", "tanh", "relu", "linear")
INITIALIZATIONS = ("xavier", "he", "small")


@dataclass
class NumpyMLP:
    """The weights of a network: layer l makes z = h · Wᵀ + b of the h before it, and h = activation(z).

    Attributes:
        weights: An array (outputs, inputs) for each layer.
        biases: An array (outputs,) for each layer.
        activation: The activation between the layers; the z of the last layer are the logits.
    """

    weights: list[np.ndarray]
    biases: list[np.ndarray]
    activation: str

    def logits(self, inputs: np.ndarray) -> np.ndarray:
        """Shape: inputs (N, F); returns (N, K)."""
        return forward(self, inputs)[-1]


def initialize(
    sizes: list[int], activation: str, *, seed: int, initialization: str = "xavier", dtype: type = np.float32
) -> NumpyMLP:
    """Random weights by seed, biases of zero.

    Args:
        sizes: Inputs, neurons of each hidden layer, classes.
        initialization: "xavier": uniform up to √(6 / (inputs + outputs)); "he": normal with deviation
            √(2 / inputs), which makes up for the half that ReLU cuts off; "small": normal with deviation
            0.01, as first attempts have it.
    Raises:
        UnknownName: There is no such activation or initialization.
    """
    if activation not in ACTIVATIONS:
        raise UnknownName("activation", activation, ACTIVATIONS)
    if initialization not in INITIALIZATIONS:
        raise UnknownName("initialization", initialization, INITIALIZATIONS)
    rng = np.random.default_rng(seed)
    weights: list[np.ndarray] = []
    for inputs, outputs in pairwise(sizes):
        if initialization == "he":
            values = rng.normal(0, np.sqrt(2 / inputs), (outputs, inputs))
        elif initialization == "small":
            values = rng.normal(0, 0.01, (outputs, inputs))
        else:
            limit = np.sqrt(6 / (inputs + outputs))
            values = rng.uniform(-limit, limit, (outputs, inputs))
        weights.append(values.astype(dtype))
    return NumpyMLP(weights, [np.zeros(size, dtype) for size in sizes[1:]], activation)


def forward(network: NumpyMLP, inputs: np.ndarray) -> list[np.ndarray]:
    """What every layer puts out: the inputs, each hidden layer's h, and the logits."""
    outputs = [inputs]
    last = len(network.weights) - 1
    for layer, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        z = outputs[-1] @ weight.T + bias
        outputs.append(z if layer == last else _activate(network.activation, z))
    return outputs


def loss_and_gradients(
    network: NumpyMLP, inputs: np.ndarray, labels: np.ndarray
) -> tuple[float, np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """Mean cross-entropy of a batch and its gradient by every weight and bias: backpropagation.

    Shape:
        inputs: (N, F)
        labels: (N,) int64
    Returns:
        The loss, the logits (N, K), the gradients by the weights and by the biases.
    """
    outputs = forward(network, inputs)
    losses, probabilities = cross_entropy(outputs[-1], labels)
    # Softmax and cross-entropy together have the simplest derivative there is: probability minus truth.
    error = probabilities
    error[np.arange(len(labels)), labels] -= 1
    error /= len(labels)
    by_weights: list[np.ndarray] = []
    by_biases: list[np.ndarray] = []
    for layer in reversed(range(len(network.weights))):
        by_weights.insert(0, error.T @ outputs[layer])
        by_biases.insert(0, error.sum(axis=0))
        if layer:
            # Back through the weights, then through the activation.
            error = (error @ network.weights[layer]) * _slope(network.activation, outputs[layer])
    return float(losses.mean()), outputs[-1], by_weights, by_biases


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """−log p of each image's true class, and all probabilities; shifted so that no exponential overflows."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    sums = exponentials.sum(axis=1, keepdims=True)
    losses = np.log(sums[:, 0]) - shifted[np.arange(len(labels)), labels]
    return losses, exponentials / sums


def gradient_norm(gradients: list[np.ndarray]) -> float:
    """The length of the whole gradient as one vector."""
    return float(np.sqrt(sum(float(np.vdot(g, g)) for g in gradients)))


def train_epochs(
    network: NumpyMLP,
    train: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray] | None,
    *,
    rates: Sequence[float],
    batch_size: int,
    seed: int,
) -> Iterator[EpochRecord]:
    """Plain mini-batch gradient descent; a record after every epoch. The network is changed as it goes.

    It ends early, after the record, when the loss is no longer a finite number.

    Args:
        train: Inputs (N, F) and labels (N,).
        validation: The same of images that are only looked at.
        rates: The learning rate of every epoch.
    """
    inputs, labels = train
    rng = np.random.default_rng(seed)
    steps = 0
    with np.errstate(over="ignore", invalid="ignore"):
        for epoch, rate in enumerate(rates, start=1):
            began = time.perf_counter()
            sums = EpochSums()
            order = rng.permutation(len(labels))
            for start in range(0, len(labels), batch_size):
                rows = order[start : start + batch_size]
                steps += 1
                if not np.isfinite(_step(network, inputs[rows], labels[rows], rate, sums)):
                    break
            sums.seconds = time.perf_counter() - began
            record = validated(sums.record(epoch, steps, rate), network, validation)
            yield replace(record, seconds=time.perf_counter() - began)
            if not np.isfinite(sums.loss):
                return


def _step(network: NumpyMLP, inputs: np.ndarray, labels: np.ndarray, rate: float, sums: EpochSums) -> float:
    """One step down the gradient of a batch, whose loss is returned."""
    loss, logits, by_weights, by_biases = loss_and_gradients(network, inputs, labels)
    correct = int((logits.argmax(axis=1) == labels).sum())
    sums.add(loss, correct, len(labels), gradient_norm(by_weights + by_biases))
    for value, gradient in zip(network.weights + network.biases, by_weights + by_biases, strict=True):
        value -= rate * gradient
    return loss


def validated(
    record: EpochRecord, network: NumpyMLP, validation: tuple[np.ndarray, np.ndarray] | None
) -> EpochRecord:
    """The record with loss and accuracy on images held out, where there are any and the loss is finite."""
    if validation is None or record.train_loss is None or not np.isfinite(record.train_loss):
        return record
    logits = network.logits(validation[0])
    loss = float(cross_entropy(logits, validation[1])[0].mean())
    accuracy = float((logits.argmax(axis=1) == validation[1]).mean())
    return replace(record, validation_loss=loss, validation_accuracy=accuracy)


def _activate(name: str, z: np.ndarray) -> np.ndarray:
    match name:
        case "sigmoid":
            # tanh does not overflow where exp would.
            return 0.5 * (np.tanh(0.5 * z) + 1)
        case "tanh":
            return np.tanh(z)
        case "relu":
            return np.maximum(z, 0)
    return z


def _slope(name: str, h: np.ndarray) -> np.ndarray | float:
    """The activation's derivative, from its own output h."""
    match name:
        case "sigmoid":
            return h * (1 - h)
        case "tanh":
            return 1 - h * h
        case "relu":
            return h > 0
    return 1.0
