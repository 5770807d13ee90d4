"""Integrated gradients beside Captum's: the same network, photo and baseline; equal steps, or equal error.

For equal error ours runs as it does by default, until the sum of its map is within 1 % of what it should be.
Captum gets the fewest steps, of 8, 16, 32 …, from which on that holds for it: a sum that is right with 8
steps and wrong with 16 was right by chance. VGG19 has random weights here (its trained ones would have to be
downloaded): a pass costs the same, but how many steps a map takes is another matter, so steps are equal; the
wide CNN, which ships, stands for a trained network of wide 3×3 convolutions.
"""

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

STEPS = 32
ERROR = 1.0  # percent
AT_ONCE = 8  # steps in one pass, of Captum's; larger batches were no quicker


def measure() -> list[Row]:
    lite = load("efficientnet_lite0")
    return [
        _equal_steps("EfficientNet-Lite0", lite, 32),
        _equal_error("EfficientNet-Lite0", lite),
        _equal_error("the wide CNN trained on CIFAR-10", load("cifar10_wide_cnn")),
        _equal_steps("VGG19", untrained("vgg", 224, depth="19", batch_norm=False), 8),
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
        start = baseline_images("black", self.image)
        self.inputs, self.black = classifier.inputs(self.image[None]), classifier.inputs(start)
        # The class that rises most from black to the photo: untrained, that of the photo may not rise at all.
        low, high = classifier.predict_logits(np.concatenate([start, self.image[None]]))
        self.target, self.rise = int((high - low).argmax()), float((high - low).max())

    def ours(self, rule: str, steps: int, tolerance: float | None) -> Attribution:
        return methods["integrated_gradients"](
            self.classifier, self.image, self.target, n_steps=steps, tolerance=tolerance, rule=rule
        )

    def theirs(self, rule: str, steps: int) -> np.ndarray:
        values = self.captums.attribute(
            self.inputs, self.black, self.target, n_steps=steps, method=rule, internal_batch_size=AT_ONCE
        )
        return values[0].detach().numpy()


def _equal_steps(name: str, classifier: Classifier, steps: int) -> Row:
    sides = _Sides(classifier)
    equal, captums = sides.ours("midpoint", steps, None), sides.theirs("riemann_middle", steps)
    apart = np.abs(equal.values - captums).max() / np.abs(captums).max()
    return Row(
        f"Integrated gradients, {name}, {steps} equal steps",
        "Captum, midpoints",
        *alternate(
            lambda: sides.ours("midpoint", steps, None), lambda: sides.theirs("riemann_middle", steps), 3
        ),
        f"{apart:.1e} of the largest value apart",
    )


def _equal_error(name: str, classifier: Classifier) -> Row:
    sides = _Sides(classifier)
    found = sides.ours("adaptive", STEPS, ERROR)
    error = 100 * abs(float(found.values.sum(dtype=np.float64)) - sides.rise) / sides.rise
    steps, their_error = _fewest(sides)
    return Row(
        f"Integrated gradients, {name}, to an error of {ERROR:g} %",
        "Captum's default rule",
        *alternate(
            lambda: sides.ours("adaptive", STEPS, ERROR), lambda: sides.theirs("gausslegendre", steps), 3
        ),
        f"{found.found['steps']} steps ({error:.2g} % off), Captum {steps} ({their_error:.2g} %)",
    )


def _fewest(sides: _Sides, most: int = 512) -> tuple[int, float]:
    """Captum's fewest steps from which on it keeps to the error, and its error; `most` if it never does."""
    steps, error = 2 * most, float("inf")
    while steps > 8:
        total = float(sides.theirs("gausslegendre", steps // 2).sum(dtype=np.float64))
        half = 100 * abs(total - sides.rise) / sides.rise
        if half > ERROR and steps <= most:
            break
        steps, error = steps // 2, half
        if half > ERROR:
            break
    return steps, error
