"""Vanilla backprop: the gradient of the score."""

import numpy as np

from core.attribution.gradients import Output, check_target, input_gradients, to_map, why_no_gradient
from core.attribution.methods import methods
from core.attribution.result import Attribution
from core.models.classifier import Classifier
from core.progress import Progress, no_progress


@methods.register("saliency", title="Vanilla backprop", order=20)
def saliency(
    classifier: Classifier,
    image: np.ndarray,
    target: int,
    *,
    output: Output = "logit",
    progress: Progress = no_progress,
) -> Attribution:
    """How much the score rises when a pixel gets a little brighter: sensitivity, not contribution.

    Args:
        output: Whether to explain the logit or the probability.
    Shape:
        image: (H, W, C) uint8
        returns: (C, H, W), score per unit of the normalized input
    Raises:
        TargetOutOfRange: The classifier has no such class.
    Source:
        Simonyan, Vedaldi, Zisserman 2014, "Deep Inside Convolutional Networks", arXiv:1312.6034
    Example:
        >>> from core.data.catalogue import open_dataset
        >>> from core.models.catalogue import load
        >>> image = open_dataset("digits").split("test").images[0]
        >>> found = saliency(load("digits_cnn"), image, 2)
        >>> found.values.shape
        (1, 8, 8)
    """
    target = check_target(classifier, target)
    gradients, score = input_gradients(classifier, classifier.inputs(image[None]), target, output)
    progress(1.0, "")
    return Attribution(
        to_map(gradients[0]),
        target,
        float(score[0]),
        signed=True,
        method="saliency",
        settings={"output": output},
        note="" if gradients.any() else why_no_gradient(float(score[0]), output),
    )
