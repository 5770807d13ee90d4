"""Occlusion as an attribution: how much the score falls when a window hides a pixel."""

from typing import Annotated

import numpy as np

from core.attribution.gradients import NotFinite, Output, check_target
from core.attribution.methods import methods
from core.attribution.result import Attribution
from core.models.classifier import Classifier
from core.occlusion.occlusion import occlusion_logits
from core.occlusion.windows import FILLS
from core.progress import Progress, no_progress
from core.settings import Choice, Range


@methods.register("occlusion", title="Occlusion", order=80, smooth=False)
def occlusion(
    classifier: Classifier,
    image: np.ndarray,
    target: int,
    *,
    window: Annotated[int | None, Range(1, 4096), "pixels"] = None,
    stride: Annotated[int | None, Range(1, 4096), "pixels"] = None,
    fill: Annotated[str, Choice(*FILLS)] = "gray",
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0,
    output: Output = "logit",
    progress: Progress = no_progress,
) -> Attribution:
    """Hides a square and asks again: the mean drop of the score over the windows that hide a pixel.

    Args:
        window: The side of the window; empty for about a seventh of the image.
        stride: The pixels from one window to the next; empty for about 28 windows per side.
        fill: What the window is filled with.
        seed: The seed of the noise, where the fill is noise.
        output: Whether to explain the logit or the probability.
    Shape:
        image: (H, W, C) uint8
        returns: (H, W), in units of the score
    Raises:
        TargetOutOfRange: The classifier has no such class.
        SettingError: The window is larger than the image.
    Source:
        Zeiler, Fergus 2014, "Visualizing and Understanding Convolutional Networks", arXiv:1311.2901
    Example:
        >>> from core.data.catalogue import open_dataset
        >>> from core.models.catalogue import load
        >>> image = open_dataset("digits").split("test").images[0]
        >>> found = occlusion(load("digits_cnn"), image, 2, window=2)
        >>> found.values.shape
        (8, 8)
    """
    target = check_target(classifier, target)
    hidden = occlusion_logits(
        classifier, image, window=window, stride=stride, fill=fill, seed=seed, progress=progress
    )
    score = hidden.base(target, output)
    if not (np.isfinite(score) and np.isfinite(hidden.logits).all()):
        raise NotFinite(f"The {output} of class {target}", classifier)
    values = (score - hidden.map(target, output)).astype(np.float32)
    # What is left of a mean of equal numbers is rounding, not evidence.
    values[np.abs(values) < 1e-6 * max(1.0, abs(score))] = 0
    note = ""
    if not values.any():
        note = (
            "The map is blank: the score stays the same no matter what is hidden. The network does not "
            "look at this image."
        )
    return Attribution(
        values,
        target,
        score,
        signed=True,
        method="occlusion",
        settings={"window": window, "stride": stride, "fill": fill, "seed": seed, "output": output},
        note=note,
        found={"window": hidden.window, "stride": hidden.stride, "engine": hidden.engine},
    )
