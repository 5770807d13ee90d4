"""How cost grows with image size, places, filters and images, each against its bound: four charts.

Image size and places: an occlusion map of ResNet18, against whole passes; the bound is the multiplications
that are left, at the speed of a whole pass. Filters: the filter index of one convolution; images: the
evaluation of a split; the bound of both is the bare forward pass. Drawn into docs/growth.svg; the table
gets no rows of it.
"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from benchmarks import Row, alternate
from benchmarks.occlusion import against_passes, untrained
from core.data.dataset import Split
from core.data.preprocessing import Preprocessing
from core.evaluation.accuracy import measure as evaluate
from core.filters.index import build_index
from core.models.card import ModelCard
from core.models.classifier import Classifier
from core.occlusion.incremental import share_of_multiplications
from core.occlusion.windows import places

CHART = Path(__file__).resolve().parent.parent / "docs" / "growth.svg"
SIDES = (112, 160, 224, 320)
STRIDES = (64, 32, 16, 8)
FILTERS = (64, 128, 256, 512, 1024)
IMAGES = (500, 1000, 2000, 4000)
NAMES = tuple("abcdefghij")


@dataclass(frozen=True)
class Point:
    """Seconds at one size: ours, the plain way's where there is one, and the bound."""

    size: int
    ours: float
    bound: float
    plain: float | None = None


def measure() -> list[Row]:
    sizes, places_ = zip(*(_occlusion(side, side // 16) for side in SIDES), strict=True)
    strides, tried = zip(*(_occlusion(224, stride) for stride in STRIDES), strict=True)
    charts = {
        "Occlusion map, ResNet18: pixels a side": [
            Point(side, *seconds) for side, seconds in zip(SIDES, sizes, strict=True)
        ],
        "Occlusion map, ResNet18 at 224: places": [
            Point(count, *seconds) for count, seconds in zip(tried, strides, strict=True)
        ],
        "Filter index, one 3×3 convolution, 256 images: filters": [_filters(n) for n in FILTERS],
        "Evaluation, small_cnn at 28 × 28: images": [_images(n) for n in IMAGES],
    }
    assert len(set(places_)) == 1  # image size alone differs in the first chart
    draw(charts, CHART)
    return []


def _occlusion(side: int, stride: int) -> tuple[tuple[float, float, float], int]:
    """(ours, bound, whole passes) in seconds, and how many places the window takes."""
    classifier = untrained("resnet18", side)
    window = side // 7 | 1
    row, count = against_passes(f"ResNet18 at {side}", classifier, window, stride)
    tops = places(side, window, stride)
    corners = np.array([(top, left) for top in tops for left in tops])
    share = share_of_multiplications(classifier, np.zeros((side, side, 3), np.uint8), corners, window)
    return (row.ours, share * row.theirs, row.theirs), count


def _filters(filters: int) -> Point:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, filters, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(filters, 10),
    )  # fmt: skip
    classifier = _classifier(module, 32)
    pixels, labels = _pictures(256, 32)

    def index() -> object:
        return build_index(classifier, lambda rows: pixels[rows], labels, 10, k=9)

    return Point(filters, *alternate(index, lambda: classifier.predict_logits(pixels), 3))


def _images(images: int) -> Point:
    classifier = untrained("small_cnn", 28)
    pixels, labels = _pictures(images, 28)
    split = Split(pixels, labels)
    return Point(
        images,
        *alternate(lambda: evaluate(classifier, split), lambda: classifier.predict_logits(pixels), 3),
    )


def _pictures(images: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (images, side, side, 3), dtype=np.uint8), rng.integers(0, 10, images)


def _classifier(module: nn.Module, side: int) -> Classifier:
    preprocessing = Preprocessing((side, side), (0.5,) * 3, (0.25,) * 3)
    return Classifier(module.eval(), ModelCard("one", "one", NAMES, preprocessing), torch.device("cpu"))


def draw(charts: dict[str, list[Point]], file: Path) -> None:
    """Each chart on logarithmic axes: a straight line of slope 1 is cost in proportion."""
    matplotlib.rcParams["svg.hashsalt"] = "growth"  # the same figures, the same file
    figure = Figure(figsize=(11, 8), layout="constrained", facecolor="white")
    for axes, (title, points) in zip(figure.subplots(2, 2).flat, charts.items(), strict=True):
        sizes = [point.size for point in points]
        if all(point.plain for point in points):
            axes.plot(sizes, [point.plain for point in points], "s--", color="#b45309", label="plain way")
        axes.plot(sizes, [point.ours for point in points], "o-", color="#1d4ed8", label="Convoscope")
        axes.plot(sizes, [point.bound for point in points], ":", color="#111827", label="bound")
        axes.set(xscale="log", yscale="log", title=title.partition(": ")[0])
        axes.set_xlabel(title.partition(": ")[2])
        axes.set_ylabel("seconds")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    file.parent.mkdir(exist_ok=True)
    figure.savefig(file, metadata={"Date": None})
