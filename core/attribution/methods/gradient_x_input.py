"""Gradient times input: what each pixel contributes if the network were linear around the image."""

import numpy as np

from core.attribution.gradients import Output, check_target, input_gradients, to_map, why_no_gradient
from core.attribution.methods import methods
from core.attribution.result import Attribution
from core.models.classifier import Classifier
from core.progress import Progress, no_progress


@methods.register("gradient_x_input", title="Gradient × input", order=30)
def gradient_x_input(
    classifier: Classifier,
    image: np.ndarray,
    target: int,
    *,
    output: Output = "logit",
    progress: Progress = no_progress,
) -> Attribution:
    """The gradient times the normalized input, whose zero is the mean color of the training images.

    Args:
        output: Whether to explain the logit or the probability.
    Shape:
        image: (H, W, C) uint8
        returns: (C, H, W), in units of the score
    Raises:
        TargetOutOfRange: The classifier has no such class.
    Source:
        Shrikumar, Greenside, Shcherbina, Kundaje 2016, "Not Just a Black Box", arXiv:1605.01713
    Example:
        >>> from core.data.catalogue import open_dataset
        >>> from core.models.catalogue import load
        >>> image = open_dataset("digits").split("test").images[0]
        >>> found = gradient_x_input(load("digits_cnn"), image, 2)
        >>> found.values.shape
        (1, 8, 8)
    """
    target = check_target(classifier, target)
    inputs = classifier.inputs(image[None])
    gradients, score = input_gradients(classifier, inputs, target, output)
    values = gradients * inputs
    note = ""
    if not values.any():
        note = why_no_gradient(float(score[0]), output)
        if gradients.any():
            note = "The map is blank: the normalized image is 0 everywhere, so gradient × input is too."
    progress(1.0, "")
    return Attribution(
        to_map(values[0]),
        target,
        float(score[0]),
        signed=True,
        method="gradient_x_input",
        settings={"output": output},
        note=note,
    )
