"""A small CNN to begin with: three convolutions, each followed by a pool, and one hidden layer."""

from collections import OrderedDict
from typing import Annotated

from torch import nn

from core.models.activation_functions import ACTIVATIONS, activation_function, initialize
from core.models.architectures import models
from core.models.single_logit import outputs
from core.settings import Choice, Range, Text, numbers_in


@models.register("small_cnn", title="Small CNN", order=20)
def small_cnn(
    *,
    channels: int,
    number_of_classes: int,
    input_size: tuple[int, int],
    widths: Annotated[str, Text(r"[1-9]\d*(,[1-9]\d*)*", "32,64,128")] = "32,64,128",
    hidden: Annotated[int, Range(1, 4096, logarithmic=True), "neurons"] = 128,
    activation: Annotated[str, Choice(*ACTIVATIONS)] = "relu",
    batch_norm: bool = False,
    dropout: Annotated[float, Range(0, 0.95, 0.05)] = 0.0,
    single_logit: bool = False,
) -> nn.Module:
    """3×3 convolutions that each halve the map, and one hidden layer. Made for images of 64×64.

    Args:
        widths: The filters of each convolution, separated by commas.
        hidden: The number of neurons between the last map and the classes.
        activation: The activation after every convolution and the hidden layer.
        batch_norm: Normalize each filter's output over the batch, before the activation.
        dropout: The share of hidden neurons switched off at random in every training step.
        single_logit: Use a single output, with a sigmoid, for two classes.
    Shape:
        input: (N, C, H, W) float32, normalized
        returns: (N, number_of_classes) logits, or (N, 1) with `single_logit`
    Example:
        >>> import torch
        >>> network = small_cnn(channels=1, number_of_classes=10, input_size=(16, 16), widths="4,8")
        >>> network(torch.zeros(2, 1, 16, 16)).shape
        torch.Size([2, 10])
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    before, (height, width) = channels, input_size
    for number, filters in enumerate(numbers_in(widths), start=1):
        layers[f"conv{number}"] = nn.Conv2d(before, filters, 3, padding=1, bias=not batch_norm)
        if batch_norm:
            layers[f"norm{number}"] = nn.BatchNorm2d(filters)
        layers[f"activation{number}"] = activation_function(activation)
        layers[f"pool{number}"] = nn.MaxPool2d(2, ceil_mode=True)
        before, height, width = filters, (height + 1) // 2, (width + 1) // 2
    layers["flatten"] = nn.Flatten()
    layers["hidden"] = nn.Linear(before * height * width, hidden)
    layers["hidden_activation"] = activation_function(activation)
    if dropout:
        layers["dropout"] = nn.Dropout(dropout)
    layers["output"] = nn.Linear(hidden, outputs(number_of_classes, single_logit))
    network = nn.Sequential(layers)
    initialize(network, activation)
    return network
