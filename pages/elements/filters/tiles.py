"""Patches of images as pictures of one size, and the lines of figures that stand with a channel."""

import numpy as np
from torch import Tensor

from core.ablation.atlas import Atlas
from core.filters.channel_layers import ChannelLayer
from core.filters.patches import tile
from core.filters.similar_kernels import KernelStrengths, kernel_strengths
from core.models.classifier import Classifier
from core.models.question import Question
from core.progress import Progress
from pages.elements.ask import asked
from pages.elements.filters.chosen_filters import Filters, shown
from pages.elements.filters.costs import cost_words

LARGEST_TILE = 66


def patch_tiles(
    f: Filters, layer: ChannelLayer, rows: np.ndarray, places: np.ndarray, side: int | None = None
) -> np.ndarray:
    """Patches as squares of one size: (N, k) rows and places to (N, k, side, side, 4) uint8."""
    height, width = f.card.preprocessing.input_size
    first = layer.box(0)
    longest = max(height, width) if first is None else max(min(first[2], height), min(first[3], width))
    side = side or min(LARGEST_TILE, longest)
    out = np.zeros((*rows.shape, side, side, 4), np.uint8)
    seen: dict[int, np.ndarray] = {}
    for at in np.ndindex(*rows.shape):
        row = int(rows[at])
        if row >= 0:
            if row not in seen:
                seen[row] = f.pixels(row)
            out[at] = tile(seen[row], layer.box(int(places[at])), side)
    return out


def kernels_of(f: Filters) -> tuple[np.ndarray | None, str]:
    """The layer's kernels as pictures, and what they show; none where a kernel has one place only.

    Shape:
        returns: (C, height, width, 1 or 3) uint8
    """
    layer = f.layer
    height, width = layer.kernel_size
    if f.number == 0 and f.index.kernels is not None:
        return f.index.kernels, f"the filter itself: {height} × {width} weights, gray is 0"
    if max(height, width) == 1:
        return None, ""

    def analysis(classifier: Classifier, progress: Progress) -> KernelStrengths:
        weight = classifier.module.get_submodule(layer.name).weight
        assert isinstance(weight, Tensor)
        return kernel_strengths(weight)

    question = Question("strengths of kernels", f.classifier, KernelStrengths, (layer.name,))
    strengths = asked(question, analysis)
    words = f"how much each of its {height} × {width} places weighs, over {layer.in_channels} input channels"
    return strengths.pictures, f"{words}: white most, black least"


def figure_lines(f: Filters, c: int, selectivity: np.ndarray, costs: Atlas | None) -> list[str]:
    """What stands under a channel's patches: the classes it prefers, its figures, its cost."""
    one, names = f.one, f.dataset.class_names
    means = one.class_means[c]
    best = [int(i) for i in one.preferred(3)[c] if np.isfinite(means[i]) and means[i] > max(0.0, one.mean[c])]
    lines = []
    if best and not one.dead()[c]:
        lines.append("Prefers " + ", ".join(f"{names[i]} ({shown(means[i])})" for i in best))
    figures = f"Selectivity {selectivity[c]:.2f} · largest {shown(one.top_values[c, 0])}"
    lines.append(figures + (f" · zero in {one.zeros[c]:.0%}" if one.zeros[c] > 0.001 else ""))
    if costs is not None:
        lines.append(cost_words(f, costs, c))
    return lines
