"""The effective receptive field: how strongly each pixel of an image really moves one place of a layer."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.errors import UnknownName
from core.models.classifier import Classifier
from core.network.feature_maps import layer_outputs
from core.network.receptive_field import Box, UnknownReceptiveField, receptive_field
from core.network.trace import twin_of
from core.progress import Progress, no_progress


@dataclass(frozen=True, eq=False)
class MeasuredField:
    """What the middle place of a layer's map sees, by its shape and by the gradient.

    Attributes:
        strength: (H, W) float64, how much each pixel counts; the largest is 1.
        box: The receptive field that follows from the layers' sizes.
    """

    strength: np.ndarray
    box: Box


def measured_field(
    classifier: Classifier, images: np.ndarray, *, layer: str, progress: Progress = no_progress
) -> MeasuredField:
    """Both for the same place.

    Args:
        images: (1, H, W, C) uint8, the size of the classifier's input.
        layer: A name in `named_modules()` whose output is a map.
    Raises:
        UnknownName, UnknownReceptiveField: As `effective_field`.
    """
    size, channels = classifier.card.preprocessing.input_size, classifier.card.preprocessing.channels
    strength, place = effective_field(classifier, images, layer=layer, progress=progress)
    return MeasuredField(strength, receptive_field(classifier.module, layer, size, channels).box(*place))


def effective_field(
    classifier: Classifier,
    images: np.ndarray,
    target: object = None,
    *,
    layer: str,
    draws: int = 6,
    seed: int = 0,
    progress: Progress = no_progress,
) -> tuple[np.ndarray, tuple[int, int]]:
    """Root mean square of the input gradient of the layer's middle place, over random signs of its channels.

    Channels added up as they are would cancel; with random signs the mean of the squares is the sum of all
    channels' squared gradients. The network is copied, so that nobody else's analysis is touched.

    Args:
        images: (1, H, W, C) uint8, the size of the classifier's input.
        layer: A name in `named_modules()` whose output is a map.
        draws: How many random signs; each costs one backward pass.
    Shape:
        returns: (H, W) float64 with the largest value 1, and the (row, column) of the place in the map
    Raises:
        UnknownName: There is no such layer.
        UnknownReceptiveField: Its output is not a map, or nothing reaches it on this image.
    Source:
        Luo, Li, Urtasun, Zemel 2016, "Understanding the Effective Receptive Field", arXiv:1701.04128
    """
    inputs = classifier.inputs(images)
    twin = twin_of(classifier.module, str(inputs.device)).requires_grad_(False)
    parts = dict(twin.named_modules())
    if layer not in parts:
        raise UnknownName("layer", layer, parts)
    outputs: list[Any] = []
    forward = parts[layer].forward

    def keep(*args: Any, **kwargs: Any) -> Any:
        outputs.append(forward(*args, **kwargs))
        return outputs[-1]

    parts[layer].forward = keep  # the copy is ours alone, and gone afterwards
    inputs = inputs.detach().clone().requires_grad_()
    with torch.enable_grad():
        twin(inputs)
        output = outputs[-1] if outputs else None
        held = layer_outputs(classifier).maps.get(layer)
        if isinstance(output, Tensor) and held is not None:  # its channels may be last, its places tokens
            output = held.of(output)
        if not isinstance(output, Tensor) or output.ndim != 4:
            raise UnknownReceptiveField(
                f"The output of {layer!r} is not a map with rows and columns: choose a layer before the "
                "classifier."
            )
        place = (output.shape[2] - 1) // 2, (output.shape[3] - 1) // 2
        middle = output[0, :, place[0], place[1]]
        generator = torch.Generator().manual_seed(seed)
        squares = torch.zeros(inputs.shape[2:], dtype=torch.float64)
        for draw in range(draws):
            signs = torch.randint(0, 2, middle.shape, generator=generator).to(middle) * 2 - 1
            (gradient,) = torch.autograd.grad((middle * signs).sum(), inputs, retain_graph=draw + 1 < draws)
            squares += (gradient[0].cpu().double() ** 2).sum(0)  # on the CPU: Apple's GPUs have no float64
            progress((draw + 1) / draws, "")
    strength = squares.sqrt().numpy()
    if not strength.max() > 0:
        raise UnknownReceptiveField(
            f"Nothing of this image reaches the middle of {layer!r}: it is silent there. Take another image."
        )
    return strength / strength.max(), place
