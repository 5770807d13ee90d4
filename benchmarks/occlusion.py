"""Occlusion maps against Captum's `Occlusion`: same model, image, windows, places and baseline."""

from functools import partial

import numpy as np
import torch
from captum.attr import Occlusion

from benchmarks import Row, alternate
from core.catalogue import load
from core.classifier import Classifier
from core.model_card import ModelCard
from core.models import models
from core.occlusion import occlusion_logits
from core.preprocessing import Preprocessing, fit
from core.samples import sample_image

# Windows per pass that Captum is given besides its default of one; the quickest counts.
BATCHES = (1, 8, 32)


def measure() -> list[Row]:
    rows = []
    for title, classifier, window in (
        ("EfficientNet-Lite0 at 224, window and stride 32", load("efficientnet_lite0"), 32),
        ("small CNN at 32, window and stride 4", _small(), 4),
    ):
        rows += _compare(title, classifier, window)
    return rows


def _compare(title: str, classifier: Classifier, window: int) -> list[Row]:
    image = fit(sample_image("chelsea").pixels, classifier.card.preprocessing)
    inputs = classifier.inputs(image[None])
    baseline = classifier.inputs(np.full_like(image, 128)[None])
    shape = (image.shape[2], window, window)
    target = int(classifier.predict_logits(image[None])[0].argmax())

    def ours() -> np.ndarray:
        found = occlusion_logits(classifier, image, window=window, stride=window, fill="grey")
        return found.base(target, "logit") - found.map(target, "logit")

    def captum(batch: int) -> np.ndarray:
        with torch.inference_mode():
            map = Occlusion(classifier.logits).attribute(
                inputs, shape, shape, baseline, target, perturbations_per_eval=batch
            )
        return map[0, 0].cpu().numpy()

    apart = float(np.abs(ours() - captum(BATCHES[-1])).max())
    measured = {batch: alternate(ours, partial(captum, batch), 3) for batch in BATCHES}
    best = min(BATCHES, key=lambda batch: measured[batch][1])
    difference = f"at most {apart:.1e} of a logit"
    operation = f"Occlusion map, {title}"
    return [
        Row(operation, "Captum, default", *measured[1], difference),
        Row(operation, f"Captum, best batch ({best})", *measured[best], difference),
    ]


def _small() -> Classifier:
    torch.manual_seed(0)
    module = models["small_cnn"](channels=3, number_of_classes=10, input_size=(32, 32))
    card = ModelCard(
        "small CNN",
        "small_cnn",
        tuple(map(str, range(10))),
        Preprocessing((32, 32), (0.5,) * 3, (0.25,) * 3),
    )
    return Classifier(module, card, torch.device("cpu"))
