"""DeepLIFT: what each pixel's difference from a baseline contributes to the difference of the score."""

from dataclasses import replace
from typing import Annotated

import numpy as np
import torch

from core.attribution.baselines import Baseline, baseline_images
from core.attribution.gradients import (
    NotFinite,
    Output,
    check_target,
    score_of,
    scores,
    to_map,
    why_no_gradient,
)
from core.attribution.methods import methods
from core.attribution.result import Attribution
from core.models.classifier import Classifier
from core.network.rescale_rule import layers_without_rule, rescaled
from core.progress import Progress, no_progress
from core.settings import Range

LARGEST_ERROR = 5.0  # percent of the difference of the scores; above, the note says why
LAYERS_NAMED = 3


@methods.register("deeplift", title="DeepLIFT", order=70)
def deeplift(
    classifier: Classifier,
    image: np.ndarray,
    target: int,
    *,
    baseline: Baseline = "black",
    noise_samples: Annotated[int, Range(1, 32)] = 4,
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0,
    output: Output = "logit",
    progress: Progress = no_progress,
) -> Attribution:
    """Follows the differences from the baseline through every layer in one pass, by the rescale rule.

    Args:
        baseline: The image that stands for "nothing there".
        noise_samples: How many images of noise the baseline "noise average" averages over.
        seed: The seed of the noise.
        output: Whether to explain the logit or the probability (whose softmax is followed by its gradient).
    Shape:
        image: (H, W, C) uint8
        returns: (C, H, W), in units of the score; sums to score(image) − score(baseline) in networks of
            linear layers, activations and max pooling. Products of activations (squeeze-excite, attention)
            break the sum; `convergence_delta` shows by how much.
    Raises:
        TargetOutOfRange: The classifier has no such class.
    Source:
        Shrikumar, Greenside, Kundaje 2017, "Learning Important Features Through Propagating Activation
        Differences", arXiv:1704.02685
    Example:
        >>> from core.data.catalogue import open_dataset
        >>> from core.models.catalogue import load
        >>> image = open_dataset("digits").split("test").images[0]
        >>> found = deeplift(load("digits_cnn"), image, 2)
        >>> found.values.shape
        (1, 8, 8)
    """
    target = check_target(classifier, target)
    inputs = classifier.inputs(image[None])
    starts = classifier.inputs(baseline_images(baseline, image, samples=noise_samples, seed=seed))
    score = score_of(classifier, inputs, target, output)
    expected = score - float(np.mean([score_of(classifier, s[None], target, output) for s in starts]))
    total = torch.zeros(inputs.shape[1:], dtype=torch.float64)  # on the CPU: Apple's GPUs have none

    def add(begin: int, end: int) -> None:
        start = starts[begin:end]
        images = inputs.expand(len(start), -1, -1, -1)
        with torch.inference_mode(False), torch.enable_grad(), rescaled():
            points = torch.cat([images, start]).detach().clone().requires_grad_()
            answers = scores(classifier, points, target, output)[: len(start)]
            (multipliers,) = torch.autograd.grad(answers.sum(), points)
        values = multipliers[: len(start)] * (images - start)
        if not torch.isfinite(values).all():
            raise NotFinite(f"The multiplier of class {target}", classifier)
        total.add_(values.cpu().double().sum(0))

    classifier.in_batches(len(starts), add, progress, cost=6, largest=4)
    values = to_map(total / len(starts))
    note = ""
    if not values.any():
        note = why_no_gradient(score, output)
        if bool((starts == inputs).all()):
            note = "The map is blank: the image is the baseline. Choose another baseline."
    attribution = Attribution(
        values,
        target,
        score,
        signed=True,
        method="deeplift",
        settings={"baseline": baseline, "noise_samples": noise_samples, "seed": seed, "output": output},
        expected=expected,
        note=note,
    )
    error = attribution.completeness_error
    if note or error is None or not LARGEST_ERROR < error < float("inf"):
        return attribution
    return replace(attribution, note=_why_off(classifier, error, output))


def _why_off(classifier: Classifier, error: float, output: str) -> str:
    """In words, how far the sum is off, and which layers have no rule."""
    preprocessing = classifier.card.preprocessing
    found = layers_without_rule(classifier.module, preprocessing.input_size, preprocessing.channels)
    if output == "probability":
        found["softmax"] = (*found.get("softmax", ()), "the softmax of the probability")
    words = (
        f"The map adds up to {error:,.0f} % more or less than the difference of the scores, so its parts "
        f"are not shares of it."
    )
    if not found:
        return (
            f"{words} The two scores are nearly equal, or the network amplifies rounding: try another "
            "baseline."
        )
    kinds = []
    for kind, layers in sorted(found.items(), key=lambda one: -len(one[1])):
        names = ", ".join(layers[:LAYERS_NAMED]) + (" and more" if len(layers) > LAYERS_NAMED else "")
        kinds.append(f"{kind} ({len(layers)} {'layer' if len(layers) == 1 else 'layers'}: {names})")
    return f"{words} DeepLIFT has no rule for {'; '.join(kinds)}. Integrated gradients keep the sum."
