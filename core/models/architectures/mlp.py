"""A multi-layer perceptron: every pixel to every neuron, with no idea of neighborhood."""

from collections import OrderedDict
from typing import Annotated

from torch import nn

from core.models.activation_functions import ACTIVATIONS, activation_function, initialize
from core.models.architectures import models
from core.models.single_logit import outputs
from core.settings import Choice, Range, Text, numbers_in


@models.register("mlp", title="Multi-layer perceptron", order=10)
def mlp(
    *,
    channels: int,
    number_of_classes: int,
    input_size: tuple[int, int],
    widths: Annotated[str, Text(r"|[1-9]\d*(,[1-9]\d*)*", "256,128")] = "256,128",
    activation: Annotated[str, Choice(*ACTIVATIONS)] = "relu",
    dropout: Annotated[float, Range(0, 0.95, 0.05)] = 0.0,
    single_logit: bool = False,
) -> nn.Module:
    """Fully connected layers one after another.

    Args:
        widths: The neurons of each hidden layer, separated by commas; empty for none (logistic regression).
        activation: The activation after every hidden layer. With "linear" all of it is one linear map.
        dropout: The share of hidden neurons switched off at random in every training step.
        single_logit: Use a single output, with a sigmoid, for two classes.
    Shape:
        input: (N, C, H, W) float32, normalized
        returns: (N, number_of_classes) logits, or (N, 1) with `single_logit`
    Example:
        >>> import torch
        >>> network = mlp(channels=1, number_of_classes=10, input_size=(8, 8), widths="16")
        >>> network(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2, 10])
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    before = channels * input_size[0] * input_size[1]
    for number, width in enumerate(numbers_in(widths), start=1):
        layers[f"hidden{number}"] = nn.Linear(before, width)
        layers[f"activation{number}"] = activation_function(activation)
        if dropout:
            layers[f"dropout{number}"] = nn.Dropout(dropout)
        before = width
    layers["output"] = nn.Linear(before, outputs(number_of_classes, single_logit))
    network = nn.Sequential(layers)
    initialize(network, activation)
    return network
