"""Occlusion: hide a part of the image, ask again, and do so for every place of a window.

The network is asked for its logits only (`occlusion_logits`). What people look at (probability, drop, the map
over the pixels, who wins instead, where the answer is weakest) is made from the stored logits without it.
"""

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from core.occlusion.full_forwards import Engine
from core.occlusion.occlusion_map import OcclusionMap
from core.occlusion.windows import (
    FILLS,
    check_size,
    default_stride,
    default_window,
    filled_image,
    places,
)
from core.progress import Progress, no_progress
from core.settings import Choice, Range, check_settings, settings_of

if TYPE_CHECKING:
    from core.models.classifier import Classifier
else:
    Classifier = Any  # the command line reads the settings declared below without waiting for torch


def occlusion_logits(
    classifier: Classifier,
    image: np.ndarray,
    *,
    window: Annotated[int | None, Range(1, 4096), "pixels"] = None,
    stride: Annotated[int | None, Range(1, 4096), "pixels"] = None,
    fill: Annotated[str, Choice(*FILLS)] = "gray",
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0,
    known: OcclusionMap | None = None,
    engine: Engine | None = None,
    progress: Progress = no_progress,
) -> OcclusionMap:
    """Ask the classifier once for every place of a square window that hides a part of the image.

    The window is at 0, stride, 2 · stride, … and at the last place that lies whole inside, on both axes: so
    every window is whole. The fill is put in before normalization, in the colors of the image.

    Args:
        window: Side of the window.
        stride: Pixels from one place of the window to the next.
        fill: What stands in the window: gray 128, the image's mean color, black, white, the image blurred by
            a Gaussian of half a window, or noise.
        seed: The seed of the noise.
        known: A map of the same question with a larger stride, whose places are not asked again.
        engine: How the logits are found; where it is not given, the quicker one that serves: only what the
            window changes is computed (`core.occlusion.incremental`), or one forward pass a place.
        progress: Called after every batch.
    Shape:
        image: (H, W, C) uint8, as `core.data.preprocessing.fit` makes it
    Raises:
        SettingError: The window or stride is larger than the image, or a setting is not allowed.
        BadImage: The image is not of the classifier's size.
    Source:
        Zeiler, Fergus 2014, "Visualizing and Understanding Convolutional Networks", arXiv:1311.2901
    """
    height, width = image.shape[:2]
    window = default_window((height, width)) if window is None else window
    stride = default_stride((height, width)) if stride is None else stride
    given = {"window": window, "stride": stride, "fill": fill, "seed": seed}
    check_settings(settings_of(occlusion_logits), given)
    check_size("window", window, (height, width))
    check_size("stride", stride, (height, width))
    tops, lefts = places(height, window, stride), places(width, window, stride)
    filled = filled_image(image, fill, window, seed)
    logits = np.empty((len(tops), len(lefts), classifier.number_of_classes), np.float32)
    missing = np.ones(logits.shape[:2], bool)
    if known is None:
        base_logits = classifier.predict_logits(image[None])[0]
    else:
        _copy_known(known, window, fill, tops, lefts, logits, missing)
        base_logits = known.base_logits
    corners = np.stack([tops[np.nonzero(missing)[0]], lefts[np.nonzero(missing)[1]]], axis=1)
    if engine is None:
        from core.occlusion.quickest import quickest_logits

        logits[missing], name = quickest_logits(classifier, image, filled, corners, window, progress)
    else:
        logits[missing] = engine(classifier, image, filled, corners, window, progress)
        name = engine.__name__.replace("_", " ")
    return OcclusionMap(window, stride, fill, tops, lefts, logits, base_logits, (height, width), name)


def _copy_known(
    known: OcclusionMap,
    window: int,
    fill: str,
    tops: np.ndarray,
    lefts: np.ndarray,
    logits: np.ndarray,
    missing: np.ndarray,
) -> None:
    if (known.window, known.fill) != (window, fill):
        raise ValueError("the known map has another window or fill")
    rows, known_rows = np.nonzero(tops[:, None] == known.tops[None])
    columns, known_columns = np.nonzero(lefts[:, None] == known.lefts[None])
    logits[np.ix_(rows, columns)] = known.logits[np.ix_(known_rows, known_columns)]
    missing[np.ix_(rows, columns)] = False
