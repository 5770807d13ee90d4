"""Guided backprop: the gradient without what argues against."""

import numpy as np

from core.attribution.gradients import Output, check_target, input_gradients, to_map, why_no_gradient
from core.attribution.methods import methods
from core.attribution.result import Attribution
from core.models.classifier import Classifier
from core.network.hooks import guided_relus
from core.progress import Progress, no_progress


@methods.register("guided_backprop", title="Guided backprop", order=50)
def guided_backprop(
    classifier: Classifier,
    image: np.ndarray,
    target: int,
    *,
    output: Output = "logit",
    progress: Progress = no_progress,
) -> Attribution:
    """Stops negative gradients at every ReLU as well: sharp, but it shows the image more than the class.

    Args:
        output: Whether to explain the logit or the probability.
    Shape:
        image: (H, W, C) uint8
        returns: (C, H, W), in no unit: it is not a gradient of anything
    Raises:
        TargetOutOfRange: The classifier has no such class.
    Source:
        Springenberg, Dosovitskiy, Brox, Riedmiller 2015, arXiv:1412.6806; Adebayo et al. 2018, "Sanity Checks
        for Saliency Maps", arXiv:1810.03292, on what it does not show
    Example:
        >>> from core.data.catalogue import open_dataset
        >>> from core.models.catalogue import load
        >>> image = open_dataset("digits").split("test").images[0]
        >>> found = guided_backprop(load("digits_cnn"), image, 2)
        >>> found.values.shape
        (1, 8, 8)
    """
    target = check_target(classifier, target)
    with guided_relus(classifier.module) as relus:
        gradients, score = input_gradients(classifier, classifier.inputs(image[None]), target, output)
    progress(1.0, "")
    note = ""
    if not gradients.any():
        note = why_no_gradient(float(score[0]), output)
        if relus:
            note = "The map is blank: every path from this class to a pixel passes through a ReLU that "
            "stopped it."
    elif not relus:
        note = "This network has no ReLU to guide, so this is the plain gradient."
    return Attribution(
        to_map(gradients[0]),
        target,
        float(score[0]),
        signed=True,
        method="guided_backprop",
        settings={"output": output},
        note=note,
        found={"ReLUs": relus},
    )
