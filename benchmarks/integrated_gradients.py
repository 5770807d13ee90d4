"""Integrated gradients beside Captum's: the same network, photo, baseline and number of steps."""

import captum.attr
import numpy as np
from torch import Tensor, nn

from benchmarks import Row, alternate
from core.attribution import methods
from core.baselines import baseline_images
from core.catalogue import load
from core.classifier import Classifier
from core.preprocessing import fit
from core.samples import sample_image

STEPS = 32


class _Logits(nn.Module):
    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.module, self.classifier = classifier.module, classifier

    def forward(self, inputs: Tensor) -> Tensor:
        return self.classifier.logits(inputs)


def measure() -> list[Row]:
    classifier = load("efficientnet_lite0")
    method, captums = methods["integrated_gradients"], captum.attr.IntegratedGradients(_Logits(classifier))
    image = fit(sample_image("chelsea").pixels, classifier.card.preprocessing).copy()
    target = int(classifier.predict_logits(image[None])[0].argmax())
    inputs, black = classifier.inputs(image[None]), classifier.inputs(baseline_images("black", image))

    def ours(rule: str) -> np.ndarray:
        found.append(method(classifier, image, target, n_steps=STEPS, tolerance=None, rule=rule))
        return found[-1].values

    def theirs(rule: str) -> np.ndarray:
        values = captums.attribute(inputs, black, target, n_steps=STEPS, method=rule)
        return values[0].detach().numpy()

    found: list = []
    equal, captum_equal = ours("midpoint"), theirs("riemann_middle")
    apart = np.abs(equal - captum_equal).max() / np.abs(captum_equal).max()
    expected = found[-1].expected
    missed = 100 * abs(float(theirs("gausslegendre").sum()) - expected) / abs(expected)
    ours("adaptive")
    error = found[-1].completeness_error
    what = f"Integrated gradients, EfficientNet-Lite0, {STEPS}"
    return [
        Row(
            f"{what} equal steps", "Captum, midpoints",
            *alternate(lambda: ours("midpoint"), lambda: theirs("riemann_middle"), 3),
            f"{apart:.1e} of the largest value apart",
        ),
        Row(
            f"{what} steps, as by default", "Captum's default",
            *alternate(lambda: ours("adaptive"), lambda: theirs("gausslegendre"), 3),
            f"sum {error:.2g} % off, Captum's {missed:.2g} %",
        ),
    ]  # fmt: skip
