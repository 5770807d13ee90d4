"""Networks as torchvision and timm make them, beside what people do with them today.

    python -m benchmarks every_network --network resnet18-64 --network convnext_tiny    # single rows

People run batches of 16 or 32 in `inference_mode`, in one of the two memory layouts: the quickest of the four
is what a map is compared with. The first map is that of a network nobody has asked anything yet, on a machine
that remembers nothing of it: following the code, measuring, and preparing weights are part of it. Weights are
random; a network costs what it costs with trained ones.
"""

import copy
import gc
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import timm
import torch
import torchvision
from torch import Tensor, nn

from benchmarks import Row, alternate
from benchmarks.occlusion import take_turns
from core import store
from core.attribution.methods import methods
from core.compute import convolution, packed_matrix
from core.data.preprocessing import Preprocessing, fit
from core.data.samples import sample_image
from core.filters.index import build_index
from core.models.card import ModelCard
from core.models.classifier import Classifier
from core.models.surgery import prepare_for_analysis
from core.occlusion.occlusion import occlusion_logits
from core.occlusion.occlusion_map import OcclusionMap
from core.occlusion.windows import places

BATCHES = (16, 32)
LAYOUTS = (torch.contiguous_format, torch.channels_last)
WINDOWS_TIMED = 64  # of a map, when batches of whole passes are timed; each costs the same
REPEATS = 3
CLASSES = 1000


@dataclass(frozen=True)
class Case:
    """One row of occlusion.

    Attributes:
        network: Its name in timm, or in torchvision behind "torchvision/".
        side: Of the image, in pixels.
    """

    network: str
    side: int
    window: int
    stride: int


CASES = {
    "resnet18-64": Case("resnet18", 64, 7, 3),
    "hrnet_w18_small": Case("hrnet_w18_small", 64, 7, 4),
    "repvgg_a0": Case("repvgg_a0", 64, 7, 3),
    "nf_resnet26": Case("nf_resnet26", 64, 7, 4),
    "vgg11_bn": Case("vgg11_bn", 64, 7, 4),
    "mobilenet_v3_small": Case("torchvision/mobilenet_v3_small", 224, 33, 8),
    "convnext_tiny": Case("torchvision/convnext_tiny", 224, 33, 24),
    "densenet121": Case("torchvision/densenet121", 224, 33, 24),
    "resnet50": Case("resnet50", 224, 33, 24),
    "nfnet_l0": Case("nfnet_l0", 224, 33, 24),
}
BATCHES_OF_PASSES = {"nf_resnet26-batches": ("nf_resnet26", 64, 64)}  # network, side, images
GRADIENTS = {
    "efficientnet_lite0-gradients": ("tf_efficientnet_lite0", 32),
    "mobilenet_v3_small-gradients": ("torchvision/mobilenet_v3_small", 32),
}
INDEXES = {
    "efficientnet_lite0-index": ("tf_efficientnet_lite0", 48),
    "mobilenet_v3_small-index": ("torchvision/mobilenet_v3_small", 64),
}
NETWORKS = (*CASES, *BATCHES_OF_PASSES, *GRADIENTS, *INDEXES)


def measure(networks: Sequence[str] = NETWORKS) -> list[Row]:
    rows: list[Row] = []
    for name in networks:
        if name in CASES:
            rows += _occlusion(CASES[name])
        elif name in BATCHES_OF_PASSES:
            rows.append(_batches(*BATCHES_OF_PASSES[name]))
        elif name in GRADIENTS:
            rows += _gradients(*GRADIENTS[name])
        else:
            rows += _index(*INDEXES[name])
        gc.collect()
    return rows


def library_module(network: str, side: int) -> nn.Module:
    """The network as its library makes it, with random weights such that every branch says something."""
    torch.manual_seed(0)
    name = network.removeprefix("torchvision/")
    if name != network:
        module = torchvision.models.get_model(name, weights=None)
    else:
        module = timm.create_model(network, pretrained=False)
    for parameter in module.parameters():
        if (
            parameter.ndim <= 1 and not parameter.any()
        ):  # what begins at zero, as the last norm of a block does
            nn.init.uniform_(parameter, 0.1, 0.5)
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        module.train()(torch.randn(8, 3, side, side))
    return module.eval()


