"""Occlusion maps against Captum's `Occlusion` and against whole forward passes: same model, image, windows.

    python -m benchmarks occlusion --network wide_cnn     # one of NETWORKS; without, one after the other

The slow side runs the network as PyTorch computes it, channels last, without our convolutions.
Ours is timed for the whole map, with all that prepares it, and so is Captum with its best batch. What would
take a quarter of an hour gets some of the windows, and its time for all is reckoned from those, each of which
costs it one pass; the row says how many of how many. With random weights a network costs what it costs with
trained ones.
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
from core.compute.own_forward import own_forward
from core.data.preprocessing import Preprocessing, fit
from core.data.samples import sample_image
from core.models.architectures import models
from core.models.card import ModelCard
from core.models.catalogue import load
from core.models.classifier import Classifier
from core.occlusion.full_forwards import full_forwards
from core.occlusion.occlusion import occlusion_logits
from core.occlusion.occlusion_map import OcclusionMap
from core.occlusion.windows import filled_image, number_of_places, places

BATCHES = (8, 32, 64)  # windows per pass that Captum is given besides its default of one; the quickest counts
WHOLE_PASSES = 16  # windows at most that whole forward passes are timed with
CAPTUM_STRIDE = (
    6  # pixels from window to window that Captum is given at least, but never more than the window
)
REPEATS = 3
NETWORKS = ("wide_cnn", "efficientnet_lite0", "resnet18", "vgg19")


def measure(networks: Sequence[str] = NETWORKS) -> list[Row]:
    rows: list[Row] = []
    if "wide_cnn" in networks:
        rows += _against_captum("wide CNN at 32", untrained("wide_cnn", 32), (3, 5, 7, 9), 1)
    if "efficientnet_lite0" in networks:
        lite = load("efficientnet_lite0")
        rows += _against_captum("EfficientNet-Lite0 at 224", lite, (33,), 16)
        rows.append(against_passes("EfficientNet-Lite0 at 224, window 9, stride 16", lite, 9, 16)[0])
    for name, title, architecture, settings in (
        ("resnet18", "ResNet18", "resnet18", {}),
        ("vgg19", "VGG19", "vgg", {"depth": "19", "batch_norm": False}),
    ):
        if name in networks:
            classifier = untrained(architecture, 224, **settings)
            for window in (9, 33):
                operation = f"{title} at 224, window {window}, stride 16"
                rows.append(against_passes(operation, classifier, window, 16)[0])
    return rows


def _against_captum(title: str, classifier: Classifier, windows: Sequence[int], stride: int) -> list[Row]:
    image = fit(sample_image("chelsea").pixels, classifier.card.preprocessing)
    inputs = classifier.inputs(image[None])
    baseline = classifier.inputs(np.full_like(image, 128)[None])
    target = int(classifier.predict_logits(image[None])[0].argmax())
    theirs = plain(classifier)

    def captum(window: int, batch: int, step: int) -> None:
        with torch.inference_mode():
            Occlusion(theirs.logits).attribute(
                inputs,
                (image.shape[2], window, window),
                (image.shape[2], step, step),
                baseline,
                target,
                perturbations_per_eval=batch,
            )

    tried = [partial(captum, windows[-1], batch, _captums_step(windows[-1], stride)) for batch in BATCHES]
    best = BATCHES[int(np.argmin(take_turns(tried, 1)))]
    rows = []
    for window in windows:
        room = image.shape[0] - window
        all_places = number_of_places(image.shape[:2], window, stride)
        step = _captums_step(window, stride)
        some = (1 + -(-room // step)) ** 2
        factor = (all_places + 1) / (some + 1)  # it looks at the whole image once, too
        found: list[OcclusionMap] = []

        def ours(window: int = window, found: list[OcclusionMap] = found) -> None:
            found[:] = [occlusion_logits(classifier, image, window=window, stride=stride)]

        ours()  # with another window it makes other products ready; a pass of Captum's stays what it was
        turns = [ours, partial(captum, window, 1, step), partial(captum, window, best, stride)]
        own, default, quickest = take_turns(turns, REPEATS, warm_up=window == windows[0])
        apart = _apart(classifier, image, found[0])
        operation = f"Occlusion map, {title}, window {window}, stride {stride}"
        rows += [
            Row(
                operation,
                f"Captum, default ({some} of {all_places} windows timed)",
                own,
                factor * default,
                apart,
            ),
            Row(operation, f"Captum, best batch {best}", own, quickest, apart),
        ]
    return rows


def _captums_step(window: int, stride: int) -> int:
    """Captum takes no larger steps than the window. One at the border costs it a pass like any other."""
    return max(stride, min(window, CAPTUM_STRIDE if stride < CAPTUM_STRIDE else 2 * stride))


def against_passes(title: str, classifier: Classifier, window: int, stride: int) -> tuple[Row, int]:
    """The row, and how many windows the map has."""
    image = fit(sample_image("chelsea").pixels, classifier.card.preprocessing)
    corners, some = _corners(image, window, stride)
    filled = filled_image(image, "gray", window)
    found: list[OcclusionMap] = []

    def ours() -> None:
        found[:] = [occlusion_logits(classifier, image, window=window, stride=stride)]

    own, passes = take_turns(
        [ours, partial(full_forwards, plain(classifier), image, filled, some, window)], REPEATS
    )
    apart = _apart(classifier, image, found[0])
    passes *= len(corners) / len(some)
    against = f"batched forward passes ({len(some)} of {len(corners)} windows timed)"
    return Row(f"Occlusion map, {title}", against, own, passes, apart), len(corners)


def take_turns(
    functions: Sequence[Callable[[], object]], repeats: int, *, warm_up: bool = True
) -> list[float]:
    """Median seconds of each, after one run of each to warm up."""
    times: list[list[float]] = [[] for _ in functions]
    for turn in range(0 if warm_up else 1, repeats + 1):
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
        if isinstance(part, nn.Conv2d) and own_forward(part) is not None:
            del part.forward
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
    return corners, corners[:: max(1, -(-len(corners) // WHOLE_PASSES))]


def _apart(classifier: Classifier, image: np.ndarray, found: OcclusionMap) -> str:
    """The largest difference of the map's logits from those of whole passes, in words."""
    corners, some = _corners(image, found.window, found.stride)
    filled = filled_image(image, "gray", found.window)
    expected = full_forwards(plain(classifier), image, filled, some, found.window)
    here = found.logits.reshape(len(corners), -1)[:: max(1, -(-len(corners) // WHOLE_PASSES))]
    return f"logits at most {np.abs(here - expected).max():.1e} apart, of {np.abs(expected).max():.2g}"
