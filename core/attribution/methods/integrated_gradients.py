"""Integrated gradients: the gradient averaged along the straight path from a baseline to the image."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch

from core.attribution.adaptive_quadrature import (
    Piece,
    cut_worst,
    cuts_at_once,
    first_pieces,
    integral,
    is_settled,
)
from core.attribution.baselines import Baseline, baseline_images
from core.attribution.gradients import (
    Output,
    check_target,
    input_gradients,
    path_rule,
    score_of,
    scores,
    to_map,
    why_no_gradient,
)
from core.attribution.methods import methods
from core.attribution.result import Attribution
from core.compute.threads import side_by_side
from core.models.classifier import Classifier, is_out_of_memory
from core.progress import Progress, no_progress
from core.settings import Choice, Range, Settings

MOST_STEPS = 1024
LARGEST_GRADIENT_BATCH = 16  # gradients computed together, at most
FEWEST_IMAGES_PER_THREAD = 4  # that a thread of the CPU computes together, however large the images
PIXELS_PER_THREAD = FEWEST_IMAGES_PER_THREAD * 224**2  # of as many small images as it takes instead
KEPT_BYTES = 384 * 2**20  # of gradients that the adaptive rule keeps while it works


@methods.register("integrated_gradients", title="Integrated gradients", order=10)
def integrated_gradients(
    classifier: Classifier,
    image: np.ndarray,
    target: int,
    *,
    baseline: Baseline = "black",
    n_steps: Annotated[int, Range(2, MOST_STEPS, logarithmic=True)] = 32,
    tolerance: Annotated[float | None, Range(0.01, 100), "percent"] = 1.0,
    rule: Annotated[str, Choice("adaptive", "midpoint", "gauss_legendre", "trapezoid")] = "adaptive",
    noise_samples: Annotated[int, Range(1, 32)] = 4,
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0,
    output: Output = "logit",
    progress: Progress = no_progress,
) -> Attribution:
    """Divides the difference between the scores of image and baseline among the pixels, with nothing left.

    Args:
        baseline: The image that stands for "nothing there"; a map answers "why this and not the baseline?".
        n_steps: The number of steps along the path; more steps make the error smaller.
        tolerance: Double the steps until the sum is within this error (in percent), or stop earlier once it
            certainly is; empty to keep `n_steps`.
        rule: Where the score is evaluated on the path: more densely where it bends, in the middle or at both
            ends of equal steps, or at the nodes of Gauss and Legendre.
        noise_samples: How many images of noise to average over, with the baseline "noise average".
        seed: The seed of the noise.
        output: Whether to explain the logit or the probability.
    Shape:
        image: (H, W, C) uint8
        returns: (C, H, W), in units of the score; sums to score(image) − score(baseline)
    Raises:
        TargetOutOfRange: The classifier has no such class.
    Source:
        Sundararajan, Taly, Yan 2017, "Axiomatic Attribution for Deep Networks", arXiv:1703.01365
    Example:
        >>> from core.data.catalogue import open_dataset
        >>> from core.models.catalogue import load
        >>> image = open_dataset("digits").split("test").images[0]
        >>> found = integrated_gradients(load("digits_cnn"), image, 2)
        >>> found.values.shape
        (1, 8, 8)
        >>> found.completeness_error < 1
        True
    """
    target = check_target(classifier, target)
    settings: Settings = {
        "baseline": baseline, "n_steps": n_steps, "tolerance": tolerance, "rule": rule,
        "noise_samples": noise_samples, "seed": seed, "output": output,
    }  # fmt: skip
    inputs = classifier.inputs(image[None])
    starts = classifier.inputs(baseline_images(baseline, image, samples=noise_samples, seed=seed))
    score = score_of(classifier, inputs, target, output)
    differences = [score - score_of(classifier, start[None], target, output) for start in starts]
    expected, steps = float(np.mean(differences)), 0
    # Of the whole: where the differences of several baselines cancel, each path must be nearer.
    limit = None if tolerance is None else tolerance / 100 * max(abs(expected), 1e-6)
    values = torch.zeros(inputs.shape[1:], dtype=torch.float64)
    for number, start in enumerate(starts):
        path = _Path(classifier, inputs[0], start, target, output)
        told = _part_of(progress, number, len(starts))
        integrate = _adaptive if rule == "adaptive" else _regular
        one, used = integrate(path, rule, n_steps, limit, differences[number], told)
        values += one / len(starts)
        steps = max(steps, used)
    result = to_map(values)
    note = _note(result, bool((starts == inputs).all()), score, expected, tolerance, steps, output)
    return Attribution(
        result,
        target,
        score,
        signed=True,
        method="integrated_gradients",
        settings=settings,
        expected=expected,
        note=note,
        found={"steps": steps},
    )


@dataclass(frozen=True)
class _Path:
    """The straight line from a baseline to the image, both (C, H, W) and normalized."""

    classifier: Classifier
    image: torch.Tensor
    start: torch.Tensor
    target: int
    output: str

    def points(self, places: np.ndarray) -> torch.Tensor:
        shares = torch.as_tensor(places, dtype=torch.float32, device=self.image.device).reshape(-1, 1, 1, 1)
        return self.start + shares * (self.image - self.start)

    def each(self, places: np.ndarray, use: Callable[[int, torch.Tensor], object], told: Progress) -> None:
        """Give `use` the index of every place, and gradient × (image − baseline) there."""

        def answer(part: np.ndarray) -> torch.Tensor:
            gradients, _ = input_gradients(self.classifier, self.points(part), self.target, self.output)
            return (gradients * (self.image - self.start)).cpu()

        def take(begin: int, found: torch.Tensor) -> None:
            for i, part in enumerate(found, start=begin):
                use(i, part)

        done = [0]
        if self.image.device.type == "cpu":
            most = max(
                FEWEST_IMAGES_PER_THREAD,
                min(LARGEST_GRADIENT_BATCH, PIXELS_PER_THREAD // self.image[0].numel()),
            )
            size = max(1, min(most, -(-len(places) // torch.get_num_threads())))
            batches = np.array_split(places, -(-len(places) // size))
            try:
                for found in side_by_side(answer, batches, lambda: told(done[0] / len(places), "")):
                    take(done[0], found)
                    done[0] += len(found)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
        first = done[0]  # what is left, on a GPU or where so many threads need too much memory
        self.classifier.in_batches(
            len(places) - first,
            lambda begin, end: take(first + begin, answer(places[first + begin : first + end])),
            told,
            cost=3,
            largest=LARGEST_GRADIENT_BATCH,
        )
        told(1.0, "")

    def scores(self, places: np.ndarray, told: Progress) -> np.ndarray:
        found = np.empty(len(places))

        @torch.no_grad()
        def work(begin: int, end: int) -> None:
            points = self.points(places[begin:end])
            found[begin:end] = scores(self.classifier, points, self.target, self.output).cpu().numpy()

        self.classifier.in_batches(len(places), work, told, largest=8)
        return found


def _is_enough(values: torch.Tensor, difference: float, limit: float | None) -> bool:
    return limit is None or abs(float(values.sum()) - difference) <= limit


def _regular(
    path: _Path, rule: str, n_steps: int, limit: float | None, difference: float, told: Progress
) -> tuple[torch.Tensor, int]:
    """Steps that depend on nothing but their number, doubled until the sum is near enough."""

    def total(rule: str, steps: int) -> torch.Tensor:
        places, weights = path_rule(rule, steps)
        # In order and in float64, so that the size of a batch changes nothing.
        sums = torch.zeros(path.image.shape, dtype=torch.float64)
        path.each(places, lambda i, part: sums.add_(part.double(), alpha=float(weights[i])), told)
        return sums

    steps = n_steps
    values = total(rule, steps)
    while steps * 2 <= MOST_STEPS and not _is_enough(values, difference, limit):
        # The ends of a trapezoid's new steps are the old ends and the middles between them.
        values = (values + total("midpoint", steps)) / 2 if rule == "trapezoid" else total(rule, steps * 2)
        steps *= 2
    return values, steps


def _adaptive(
    path: _Path, rule: str, n_steps: int, limit: float | None, difference: float, told: Progress
) -> tuple[torch.Tensor, int]:
    """Steps that are short where the score bends, doubled until the sum is near enough, or it surely is."""
    most = max(n_steps, min(MOST_STEPS, KEPT_BYTES // (4 * path.image.numel())))
    pieces: list[Piece] = []
    wanted = n_steps

    def silent(share: float, message: str) -> None:
        told(min(1.0, len(pieces) / wanted), message or f"{len(pieces)} of {wanted} steps")

    def parts(places: np.ndarray) -> list[torch.Tensor]:
        kept: list[torch.Tensor] = [path.image] * len(places)
        path.each(places, kept.__setitem__, silent)
        return kept

    def at(places: np.ndarray) -> np.ndarray:
        return path.scores(places, silent)

    pieces = first_pieces(max(1, n_steps // 4), parts, at)
    while True:
        while len(pieces) + 2 <= wanted:
            if limit is not None and is_settled(pieces, limit):
                return integral(pieces), len(pieces)
            pieces = cut_worst(pieces, cuts_at_once(len(pieces), wanted), parts, at)
        values = integral(pieces)
        if wanted * 2 > most or _is_enough(values, difference, limit):
            return values, len(pieces)
        wanted *= 2


def _part_of(progress: Progress, number: int, of: int) -> Progress:
    return lambda share, words: progress((number + share) / of, words)


def _note(
    values: np.ndarray,
    is_baseline: bool,
    score: float,
    expected: float,
    tolerance: float | None,
    steps: int,
    output: str,
) -> str:
    if not values.any():
        if is_baseline:
            return "The map is blank: the image is the baseline. Choose another baseline."
        return why_no_gradient(score, output)
    error = abs(float(values.sum(dtype=np.float64)) - expected)
    if tolerance is not None and error > tolerance / 100 * abs(expected):
        advice = "Choose a baseline nearer to the image, such as blur."
        if abs(expected) < 0.05 * abs(score):
            advice = "The scores of image and baseline are almost the same: there is little to distribute. "
            "Try another baseline."
        return f"The sum is still more than {tolerance:g} % off after {steps} steps. {advice}"
    return ""
