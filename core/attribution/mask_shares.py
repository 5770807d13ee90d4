"""How much of an attribution falls on what, where masks tell what every pixel shows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.attribution.heatmap import enlarged, plane_of
from core.attribution.result import Attribution
from core.data.dataset import Split
from core.data.preprocessing import Preprocessing, fit
from core.evaluation.paired_differences import paired_difference
from core.progress import Progress, no_progress

OUTSIDE_ALL_MASKS = "elsewhere"


@dataclass(frozen=True)
class MaskShare:
    """What one mask holds of a map.

    Attributes:
        mask: Its name, such as "stitches"; "elsewhere" is what no mask covers.
        share: Of the map's strength (absolute values), 0…1.
        area: Of the image, 0…1: what a map that knows nothing would give it.
        interval: Of the mean share over several images, 95%; None for a single image.
    """

    mask: str
    share: float
    area: float
    interval: tuple[float, float] | None = None

    @property
    def times(self) -> float:
        """How many times its area it holds; 1 is what chance gives."""
        return self.share / self.area if self.area else 0.0


def mask_shares(values: np.ndarray, masks: Mapping[str, np.ndarray]) -> list[MaskShare]:
    """The share of the absolute map on every mask, and elsewhere; none for a blank map.

    Args:
        masks: Of the image as the network sees it; a map of fewer places is enlarged to their size.
    Shape:
        values: (C, H, W), or (h, w) of fewer places
        masks: (H, W) bool each
    """
    size = next(iter(masks.values())).shape if masks else (0, 0)
    strength = np.abs(enlarged(plane_of(values), (size[0], size[1]))).astype(np.float64) if masks else None
    if strength is None or not strength.sum():
        return []
    strength /= strength.sum()
    rest = ~np.logical_or.reduce(list(masks.values()))
    return [
        MaskShare(name, float(strength[mask].sum()), float(mask.mean()))
        for name, mask in {**masks, OUTSIDE_ALL_MASKS: rest}.items()
    ]


def fitted_masks(masks: Mapping[str, np.ndarray], preprocessing: Preprocessing) -> dict[str, np.ndarray]:
    """Masks resized and cut as the network's input is: (H, W) bool each."""
    pictures = {name: np.repeat(255 * mask.astype(np.uint8)[..., None], 3, 2) for name, mask in masks.items()}
    return {name: fit(picture, preprocessing)[..., 0] > 127 for name, picture in pictures.items()}


def mean_shares(images: list[list[MaskShare]]) -> list[MaskShare]:
    """The mean over several images, each counting alike, with its interval."""
    found = []
    for shares in zip(*images, strict=True):
        values = np.array([each.share for each in shares])
        interval = paired_difference(np.zeros(len(values)), values).interval
        area = float(np.mean([each.area for each in shares]))
        found.append(MaskShare(shares[0].mask, float(values.mean()), area, interval))
    return found


def score_method(
    method: Any, classifier: Any, split: Split, settings: Mapping[str, Any], *,
    images: int = 40, progress: Progress = no_progress,
) -> list[MaskShare]:  # fmt: skip
    """The mean shares of a method's maps for the predicted class, over a stratified choice of images.

    Args:
        method: A member of `core.attribution.methods.methods`.
        images: At most so many; those whose map is blank are left out.
    """
    from core.data.fitting import fitted

    some = split.subset(min(images, len(split)))
    pixels = fitted(some.images, classifier.card.preprocessing)
    found = []
    for row in range(len(some)):
        progress(row / len(some), f"Image {row + 1} of {len(some)}")
        image = pixels(np.arange(row, row + 1))[0]
        target = int(classifier.predict_logits(image[None])[0].argmax())
        result: Attribution = method(classifier, image, target, **settings)
        masks = fitted_masks({n: m[row] for n, m in some.masks.items()}, classifier.card.preprocessing)
        if shares := mask_shares(result.values, masks):
            found.append(shares)
    return mean_shares(found) if found else []


def in_words(shares: list[MaskShare]) -> str:
    """One line: each mask's share of the map, its area, and how many times that is."""
    return ", ".join(
        f"{each.mask} {each.share:.0%} on {each.area:.0%} of the area (× {each.times:.1f})" for each in shares
    )
