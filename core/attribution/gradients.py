"""Scores of a target and their gradients, for the methods of `core.attribution.methods` and others."""

from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from core.errors import ConvoscopeError, TargetOutOfRange
from core.models.classifier import Classifier
from core.settings import Choice

# What is explained. The logit stands for the class alone; the probability also falls when others rise, and
# its gradient vanishes where the network is sure.
Output = Annotated[str, Choice("logit", "probability")]


class NotFinite(ConvoscopeError):
    """A network that answers with infinities or no numbers at all."""

    def __init__(self, what: str, classifier: Classifier) -> None:
        super().__init__(
            f"{what} of {classifier.card.name} is not a finite number for this image, so nothing can be "
            "explained: its weights or its normalization are broken. Train or import it again."
        )


def check_target(classifier: Classifier, target: int) -> int:
    """The target as an index.

    Raises:
        TargetOutOfRange: The classifier has no such class.
    """
    if not 0 <= target < classifier.number_of_classes:
        raise TargetOutOfRange(target, classifier.number_of_classes)
    return int(target)


def scores(classifier: Classifier, inputs: Tensor, target: int, output: str = "logit") -> Tensor:
    """The score of the target for each input, differentiable.

    Shape:
        inputs: (N, C, H, W) float32, normalized
        returns: (N,)
    """
    logits = classifier.logits(inputs)
    return (logits.softmax(1) if output == "probability" else logits)[:, target]


def score_of(classifier: Classifier, inputs: Tensor, target: int, output: str = "logit") -> float:
    """The score of one input, (1, C, H, W), as a number.

    Raises:
        NotFinite: It is not a finite number.
    """
    with torch.no_grad():
        score = float(scores(classifier, inputs, target, output)[0])
    if not np.isfinite(score):
        raise NotFinite(f"The {output} of class {target}", classifier)
    return score


def path_rule(rule: str, n_steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Where on a path from 0 to 1 to look, and the weight of each place.

    Args:
        rule: "midpoint" or "gauss_legendre" (n_steps places), or "trapezoid" (n_steps + 1, with both ends).
    Shape:
        returns: places and weights, float64; the weights sum to 1
    """
    if rule == "gauss_legendre":
        places, weights = np.polynomial.legendre.leggauss(n_steps)
        return (places + 1) / 2, weights / 2
    if rule == "trapezoid":
        weights = np.full(n_steps + 1, 1 / n_steps)
        weights[[0, -1]] /= 2
        return np.arange(n_steps + 1) / n_steps, weights
    return (np.arange(n_steps) + 0.5) / n_steps, np.full(n_steps, 1 / n_steps)


def input_gradients(
    classifier: Classifier, inputs: Tensor, target: int, output: str = "logit"
) -> tuple[Tensor, Tensor]:
    """The gradient of each input's score with respect to that input, and the scores.

    Works where parameters require no gradient and inside `torch.no_grad`.

    Shape:
        inputs: (N, C, H, W) float32, normalized
        returns: (N, C, H, W) and (N,), detached
    Raises:
        NotFinite: A score or a gradient is not finite.
    """
    with torch.inference_mode(False), torch.enable_grad():
        points = inputs.detach().clone().requires_grad_()
        score = scores(classifier, points, target, output)
        (gradients,) = torch.autograd.grad(score.sum(), points)
    # Read together, so that a GPU is waited for once.
    answers, slopes = torch.stack((torch.isfinite(score).all(), torch.isfinite(gradients).all())).tolist()
    if not answers:
        raise NotFinite(f"The {output} of class {target}", classifier)
    if not slopes:
        raise NotFinite(f"The gradient for class {target}", classifier)
    return gradients.detach(), score.detach()


def to_map(values: Tensor) -> np.ndarray:
    """A tensor as the float32 array of an `Attribution`."""
    return np.ascontiguousarray(values.detach().cpu().numpy(), dtype=np.float32)


def why_no_gradient(score: float, output: str) -> str:
    """In words, why a gradient is 0 everywhere."""
    if output == "probability" and (score > 0.999 or score < 0.001):
        return (
            f"The map is blank: at a probability of {score:.4%} the softmax is flat, no pixel can move it. "
            "Explain the logit instead."
        )
    return (
        "The map is blank: the gradient is 0 at every pixel. No unit that leads to this class is active for "
        "this image, as happens with dead ReLUs or a black picture."
    )
