"""The oracle of the loss lab: cross-entropy, squared error, softmax and gradient descent, in NumPy.

The tests compare it with PyTorch and SciPy, and what the browser computes with it.
"""

import math
from typing import Any

import numpy as np

from core.errors import ConvoscopeError


class BadDistribution(ConvoscopeError):
    """Numbers that are no probabilities."""


def sigmoid(z: np.ndarray | float) -> Any:
    """1 / (1 + e^−z), without overflow on either side."""
    z = np.asarray(z, np.float64)
    small = np.exp(-np.abs(z))
    return np.where(z >= 0, 1 / (1 + small), small / (1 + small))[()]


def binary_cross_entropy(
    target: np.ndarray | float, prediction: np.ndarray | float, *, base: float = math.e
) -> Any:
    """−y log p − (1 − y) log(1 − p): in nats with base e, in bits with base 2.

    Args:
        target: y, 0 or 1.
        prediction: p, the probability of 1.
    Shape:
        returns: the shape of both together; infinite where a certain prediction is wrong
    Raises:
        BadDistribution: A prediction is not between 0 and 1.
    """
    y, p = np.asarray(target, np.float64), np.asarray(prediction, np.float64)
    check_probabilities(p)
    with np.errstate(divide="ignore", invalid="ignore"):
        loss = -np.where(y > 0, y * np.log(p), 0) - np.where(y < 1, (1 - y) * np.log1p(-p), 0)
    return (loss / math.log(base) + 0.0)[()]


def squared_error(target: np.ndarray | float, prediction: np.ndarray | float) -> Any:
    """(p − y)², whose mean is MSE."""
    return ((np.asarray(prediction, np.float64) - np.asarray(target, np.float64)) ** 2)[()]


def binary_gradients(target: float, prediction: float, *, base: float = math.e) -> dict[str, float]:
    """Slopes of both losses in p, and through the sigmoid in z where p = sigmoid(z).

    The cross-entropy's slope in z is p − y: large where the prediction is wrong. The squared error's has the
    sigmoid's own slope p (1 − p) as a factor, which is almost 0 exactly where the prediction is surely wrong.
    """
    y, p = target, prediction
    unit = math.log(base)
    with np.errstate(divide="ignore"):
        in_p = np.float64(p - y) / np.float64(p * (1 - p)) / unit if p != y else (1 - 2 * y) / unit
    return {
        "cross_entropy_p": float(in_p),
        "cross_entropy_z": (p - y) / unit,
        "squared_error_p": 2 * (p - y),
        "squared_error_z": 2 * (p - y) * p * (1 - p),
    }


def learn(target: float, start: float, *, loss: str, rate: float = 1.0, steps: int = 100) -> np.ndarray:
    """The prediction after every step of gradient descent on z, from p = `start`.

    Args:
        loss: "cross_entropy" or "squared_error".
    Shape:
        returns: (steps + 1,)
    """
    z = math.log(start / (1 - start))
    found = [start]
    for _ in range(steps):
        z -= rate * binary_gradients(target, found[-1])[f"{loss}_z"]
        found.append(float(sigmoid(z)))
    return np.array(found)


def entropy(p: np.ndarray, *, base: float = math.e) -> float:
    """−Σ p log p: what cannot be saved even by the best prediction."""
    return cross_entropy(p, p, base=base)


def cross_entropy(p: np.ndarray, q: np.ndarray, *, base: float = math.e) -> float:
    """−Σ p log q, which is entropy(p) + kl_divergence(p, q); infinite where q is 0 and p is not.

    Raises:
        BadDistribution: p or q does not add up to 1.
    """
    p, q = np.asarray(p, np.float64), np.asarray(q, np.float64)
    for values in (p, q):
        check_probabilities(values)
        if abs(values.sum() - 1) > 1e-6:
            raise BadDistribution(f"The probabilities add up to {values.sum():g}: they must add up to 1.")
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(-np.where(p > 0, p * np.log(q), 0).sum() / math.log(base)) + 0.0


def kl_divergence(p: np.ndarray, q: np.ndarray, *, base: float = math.e) -> float:
    """Σ p log(p/q): what a prediction q costs beyond the entropy of p; 0 only where they are equal."""
    return cross_entropy(p, q, base=base) - entropy(p, base=base)


def softmax_by_hand(z: np.ndarray, *, dtype: type = np.float32) -> np.ndarray:
    """e^z / Σ e^z as it is written: overflows to NaN where e^z is larger than the type's largest number.

    Shape:
        z: (K,)
        returns: (K,) of `dtype`
    """
    with np.errstate(over="ignore", invalid="ignore", under="ignore", divide="ignore"):
        powers = np.exp(np.asarray(z, dtype))
        return powers / powers.sum(dtype=dtype)


def softmax(z: np.ndarray, *, dtype: type = np.float64) -> np.ndarray:
    """The same with the largest z taken off first: every power is 1 or less, the result does not change.

    Shape:
        z: (K,)
        returns: (K,) of `dtype`, summing to 1
    """
    shifted = np.exp(np.asarray(z, dtype) - np.max(np.asarray(z, dtype)))
    return shifted / shifted.sum(dtype=dtype)


def softmax_jacobian(z: np.ndarray) -> np.ndarray:
    """∂p_i/∂z_j = p_i (δ_ij − p_j): what rises takes from the others, so every row and column adds up to 0.

    Shape:
        z: (K,)
        returns: (K, K)
    """
    p = softmax(z)
    return np.diag(p) - np.outer(p, p)


def bowl(w: np.ndarray, lowest: np.ndarray, curvature: np.ndarray) -> tuple[float, np.ndarray]:
    """A loss with one lowest point, ½ Σ h (w − a)², and its gradient."""
    apart = np.asarray(w, np.float64) - lowest
    return float((curvature * apart**2).sum() / 2), curvature * apart


def descend(
    w: np.ndarray,
    lowest: np.ndarray,
    curvature: np.ndarray,
    *,
    rate: float,
    weight_decay: float,
    steps: int = 1,
) -> np.ndarray:
    """Steps of gradient descent with L2: w ← w − rate (gradient + weight_decay · w), as PyTorch's SGD does.

    Shape:
        returns: (steps + 1, len(w))
    """
    path = [np.asarray(w, np.float64)]
    for _ in range(steps):
        _, gradient = bowl(path[-1], lowest, curvature)
        path.append(path[-1] - rate * (gradient + weight_decay * path[-1]))
    return np.array(path)


def check_probabilities(values: np.ndarray) -> None:
    """Raise `BadDistribution` where one is not between 0 and 1."""
    values = np.atleast_1d(values)
    wrong = values[~((values >= 0) & (values <= 1))]
    if wrong.size:
        raise BadDistribution(f"A probability is {wrong.flat[0]:g}: it must lie between 0 and 1.")
