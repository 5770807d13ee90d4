"""The filter index against a bare forward pass; every channel off alone against running everything."""

from functools import partial

import numpy as np
import torch

from benchmarks import Row, alternate
from core.ablation import ablated_logits, layers_of
from core.ablation_atlas import ablation_atlas
from core.classifier import Classifier
from core.filter_index import build_index
from core.hooks import captured
from core.model_card import ModelCard
from core.models import models
from core.preprocessing import Preprocessing

K = 16


def measure() -> list[Row]:
    rows = []
    for name, settings, images in (
        ("speed_cnn", {"widths": "64,128,128"}, 128),
        ("wide_cnn", {"width": 0.125}, 128),
    ):
        classifier = _classifier(name, settings)
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (images, 32, 32, 3), dtype=np.uint8)
        labels = rng.integers(0, 10, images)
        rows += _index(name, classifier, pixels, labels)
        rows.append(_atlas(name, classifier, pixels[:16], labels[:16]))
    return rows


def _index(name: str, classifier: Classifier, pixels: np.ndarray, labels: np.ndarray) -> list[Row]:
    layers = layers_of(classifier)
    sites = [layer.site for layer in layers]

    def ours() -> dict:
        return build_index(classifier, lambda rows: pixels[rows], labels, 10, k=K)

    def bare() -> np.ndarray:
        return classifier.predict_logits(pixels)

    @torch.inference_mode()
    def keep_all() -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        kept: dict[str, list[torch.Tensor]] = {site: [] for site in sites}
        for start in range(0, len(pixels), 32):
            with captured(classifier.module, sites) as maps:
                classifier.module(classifier.inputs(pixels[start : start + 32]))
            for site in sites:
                kept[site].append(maps[site])
        return {site: torch.cat(parts).flatten(2).amax(2).topk(K, 0) for site, parts in kept.items()}

    found, expected = ours(), keep_all()
    apart = max(
        float(np.abs(found[f"{i}/top_values"].T - expected[site].values.numpy()).max())
        for i, site in enumerate(sites)
    )
    images = len(pixels)
    return [
        Row(
            f"Filter index of {name}, {images} images",
            against,
            *alternate(ours, other, 3),
            f"{apart:.1e} apart",
        )
        for against, other in (("bare forward pass", bare), ("keeping all activations", keep_all))
    ]


def _atlas(name: str, classifier: Classifier, pixels: np.ndarray, labels: np.ndarray) -> Row:
    layer = layers_of(classifier)[-1]
    rows = np.arange(len(pixels))

    def get(wanted: np.ndarray) -> np.ndarray:
        return pixels[wanted]

    def plain() -> np.ndarray:
        right = np.zeros((layer.channels, 10), np.int64)
        for c in range(layer.channels):
            predicted = ablated_logits(classifier, get, rows, {layer.name: [c]}).argmax(1)
            right[c] = np.bincount(labels[predicted == labels], minlength=10)
        return right

    ours = partial(ablation_atlas, classifier, get, rows, labels, layer.name)
    differ = int((ours().right != plain()).any(1).sum())
    return Row(
        f"Each of {layer.channels} channels of {name}'s {layer.name} off, {len(rows)} images",
        "zeroing and running all", *alternate(ours, plain, 2), f"{differ} channels counted differently",
    )  # fmt: skip


def _classifier(name: str, settings: dict) -> Classifier:
    torch.manual_seed(0)
    module = models[name](channels=3, number_of_classes=10, input_size=(32, 32), **settings)
    preprocessing = Preprocessing((32, 32), (0.5,) * 3, (0.25,) * 3)
    return Classifier(module, ModelCard(name, name, tuple("abcdefghij"), preprocessing), torch.device("cpu"))
