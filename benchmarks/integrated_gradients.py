"""Integrated gradients beside Captum's: the same network, image and baseline in one run.

Two questions: how long the same equal steps take, and how near the sum is after as many gradients.
"""

import time

import captum.attr
import numpy as np
from torch import nn

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

    def forward(self, inputs):  # noqa: ANN001, ANN201
        return self.classifier.logits(inputs)


def run(samples: tuple[str, ...] = ("chelsea", "coffee"), repeats: int = 3) -> list[dict[str, float | str]]:
    """One row a photo: seconds with the same equal steps, their ratio, and the error in percent of each rule."""
    classifier = load("efficientnet_lite0")
    ours, theirs = methods["integrated_gradients"], captum.attr.IntegratedGradients(_Logits(classifier))
    rows: list[dict[str, float | str]] = []
    for sample in samples:
        image = fit(sample_image(sample).pixels, classifier.card.preprocessing).copy()
        target = int(classifier.predict_logits(image[None])[0].argmax())
        inputs, black = classifier.inputs(image[None]), classifier.inputs(baseline_images("black", image))
        seconds: dict[str, list[float]] = {"ours": [], "captum": []}
        for _ in range(repeats):  # turn about, so that both meet the same machine
            began = time.perf_counter()
            equal = ours(classifier, image, target, n_steps=STEPS, tolerance=None, rule="midpoint")
            seconds["ours"].append(time.perf_counter() - began)
            began = time.perf_counter()
            theirs.attribute(inputs, black, target, n_steps=STEPS, method="riemann_middle")
            seconds["captum"].append(time.perf_counter() - began)
        _, delta = theirs.attribute(inputs, black, target, n_steps=STEPS, return_convergence_delta=True)
        adaptive = ours(classifier, image, target, n_steps=STEPS, tolerance=None)
        a, b = float(np.median(seconds["ours"])), float(np.median(seconds["captum"]))
        rows.append(
            {
                "photo": sample,
                "seconds": a,
                "seconds Captum": b,
                "times faster": b / a,
                "error adaptive %": adaptive.completeness_error or 0.0,
                "error midpoint %": equal.completeness_error or 0.0,
                "error Captum default %": 100 * abs(float(delta) / (equal.expected or 1.0)),
            }
        )
    return rows


def main() -> None:
    rows = run()
    print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(v if isinstance(v, str) else f"{v:.3g}" for v in row.values()) + " |")


if __name__ == "__main__":
    main()
