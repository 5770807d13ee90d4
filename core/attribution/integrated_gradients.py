"""Integrated gradients: the gradient averaged along the straight path from a baseline to the image."""

from typing import Annotated

import numpy as np
import torch

from core.attribution import methods
from core.attribution_result import Attribution
from core.baselines import Baseline, baseline_images
from core.classifier import Classifier
from core.gradients import Output, check_target, input_gradients, path_rule, score_of, to_map, why_no_gradient
from core.progress import Progress, no_progress
from core.settings import Choice, Range

MOST_STEPS = 1024


@methods.register("integrated_gradients", title="Integrated gradients", order=10)
def integrated_gradients(
    classifier: Classifier,
    image: np.ndarray,
    target: int,
    *,
    baseline: Baseline = "black",
    n_steps: Annotated[int, Range(2, MOST_STEPS, logarithmic=True)] = 32,
    tolerance: Annotated[float | None, Range(0.01, 100), "percent"] = 1.0,
    rule: Annotated[str, Choice("midpoint", "gauss_legendre", "trapezoid")] = "midpoint",
    noise_samples: Annotated[int, Range(1, 32)] = 4,
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0,
    output: Output = "logit",
    progress: Progress = no_progress,
) -> Attribution:
    """Shares the difference between the scores of image and baseline among the pixels, to the last bit of it.

    Args:
        baseline: The picture that stands for "nothing there"; a map answers "why this and not the baseline?".
        n_steps: Steps of the path. More steps, smaller error.
        tolerance: Double the steps until the sum is within this error (percent); empty to keep `n_steps`.
        rule: Where the steps look: midpoints, the points of Gauss and Legendre, or both ends of each step.
        noise_samples: Pictures of noise to average over, for the baseline "noise average".
        seed: Of the noise.
        output: Explain the logit, or the probability.
    Shape:
        image: (H, W, C) uint8
        returns: (C, H, W), in units of the score; sums to score(image) − score(baseline)
    Raises:
        TargetOutOfRange: The classifier has no such class.
    Source:
        Sundararajan, Taly, Yan 2017, "Axiomatic Attribution for Deep Networks", arXiv:1703.01365
    """
    target = check_target(classifier, target)
    settings = {
        "baseline": baseline, "n_steps": n_steps, "tolerance": tolerance, "rule": rule,
        "noise_samples": noise_samples, "seed": seed, "output": output,
    }  # fmt: skip
    inputs = classifier.inputs(image[None])
    starts = classifier.inputs(baseline_images(baseline, image, samples=noise_samples, seed=seed))
    score = score_of(classifier, inputs, target, output)
    expected = score - float(np.mean([score_of(classifier, s[None], target, output) for s in starts]))

    def gradients_at(places: np.ndarray, weights: np.ndarray, told: Progress) -> torch.Tensor:
        """Sum of weight × gradient × (image − baseline) over places on all paths."""
        total = torch.zeros(inputs.shape[1:], dtype=torch.float64)
        shares = torch.as_tensor(places, dtype=torch.float32, device=inputs.device)

        def add(begin: int, end: int) -> None:
            numbers = torch.arange(begin, end, device=inputs.device)
            start = starts[numbers // len(places)]
            share = shares[numbers % len(places)].reshape(-1, 1, 1, 1)
            gradients, _ = input_gradients(classifier, start + share * (inputs - start), target, output)
            parts = (gradients * (inputs - start)).cpu().double()
            weight = torch.as_tensor(weights[numbers.cpu().numpy() % len(places)])
            total.add_((parts * weight.reshape(-1, 1, 1, 1)).sum(0) / len(starts))

        classifier.in_batches(len(places) * len(starts), add, told, cost=3, largest=4)
        return total

    steps = n_steps
    values = gradients_at(*path_rule(rule, steps), progress)
    while tolerance is not None and steps * 2 <= MOST_STEPS:
        if abs(float(values.sum()) - expected) <= tolerance / 100 * max(abs(expected), 1e-6):
            break
        told = _doubled(progress, steps * 2)
        if rule == "trapezoid":
            # The ends of the new steps are the old ends and the middles between them.
            values = (values + gradients_at(*path_rule("midpoint", steps), told)) / 2
        else:
            values = gradients_at(*path_rule(rule, steps * 2), told)
        steps *= 2
    result = to_map(values)
    return Attribution(
        result,
        target,
        score,
        signed=True,
        method="integrated_gradients",
        settings=settings,
        expected=expected,
        note=_note(result, image, starts, inputs, score, expected, tolerance, steps, output),
        found={"steps": steps},
    )


def _doubled(progress: Progress, steps: int) -> Progress:
    return lambda share, words: progress(share, words or f"doubled to {steps} steps")


def _note(
    values: np.ndarray,
    image: np.ndarray,
    starts: torch.Tensor,
    inputs: torch.Tensor,
    score: float,
    expected: float,
    tolerance: float | None,
    steps: int,
    output: str,
) -> str:
    if not values.any():
        if bool((starts == inputs).all()):
            return "The map is blank: the image is the baseline. Choose another baseline."
        return why_no_gradient(score, output)
    error = abs(float(values.sum(dtype=np.float64)) - expected)
    if tolerance is not None and error > tolerance / 100 * abs(expected):
        small = abs(expected) < 0.05 * abs(score)
        return f"The error is still above {tolerance:g} % after {steps} steps" + (
            ": image and baseline score almost alike, so that there is little to share. Try another baseline."
            if small
            else ". Ask for more, or choose a baseline nearer to the image, such as blur."
        )
    return ""
