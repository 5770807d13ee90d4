"""SmoothGrad: the gradient averaged over noisy copies of the image."""

from typing import Annotated

import numpy as np
import torch

from core.attribution.gradients import (
    Output,
    check_target,
    input_gradients,
    score_of,
    to_map,
    why_no_gradient,
)
from core.attribution.methods import methods
from core.attribution.result import Attribution
from core.models.classifier import Classifier
from core.progress import Progress, no_progress
from core.settings import Choice, Range


@methods.register("smoothgrad", title="SmoothGrad", order=40)
def smoothgrad(
    classifier: Classifier,
    image: np.ndarray,
    target: int,
    *,
    n_samples: Annotated[int, Range(1, 256, logarithmic=True)] = 24,
    noise: Annotated[float, Range(0, 100, 1), "percent"] = 15.0,
    average: Annotated[str, Choice("gradients", "squares")] = "gradients",
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0,
    output: Output = "logit",
    progress: Progress = no_progress,
) -> Attribution:
    """Averages the gradients of noisy copies of the image: the noise cancels, and what they share stays.

    Args:
        n_samples: How many noisy copies of the image to average over.
        noise: The standard deviation of the noise, in percent of the range of the normalized image.
        average: Whether to average the gradients or their squares, which cannot cancel and have no sign.
        seed: The seed of the noise.
        output: Whether to explain the logit or the probability.
    Shape:
        image: (H, W, C) uint8
        returns: (C, H, W), score per unit of the normalized input (squared for "squares")
    Raises:
        TargetOutOfRange: The classifier has no such class.
    Source:
        Smilkov, Thorat, Kim, Viégas, Wattenberg 2017, "SmoothGrad", arXiv:1706.03825
    Example:
        >>> from core.data.catalogue import open_dataset
        >>> from core.models.catalogue import load
        >>> image = open_dataset("digits").split("test").images[0]
        >>> found = smoothgrad(load("digits_cnn"), image, 2, n_samples=4)
        >>> found.values.shape
        (1, 8, 8)
    """
    target = check_target(classifier, target)
    inputs = classifier.inputs(image[None])
    deviation = noise / 100 * float(inputs.max() - inputs.min())
    total = torch.zeros(inputs.shape[1:], dtype=torch.float64)
    # Drawn on the CPU and all at once: the same noise on every device and in batches of any size.
    generator = torch.Generator().manual_seed(seed)
    copies = deviation * torch.randn((n_samples, *inputs.shape[1:]), generator=generator)
    score = score_of(classifier, inputs, target, output)

    def add(start: int, stop: int) -> None:
        noisy = inputs + copies[start:stop].to(inputs.device)
        gradients, _ = input_gradients(classifier, noisy, target, output)
        values = gradients.cpu().double()
        total.add_((values**2 if average == "squares" else values).sum(0))

    classifier.in_batches(n_samples, add, progress, cost=3, largest=4)
    return Attribution(
        to_map(total / n_samples),
        target,
        score,
        signed=average == "gradients",
        method="smoothgrad",
        settings={
            "n_samples": n_samples, "noise": noise, "average": average, "seed": seed, "output": output,
        },
        note="" if total.any() else why_no_gradient(score, output),
    )  # fmt: skip