def ours_of(module: nn.Module, side: int) -> Classifier:
    """The same network as Convoscope loads it."""
    preprocessing = Preprocessing((side, side), (0.5,) * 3, (0.25,) * 3)
    card = ModelCard("benchmark", "none", tuple(map(str, range(CLASSES))), preprocessing)
    return Classifier(prepare_for_analysis(copy.deepcopy(module)), card, torch.device("cpu"))


@contextmanager
def nothing_remembered() -> Iterator[None]:
    """As on a machine where nothing was ever measured."""
    find, keep = store.find, store.keep
    with tempfile.TemporaryDirectory() as folder:
        kept: dict[str, store.Answer] = {}
        Path(folder).mkdir(exist_ok=True)
        store.find, store.keep = kept.get, lambda key, answer: kept.setdefault(key, answer)  # type: ignore[assignment]
        convolution._chosen.clear()
        packed_matrix._chosen.clear()
        try:
            yield
        finally:
            store.find, store.keep = find, keep


class Plain:
    """Whole passes of the network as its library makes it: the quickest of two layouts and two batches."""

    def __init__(self, module: nn.Module, inputs: Tensor) -> None:
        module = module.requires_grad_(False)
        self.modules = {
            layout: copy.deepcopy(module).to(memory_format=layout)  # type: ignore[call-overload]
            for layout in LAYOUTS
        }
        ways = [(layout, batch) for layout in LAYOUTS for batch in BATCHES]
        images = inputs[:1].expand(max(BATCHES), -1, -1, -1)
        taken = take_turns([partial(self._run, way, images) for way in ways], 2)
        self.way = ways[int(np.argmin(taken))]

    @torch.inference_mode()
    def _run(self, way: tuple[torch.memory_format, int], images: Tensor) -> Tensor:
        layout, batch = way
        parts = [part.contiguous(memory_format=layout) for part in images.split(batch)]
        return torch.cat([self.modules[layout](part) for part in parts])

    def logits(self, images: Tensor) -> Tensor:
        return self._run(self.way, images)

    def in_words(self) -> str:
        layout, batch = self.way
        return f"batches of {batch}, {'channels last' if layout is torch.channels_last else 'NCHW'}"


