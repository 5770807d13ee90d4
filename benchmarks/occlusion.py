"""Occlusion maps against Captum's `Occlusion` and against whole forward passes: same model, image, windows.

The slow side runs the network as PyTorch computes it, channels last, without our convolutions.
Ours is timed for the whole map, with all that prepares it. The slow side would take a quarter of an hour: it
gets some of the windows, and its time for all is reckoned from those, each of which costs it the same.
With random weights a network costs what it costs with trained ones.
"""

import copy
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from captum.attr import Occlusion
from torch import nn

from benchmarks import Row
from core.catalogue import load
from core.classifier import Classifier
from core.fast_convolution import Conv2d
from core.model_card import ModelCard
from core.models import models
from core.occlusion import filled_image, full_forwards, occlusion_logits, places
from core.preprocessing import Preprocessing, fit
from core.samples import sample_image

BATCHES = (8, 32, 64)  # windows per pass that Captum is given besides its default of one; the quickest counts
SOME = 32  # windows at most that whole forward passes are timed with


def measure() -> list[Row]:
    rows: list[Row] = []
    wide, lite = untrained("wide_cnn", 32), load("efficientnet_lite0")
    for window in (3, 5, 7, 9):
        rows += _against_captum(f"wide CNN at 32, window {window}, stride 1", wide, window, 1)
    rows += _against_captum("EfficientNet-Lite0 at 224, window 33, stride 16", lite, 33, 16)
    rows.append(against_passes("EfficientNet-Lite0 at 224, window 9, stride 16", lite, 9, 16)[0])
    for name, title, settings in (
        ("resnet18", "ResNet18", {}),
        ("vgg", "VGG19", {"depth": "19", "batch_norm": False}),
    ):
        classifier = untrained(name, 224, **settings)
        for window in (9, 33):
            operation = f"{title} at 224, window {window}, stride 16"
            rows.append(against_passes(operation, classifier, window, 16)[0])
    return rows


def _against_captum(title: str, classifier: Classifier, window: int, stride: int) -> list[Row]:
    image = fit(sample_image("chelsea").pixels, classifier.card.preprocessing)
    inputs = classifier.inputs(image[None])
    baseline = classifier.inputs(np.full_like(image, 128)[None])
    shape = (image.shape[2], window, window)
    target = int(classifier.predict_logits(image[None])[0].argmax())
    theirs = plain(classifier)
    room = image.shape[0] - window
    # Captum has all columns of windows, but of their rows only those that lie side by side: it takes no
    # larger steps than the window.
    factor = (1 + -(-room // stride)) / (1 + -(-room // max(stride, window)))

    def ours() -> None:
        occlusion_logits(classifier, image, window=window, stride=stride)

    def captum(batch: int) -> None:
        with torch.inference_mode():
            Occlusion(theirs.logits).attribute(
                inputs,
                shape,
                (image.shape[2], max(stride, window), stride),
                baseline,
                target,
                perturbations_per_eval=batch,
            )

    best = BATCHES[int(np.argmin(take_turns([partial(captum, batch) for batch in BATCHES], 1)))]
    own, default, quickest = take_turns([ours, partial(captum, 1), partial(captum, best)], 3)
    apart = _apart(classifier, image, window, stride)
    operation = f"Occlusion map, {title}"
    return [
        Row(operation, "Captum, default", own, factor * default, apart),
        Row(operation, f"Captum, best batch ({best})", own, factor * quickest, apart),
    ]


def against_passes(title: str, classifier: Classifier, window: int, stride: int) -> tuple[Row, int]:
    """The row, and how many windows the map has."""
    image = fit(sample_image("chelsea").pixels, classifier.card.preprocessing)
    corners, some = _corners(image, window, stride)
    filled = filled_image(image, "grey", window)
    own, passes = take_turns(
        [
            partial(occlusion_logits, classifier, image, window=window, stride=stride),
            partial(full_forwards, plain(classifier), image, filled, some, window),
        ],
        3,
    )
    apart = _apart(classifier, image, window, stride)
    passes *= len(corners) / len(some)
    return Row(f"Occlusion map, {title}", "batched forward passes", own, passes, apart), len(corners)


def take_turns(functions: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Median seconds of each, after one run of each to warm up."""
    times: list[list[float]] = [[] for _ in functions]
    for turn in range(repeats + 1):
        for kept, function in zip(times, functions, strict=True):
            began = time.perf_counter()
            function()
            if turn:
                kept.append(time.perf_counter() - began)
    return [statistics.median(kept) for kept in times]


def plain(classifier: Classifier) -> Classifier:
    """The same network with PyTorch's own convolutions."""
    twin = Classifier(copy.deepcopy(classifier.module), classifier.card, classifier.device)
    for part in twin.module.modules():
        if type(part) is Conv2d:
            part.__class__ = nn.Conv2d
    return twin


def untrained(name: str, side: int, **settings: object) -> Classifier:
    """A network of ours with random weights, on the CPU."""
    torch.manual_seed(0)
    classes = 10 if side <= 64 else 1000
    module = models[name](channels=3, number_of_classes=classes, input_size=(side, side), **settings)
    preprocessing = Preprocessing((side, side), (0.5,) * 3, (0.25,) * 3)
    card = ModelCard(name, name, tuple(map(str, range(classes))), preprocessing)
    return Classifier(module, card, torch.device("cpu"))


def _corners(image: np.ndarray, window: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """All places of the window, and some of them."""
    tops, lefts = (places(side, window, stride) for side in image.shape[:2])
    corners = np.array([(top, left) for top in tops for left in lefts])
    return corners, corners[:: max(1, -(-len(corners) // SOME))]


def _apart(classifier: Classifier, image: np.ndarray, window: int, stride: int) -> str:
    found = occlusion_logits(classifier, image, window=window, stride=stride)
    corners, some = _corners(image, window, stride)
    expected = full_forwards(classifier, image, filled_image(image, "grey", window), some, window)
    here = found.logits.reshape(len(corners), -1)[:: max(1, -(-len(corners) // SOME))]
    return f"logits at most {np.abs(here - expected).max():.1e} apart, of {np.abs(expected).max():.2g}"
