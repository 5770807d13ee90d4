"""Grad-CAM: where in the last feature map the channels fire that raise the score."""

from typing import Annotated

import numpy as np
import torch

from core.attribution.gradients import NotFinite, Output, check_target, scores, to_map, why_no_gradient
from core.attribution.methods import methods
from core.attribution.result import Attribution
from core.models.classifier import Classifier
from core.network.default_map import FEWEST_PLACES_A_SIDE, default_map
from core.network.feature_maps import feature_map
from core.network.hooks import captured
from core.progress import Progress, no_progress
from core.settings import Choice, Text


@methods.register("grad_cam", title="Grad-CAM", order=60, smooth=False)
def grad_cam(
    classifier: Classifier,
    image: np.ndarray,
    target: int,
    *,
    layer: Annotated[str | None, Text(example="layer4")] = None,
    pooling: Annotated[str, Choice("average", "max")] = "average",
    positive_only: bool = True,
    output: Output = "logit",
    progress: Progress = no_progress,
) -> Attribution:
    """A coarse map: the sum of a layer's channels, each weighted by how much it would raise the score.

    Args:
        layer: The layer whose channels are weighted; empty for the last one with at least 7 × 7 places.
        pooling: Whether a channel's weight is the average or the largest of its gradients.
        positive_only: Keep only what speaks for the class, as in the paper.
        output: Whether to explain the logit or the probability.
    Shape:
        image: (H, W, C) uint8
        returns: (h, w), the places of the layer, whether it has channels first or last or tokens
    Raises:
        TargetOutOfRange: The classifier has no such class.
        UnknownName: It has no such layer with a map.
    Source:
        Selvaraju, Cogswell, Das, Vedantam, Parikh, Batra 2017, "Grad-CAM", arXiv:1610.02391
    Example:
        >>> from core.data.catalogue import open_dataset
        >>> from core.models.catalogue import load
        >>> image = open_dataset("digits").split("test").images[0]
        >>> found = grad_cam(load("digits_cnn"), image, 2, layer="activation2")
        >>> found.values.shape
        (4, 4)
    """
    target = check_target(classifier, target)
    chosen = feature_map(classifier, layer) if layer else default_map(classifier)
    name = chosen.layer
    inputs = classifier.inputs(image[None])
    with torch.inference_mode(False), torch.enable_grad():
        points = inputs.detach().clone().requires_grad_()
        with captured(classifier.module, [name]) as maps:
            score = scores(classifier, points, target, output)[0]
        (gradients,) = torch.autograd.grad(score, maps[name], allow_unused=True)
    score = score.detach()
    if gradients is None:
        gradients = torch.zeros_like(maps[name])
    # On the CPU first: Apple's GPUs have no float64.
    activations = chosen.of(maps[name].detach())[0].cpu().double()
    slopes = chosen.of(gradients)[0].cpu().double()
    if not (torch.isfinite(score) and torch.isfinite(slopes).all() and torch.isfinite(activations).all()):
        raise NotFinite(f"The {output} of class {target}", classifier)
    weights = slopes.mean(dim=(1, 2)) if pooling == "average" else slopes.amax(dim=(1, 2))
    values = (weights[:, None, None] * activations).sum(0)
    note = ""
    if min(chosen.size) < FEWEST_PLACES_A_SIDE and not layer:
        note = (
            f"No layer of this network has a map of {FEWEST_PLACES_A_SIDE} × {FEWEST_PLACES_A_SIDE} places "
            f"or more: {name} has {chosen.size[0]} × {chosen.size[1]}, so the map is coarse."
        )
    if not slopes.any():
        note = why_no_gradient(float(score), output)
        if gradients.any():
            note = (
                f"The map is blank: behind {name} only the class token is looked at, so its places move "
                "nothing. Choose an earlier layer."
            )
    elif positive_only and not (values > 0).any():
        note = (
            f"The map is blank: everywhere in {name} the active channels lower this class. "
            "Switch off “positive only” to see where."
        )
    progress(1.0, "")
    return Attribution(
        to_map(values.clamp(min=0) if positive_only else values),
        target,
        float(score),
        signed=not positive_only,
        method="grad_cam",
        settings={"layer": layer, "pooling": pooling, "positive_only": positive_only, "output": output},
        note=note,
        found={"layer": name},
    )