def _occlusion(case: Case) -> list[Row]:
    module = library_module(case.network, case.side)
    classifier = ours_of(module, case.side)
    image = fit(sample_image("chelsea").pixels, classifier.card.preprocessing)
    inputs = classifier.inputs(image[None])
    gray = classifier.inputs(np.full_like(image, 128)[None])
    starts = places(case.side, case.window, case.stride)
    corners = [(top, left) for top in starts for left in starts]
    some = corners[:: max(1, -(-len(corners) // WINDOWS_TIMED))]
    plain = Plain(module, inputs)

    def theirs() -> Tensor:
        pictures = inputs.repeat(len(some), 1, 1, 1)
        for picture, (top, left) in zip(pictures, some, strict=True):
            inside = np.s_[:, top : top + case.window, left : left + case.window]
            picture[inside] = gray[0][inside]
        return plain.logits(pictures)

    found: list[OcclusionMap] = []

    def ours(classifier: Classifier) -> None:
        found[:] = [occlusion_logits(classifier, image, window=case.window, stride=case.stride)]

    def first() -> None:
        with nothing_remembered():
            ours(fresh.pop())

    fresh = [ours_of(module, case.side) for _ in range(REPEATS)]
    expected = theirs().numpy()  # which warms up PyTorch, for both sides
    firsts, passes = _in_turns(first, theirs)
    ours(classifier)
    laters, again = _in_turns(partial(ours, classifier), theirs)
    here = found[0].logits.reshape(len(corners), -1)[:: max(1, -(-len(corners) // WINDOWS_TIMED))]
    apart = np.abs(here - expected).max() / np.abs(expected).max()
    whole = len(corners) / len(some)
    what = f"Occlusion, {case.network}, {case.side} px, window {case.window}, stride {case.stride}"
    words = f"{found[0].engine}; {apart:.0e} of the largest logit apart"
    against = f"{plain.in_words()} ({len(some)} of {len(corners)} windows timed)"
    return [
        Row(f"{what}: first map", against, firsts, whole * passes, words),
        Row(f"{what}: later maps", against, laters, whole * again, words),
    ]


def _in_turns(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    """Median seconds of each, without warming up."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(REPEATS):
        for kept, function in zip(times, (ours, theirs), strict=True):
            began = time.perf_counter()
            function()
            kept.append(time.perf_counter() - began)
    return median(times[0]), median(times[1])


def _batches(network: str, side: int, images: int) -> Row:
    module = library_module(network, side)
    classifier = ours_of(module, side)
    pixels = np.random.default_rng(0).integers(0, 256, (images, side, side, 3), np.uint8)
    plain = Plain(module, classifier.inputs(pixels))
    apart = np.abs(classifier.predict_logits(pixels) - plain.logits(classifier.inputs(pixels)).numpy()).max()
    own, theirs = alternate(
        lambda: classifier.predict_logits(pixels), lambda: plain.logits(classifier.inputs(pixels)), REPEATS
    )
    operation = f"Logits of {images} images, {network}, {side} px"
    return Row(operation, plain.in_words(), own, theirs, f"{apart:.0e} apart")


class _Logits(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, inputs: Tensor) -> Tensor:
        return self.module(inputs)


def _gradients(network: str, steps: int) -> list[Row]:
    """Equal steps against the best of Captum's batches and layouts; and the cost of an adaptive step."""
    import captum.attr

    module = library_module(network, 224).requires_grad_(False)
    classifier = ours_of(module, 224)
    image = fit(sample_image("chelsea").pixels, classifier.card.preprocessing)
    inputs, black = (classifier.inputs(each[None]) for each in (image, np.zeros_like(image)))
    target = int(classifier.predict_logits(image[None])[0].argmax())

    def ours(rule: str) -> int:
        found = methods["integrated_gradients"](
            classifier, image, target, n_steps=steps, tolerance=None, rule=rule
        )
        return int(found.found["steps"])

    def captums(layout: torch.memory_format, batch: int) -> Tensor:
        explained = captum.attr.IntegratedGradients(_Logits(in_layout[layout]))
        given = (each.contiguous(memory_format=layout) for each in (inputs, black))
        found: Tensor = explained.attribute(
            *given, target, n_steps=steps, method="riemann_middle", internal_batch_size=batch
        )
        return found

    in_layout = {layout: copy.deepcopy(module).to(memory_format=layout) for layout in LAYOUTS}  # type: ignore[call-overload]
    ways = [(layout, batch) for layout in LAYOUTS for batch in (4, 16, 32)]
    taken = take_turns([partial(captums, *way) for way in ways], 2)
    best = ways[int(np.argmin(taken))]
    equal = methods["integrated_gradients"](
        classifier, image, target, n_steps=steps, tolerance=None, rule="midpoint"
    )
    expected = captums(*best)[0].detach().numpy()
    apart = np.abs(equal.values - expected).max() / np.abs(expected).max()
    mine, theirs = alternate(lambda: ours("midpoint"), lambda: captums(*best), 5)
    bent, even = alternate(lambda: ours("adaptive"), lambda: ours("midpoint"), 5)
    share = steps / ours("adaptive")
    what = f"Integrated gradients, {network}, {steps} steps"
    return [
        Row(what, f"Captum, best of layouts and batches ({best[1]} at once)", mine, theirs,
            f"{apart:.0e} of the largest value apart"),
        Row(f"{what} of the adaptive rule", "as many equal steps", bent * share, even, "cost of a step"),
    ]  # fmt: skip


def _index(network: str, images: int) -> list[Row]:
    module = library_module(network, 224)
    pixels = np.random.default_rng(0).integers(0, 256, (images, 224, 224, 3), np.uint8)
    labels = np.random.default_rng(1).integers(0, 10, images)
    classifier = ours_of(module, 224)
    inputs = classifier.inputs(pixels)
    plain = Plain(module, inputs)
    fresh = [ours_of(module, 224) for _ in range(REPEATS)]

    def ours(classifier: Classifier) -> None:
        build_index(classifier, lambda rows: pixels[rows], labels, 10, k=9)

    def first() -> None:
        with nothing_remembered():
            ours(fresh.pop())

    plain.logits(inputs)
    ours(ours_of(module, 224))  # which compiles loops, once on a machine
    firsts, passes = _in_turns(first, lambda: plain.logits(inputs))
    ours(classifier)
    laters, again = _in_turns(partial(ours, classifier), lambda: plain.logits(inputs))
    what, against = f"Filter index, {network}, {images} images", f"the forward alone, {plain.in_words()}"
    return [
        Row(f"{what}: first", against, firsts, passes, "1 / ratio is the cost over the forward"),
        Row(f"{what}: later", against, laters, again, "1 / ratio is the cost over the forward"),
    ]
