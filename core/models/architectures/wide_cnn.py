"""The wide CNN: few layers with very many filters, no padding, pooled down to a single place."""

from collections import OrderedDict
from typing import Annotated

from torch import nn

from core.errors import SettingError
from core.models.activation_functions import ACTIVATIONS, activation_function, initialize
from core.models.architectures import models
from core.models.single_logit import outputs
from core.settings import Choice, Range

FILTERS = ((256, 5), (1024, 3), (2048, 3), (2048, 1))  # (number, side) of each convolution
HIDDEN = (1024, 256)
SMALLEST_SIDE = 24  # pixels; below, no place is left after the third pool


@models.register("wide_cnn", title="Wide CNN", order=50)
def wide_cnn(
    *,
    channels: int,
    number_of_classes: int,
    input_size: tuple[int, int],
    width: Annotated[float, Range(1 / 64, 1)] = 1.0,
    activation: Annotated[str, Choice(*ACTIVATIONS)] = "relu",
    batch_norm: bool = False,
    dropout: Annotated[float, Range(0, 0.95, 0.05)] = 0.0,
    single_logit: bool = False,
) -> nn.Module:
    """Four convolutions (5×5 256, 3×3 1024, 3×3 2048, 1×1 2048), each pooled, then 1024 and 256 neurons.

    On 32×32 images the layers' outputs after pooling are 256×14×14, 1024×6×6, 2048×2×2 and 2048×1×1, with
    28 million weights and 676 million multiplications an image.

    Args:
        width: The number of filters and neurons, as a share of the full network's.
        activation: The activation after every convolution and hidden layer.
        batch_norm: Normalize each filter's output over the batch, before the activation.
        dropout: The share of hidden neurons switched off at random in every training step.
        single_logit: Use a single output, with a sigmoid, for two classes.
    Shape:
        input: (N, C, H, W) float32, normalized; 24×24 or larger
        returns: (N, number_of_classes) logits, or (N, 1) with `single_logit`
    Raises:
        SettingError: The images are so small that no place is left after the third pool.
    Example:
        >>> import torch
        >>> network = wide_cnn(channels=3, number_of_classes=10, input_size=(32, 32), width=0.02)
        >>> network(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """
    if min(input_size) < SMALLEST_SIDE:
        raise SettingError(
            f"input_size is {input_size[0]}×{input_size[1]}: wide_cnn pads nothing, so its images must be "
            f"{SMALLEST_SIDE}×{SMALLEST_SIDE} or larger. Choose a larger size or another architecture."
        )
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    before, height, breadth = channels, *input_size
    for number, (filters, side) in enumerate(FILTERS, start=1):
        filters = max(1, round(filters * width))
        layers[f"conv{number}"] = nn.Conv2d(before, filters, side, bias=not batch_norm)
        if batch_norm:
            layers[f"norm{number}"] = nn.BatchNorm2d(filters)
        layers[f"activation{number}"] = activation_function(activation)
        # With ceil_mode the last pool keeps a map that is 1×1 already, as it is for 28×28 images.
        last = number == len(FILTERS)
        layers[f"pool{number}"] = nn.MaxPool2d(2, ceil_mode=last)
        height, breadth = ((extent - side + 1 + last) // 2 for extent in (height, breadth))
        before = filters
    layers["flatten"] = nn.Flatten()
    before *= height * breadth
    for number, neurons in enumerate(HIDDEN, start=1):
        neurons = max(1, round(neurons * width))
        layers[f"hidden{number}"] = nn.Linear(before, neurons)
        layers[f"hidden_activation{number}"] = activation_function(activation)
        if dropout:
            layers[f"dropout{number}"] = nn.Dropout(dropout)
        before = neurons
    output = nn.Linear(before, outputs(number_of_classes, single_logit))
    network = nn.Sequential(OrderedDict(**layers, output=output))
    initialize(network, activation, output=output)
    return network
