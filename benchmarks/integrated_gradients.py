"""Integrated gradients beside Captum's: the same network, pictures and baseline; equal steps, or equal error.

For equal error ours runs as it does by default, until the sum of its map is within 1 % of what it should be.
Captum gets the fewest steps, of 8, 16, 32 …, from which on that holds for it: a sum that is right with 8
steps and wrong with 16 was right by chance. How many steps a map takes depends on the picture too: there are
several.

VGG19's own weights would have to be downloaded, and with random ones the score goes to and fro along the path
as no trained network's does: with those, steps are equal. Equal error is measured on a VGG19 trained here,
the report's (one logit, sutures of 224 pixels), where a run of that name is found: see `TRAIN`.
"""

import sys
from collections.abc import Iterable
from typing import Any

import captum.attr
import numpy as np
from torch import Tensor, nn

from benchmarks import Row, alternate
from benchmarks.occlusion import plain, untrained
from core.attribution.baselines import baseline_images
from core.attribution.methods import methods
from core.attribution.result import Attribution
from core.data.catalogue import open_dataset
from core.data.preprocessing import fit
from core.data.samples import sample_image
from core.models.catalogue import checkpoint_folder, load
from core.models.classifier import Classifier

STEPS = 32
ERROR = 1.0  # percent
AT_ONCE = 8  # steps in one pass, of Captum's; larger batches were no quicker


PHOTOS = ("chelsea", "coffee", "rocket")
SUTURES: dict[str, Any] = {"images": 600, "size": 224, "grid_leak": 1.0}
TRAINED = "runs/sutures_vgg19"
TRAIN = f"""python -m core train --name sutures_vgg19 --dataset sutures
--dataset-settings "{"; ".join(f"{name}={value}" for name, value in SUTURES.items())}"
--architecture vgg --architecture-settings "depth=19; single_logit=true; dropout=0.3"
--epochs 6 --batch-size 16 --learning-rate 0.0003 --schedule one_cycle"""


def measure() -> list[Row]:
    lite = load("efficientnet_lite0")
    photos = [sample_image(name).pixels for name in PHOTOS]
    rows = [
        _equal_steps("EfficientNet-Lite0", lite, photos[0], 32),
        _equal_error("EfficientNet-Lite0", lite, photos),
        _equal_error("the wide CNN trained on CIFAR-10", load("cifar10_wide_cnn"), photos),
        _equal_steps("VGG19", untrained("vgg", 224, depth="19", batch_norm=False), photos[0], 8),
    ]
    if checkpoint_folder(TRAINED):
        pads = open_dataset("sutures", **SUTURES).splits["test"].images[:2]
        rows.append(_equal_error("VGG19 trained on sutures", load(TRAINED), list(pads), most=128))
    else:
        print(
            f"VGG19 to an equal error is left out: there is no {TRAINED}. To make it:\n{TRAIN}",
            file=sys.stderr,
        )
    return rows


class _Logits(nn.Module):
    """As Captum wants it: a module from normalized inputs to logits, with PyTorch's own convolutions."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = plain(classifier)
        self.module = self.classifier.module

    def forward(self, inputs: Tensor) -> Tensor:
        return self.classifier.logits(inputs)


class _Sides:
    """Both ways to explain one picture."""

    def __init__(self, classifier: Classifier, pixels: np.ndarray) -> None:
        self.classifier = classifier
        self.captums = captum.attr.IntegratedGradients(_Logits(classifier))
        self.image = fit(pixels, classifier.card.preprocessing).copy()
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


def _equal_steps(name: str, classifier: Classifier, pixels: np.ndarray, steps: int) -> Row:
    sides = _Sides(classifier, pixels)
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


def _equal_error(name: str, classifier: Classifier, pictures: list[np.ndarray], most: int = 512) -> Row:
    """Seconds for all pictures together."""
    every = [_Sides(classifier, pixels) for pixels in pictures]
    steps = [_fewest(sides, most) for sides in every]
    found = [sides.ours("adaptive", STEPS, ERROR) for sides in every]
    error = max(one.completeness_error or 0 for one in found)

    def ours() -> None:
        for sides in every:
            sides.ours("adaptive", STEPS, ERROR)

    def theirs() -> None:
        for sides, (enough, _) in zip(every, steps, strict=True):
            sides.theirs("gausslegendre", enough)

    return Row(
        f"Integrated gradients, {name}, {len(pictures)} pictures to an error of {ERROR:g} %",
        "Captum's default rule",
        *alternate(ours, theirs, 3),
        f"{_listed(one.found['steps'] for one in found)} steps ({error:.2g} % off at most), "
        f"Captum {_listed(n for n, _ in steps)} ({max(their for _, their in steps):.2g} %)",
    )


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))


def _fewest(sides: _Sides, most: int) -> tuple[int, float]:
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
