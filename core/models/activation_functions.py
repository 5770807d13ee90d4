"""The nonlinearities a network can be built with, by name, and the first weights that suit each.

Every call makes a module of its own, never in place: a hook on it sees this activation and no other.
"""

import torch
from torch import nn

from core.errors import UnknownName

ACTIVATIONS = ("relu", "leaky_relu", "sigmoid", "tanh", "linear")
LEAKY_RELU_SLOPE = 0.1  # slope of "leaky_relu" below zero


def activation_function(name: str) -> nn.Module:
    """A new module of that name; "linear" passes its input on.

    Raises:
        UnknownName: It is not one of `ACTIVATIONS`.
    """
    match name:
        case "relu":
            return nn.ReLU()
        case "leaky_relu":
            return nn.LeakyReLU(LEAKY_RELU_SLOPE)
        case "sigmoid":
            return nn.Sigmoid()
        case "tanh":
            return nn.Tanh()
        case "linear":
            return nn.Identity()
    raise UnknownName("activation", name, ACTIVATIONS)


@torch.no_grad()
def initialize(module: nn.Module, activation: str, *, output: nn.Module | None = None) -> None:
    """Set all weights as suits the activation, and all biases to zero.

    Args:
        activation: "relu" and "leaky_relu" get He's normal weights, so that the mean square of the signal
            stays the same from layer to layer; the others Xavier's uniform ones.
        output: The last layer. Its weights are ten times smaller, so that training begins with all classes
            about equally likely and without a first step that is far too long.
    Source:
        Glorot, Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks";
        He et al. 2015, "Delving Deep into Rectifiers", arXiv:1502.01852
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            if activation == "relu":
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            elif activation == "leaky_relu":
                nn.init.kaiming_normal_(layer.weight, a=LEAKY_RELU_SLOPE, nonlinearity="leaky_relu")
            else:
                nn.init.xavier_uniform_(layer.weight)
            if layer is output:
                layer.weight.mul_(0.1)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
