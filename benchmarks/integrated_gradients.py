"""Integrated gradients beside Captum's: the same network, photo and baseline; equal steps, or equal error.

For equal error each side gets the fewest steps, of 8, 16, 32 …, with which the sum of its map is within 1 %
of what it should be. VGG19 has random weights here (its trained ones would have to be downloaded): a pass
costs the same, the steps that it takes may differ.
"""

from collections.abc import Callable

import captum.attr
import numpy as np
from torch import Tensor, nn

from benchmarks import Row, alternate
from benchmarks.occlusion import plain, untrained
from core.attribution import methods
from core.attribution_result import Attribution
from core.baselines import baseline_images
from core.catalogue import load
from core.classifier import Classifier
from core.preprocessing import fit
from core.samples import sample_image

STEPS, MOST = 32, 512
ERROR = 1.0  # percent
AT_ONCE = 8  # steps in one pass, of Captum's; larger batches were no quicker


def measure() -> list[Row]:
    lite = load("efficientnet_lite0")
    return [
        *_equal_steps("EfficientNet-Lite0", lite),
        _equal_error("EfficientNet-Lite0", lite, repeats=3),
        _equal_error("VGG19", untrained("vgg", 224, depth="19", batch_norm=False), repeats=1),
    ]


class _Logits(nn.Module):
    """As Captum wants it: a module from normalised inputs to logits, with PyTorch's own convolutions."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = plain(classifier)
        self.module = self.classifier.module

    def forward(self, inputs: Tensor) -> Tensor:
        return self.classifier.logits(inputs)


class _Sides:
    """Both ways to explain one photo."""

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier
        self.captums = captum.attr.IntegratedGradients(_Logits(classifier))
        self.image = fit(sample_image("chelsea").pixels, classifier.card.preprocessing).copy()
        self.target = int(classifier.predict_logits(self.image[None])[0].argmax())
        self.inputs = classifier.inputs(self.image[None])
        self.black = classifier.inputs(baseline_images("black", self.image))

    def ours(self, rule: str, steps: int) -> Attribution:
        return methods["integrated_gradients"](
            self.classifier, self.image, self.target, n_steps=steps, tolerance=None, rule=rule
        )

    def theirs(self, rule: str, steps: int) -> np.ndarray:
        values = self.captums.attribute(
            self.inputs, self.black, self.target, n_steps=steps, method=rule, internal_batch_size=AT_ONCE
        )
        return values[0].detach().numpy()


def _equal_steps(name: str, classifier: Classifier) -> list[Row]:
    sides = _Sides(classifier)
    equal, captum_equal = sides.ours("midpoint", STEPS), sides.theirs("riemann_middle", STEPS)
    apart = np.abs(equal.values - captum_equal).max() / np.abs(captum_equal).max()
    return [
        Row(
            f"Integrated gradients, {name}, {STEPS} equal steps",
            "Captum, midpoints",
            *alternate(
                lambda: sides.ours("midpoint", STEPS), lambda: sides.theirs("riemann_middle", STEPS), 3
            ),
            f"{apart:.1e} of the largest value apart",
        )
    ]


def _equal_error(name: str, classifier: Classifier, repeats: int) -> Row:
    sides = _Sides(classifier)
    expected = sides.ours("midpoint", 2).expected
    assert expected is not None

    def ours(steps: int) -> float:
        return float(sides.ours("adaptive", steps).values.sum(dtype=np.float64))

    def theirs(steps: int) -> float:
        return float(sides.theirs("gausslegendre", steps).sum(dtype=np.float64))

    fewest, error = _fewest(ours, expected)
    captums, their_error = _fewest(theirs, expected)
    return Row(
        f"Integrated gradients, {name}, to an error of {ERROR:g} %",
        "Captum's default rule",
        *alternate(lambda: ours(fewest), lambda: theirs(captums), repeats),
        f"{fewest} steps ({error:.2g} % off), Captum {captums} ({their_error:.2g} %)",
    )


def _fewest(total: Callable[[int], float], expected: float) -> tuple[int, float]:
    """The fewest steps that reach the error, and the error; the most that are tried where none do."""
    steps = 8
    while True:
        error = 100 * abs(total(steps) - expected) / abs(expected)
        if error <= ERROR or steps >= MOST:
            return steps, error
        steps *= 2
