"""VGG: 3×3 convolutions and pools, deep. In ImageNet's layout its weights are torchvision's by name."""

from typing import Annotated

from torch import Tensor, nn

from core.errors import SettingError
from core.models.activation_functions import activation_function, initialize
from core.models.architectures import models
from core.models.single_logit import outputs
from core.settings import Choice, Range

# Convolutions in each of the five groups; a pool ends every group.
GROUPS = {"11": (1, 1, 2, 2, 2), "13": (2, 2, 2, 2, 2), "16": (2, 2, 3, 3, 3), "19": (2, 2, 4, 4, 4)}
FILTERS = (64, 128, 256, 512, 512)
IMAGENET_FROM = 128  # images of this size on get ImageNet's layout


class VGG(nn.Module):
    """`features`, `avgpool` and `classifier`, numbered as torchvision numbers them."""

    def __init__(self, features: nn.Sequential, places: int, classifier: nn.Sequential) -> None:
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d(places)
        self.flatten = nn.Flatten()
        self.classifier = classifier

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.flatten(self.avgpool(self.features(x))))


@models.register("vgg", title="VGG", order=60)
def vgg(
    *,
    channels: int,
    number_of_classes: int,
    input_size: tuple[int, int],
    depth: Annotated[str, Choice(*GROUPS)] = "11",
    layout: Annotated[str, Choice("auto", "small", "imagenet")] = "auto",
    width: Annotated[float, Range(1 / 64, 2)] = 1.0,
    batch_norm: bool = True,
    dropout: Annotated[float, Range(0, 0.95, 0.05)] = 0.5,
    activation: Annotated[str, Choice("relu", "leaky_relu", "sigmoid", "tanh")] = "relu",
    single_logit: bool = False,
) -> nn.Module:
    """Five groups of 3×3 convolutions, each with a pool at its end, then three linear layers.

    Args:
        depth: The number of layers with weights: 8, 10, 13 or 16 convolutions, and three linear layers.
        layout: "imagenet" keeps 7×7 places and 4096 neurons, and takes torchvision's weights; "small" (for 32
            to 64 pixels) keeps one place and 512 neurons; "auto" is "imagenet" from 128 pixels on.
        width: The number of filters and neurons, as a share of the published network's.
        batch_norm: Normalize each filter's output over the batch, before the activation.
        dropout: The share of the linear layers' neurons switched off at random in every training step.
        activation: The activation after every convolution and every linear layer but the last.
        single_logit: Use a single output, with a sigmoid, for two classes.
    Shape:
        input: (N, C, H, W) float32, normalized; ImageNet's layout needs 32×32 or more
        returns: (N, number_of_classes) logits, or (N, 1) with `single_logit`
    Raises:
        SettingError: `single_logit` with other than two classes, or images too small for the layout.
    Source:
        Simonyan, Zisserman 2014, "Very Deep Convolutional Networks …", arXiv:1409.1556
    Example:
        >>> import torch
        >>> network = vgg(channels=3, number_of_classes=10, input_size=(32, 32), width=0.1)
        >>> network(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """
    rows = outputs(number_of_classes, single_logit)
    large = layout == "imagenet" or (layout == "auto" and min(input_size) >= IMAGENET_FROM)
    if large and min(input_size) < 32:
        raise SettingError(
            f"input_size is {input_size[0]}×{input_size[1]}: five pools leave nothing of the map. "
            "Choose the layout 'small', or images of 32×32 or more."
        )
    layers: list[nn.Module] = []
    before = channels
    for convolutions, filters in zip(GROUPS[str(depth)], FILTERS, strict=True):
        filters = max(1, round(filters * width))
        for _ in range(convolutions):
            layers.append(nn.Conv2d(before, filters, 3, padding=1))
            if batch_norm:
                layers.append(nn.BatchNorm2d(filters))
            layers.append(activation_function(activation))
            before = filters
        # In the small layout a map of odd size loses no border, and 1×1 stays 1×1.
        layers.append(nn.MaxPool2d(2, ceil_mode=not large))
    places = 7 if large else 1
    neurons = max(1, round((4096 if large else 512) * width))
    classifier = nn.Sequential(
        nn.Linear(before * places**2, neurons),
        activation_function(activation),
        nn.Dropout(dropout),
        nn.Linear(neurons, neurons),
        activation_function(activation),
        nn.Dropout(dropout),
        nn.Linear(neurons, rows),
    )
    network = VGG(nn.Sequential(*layers), places, classifier)
    initialize(network, activation, output=classifier[-1])
    return network
