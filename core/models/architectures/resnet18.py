"""ResNet-18, with ImageNet's first layers or those for small images; its weights have torchvision's names."""

from typing import Annotated

from torch import Tensor, nn

from core.models.architectures import models
from core.models.single_logit import outputs
from core.settings import Choice, Range

FILTERS = (64, 128, 256, 512)
IMAGENET_FROM = 96  # images of this size on get ImageNet's first layers


class BasicBlock(nn.Module):
    """Two 3×3 convolutions, and the input added to what they make of it. Each ReLU is a module of its own."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu1(self.bn1(self.conv1(x)))
        return self.relu2(self.bn2(self.conv2(x)) + shortcut)


class ResNet18(nn.Module):
    """First layers, four groups of two blocks, the mean over all places, one linear layer."""

    def __init__(self, channels: int, number_of_classes: int, filters: list[int], large: bool) -> None:
        super().__init__()
        if large:
            self.conv1 = nn.Conv2d(channels, filters[0], 7, 2, padding=3, bias=False)
        else:
            self.conv1 = nn.Conv2d(channels, filters[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters[0])
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, padding=1) if large else nn.Identity()
        self.layer1 = self._group(filters[0], filters[0], 1)
        self.layer2 = self._group(filters[0], filters[1], 2)
        self.layer3 = self._group(filters[1], filters[2], 2)
        self.layer4 = self._group(filters[2], filters[3], 2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(filters[3], number_of_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @staticmethod
    def _group(in_channels: int, channels: int, stride: int) -> nn.Sequential:
        return nn.Sequential(BasicBlock(in_channels, channels, stride), BasicBlock(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.flatten(self.avgpool(x)))


@models.register("resnet18", title="ResNet-18", order=40)
def resnet18(
    *,
    channels: int,
    number_of_classes: int,
    input_size: tuple[int, int],
    stem: Annotated[str, Choice("auto", "small", "imagenet")] = "auto",
    width: Annotated[float, Range(1 / 64, 2)] = 1.0,
    single_logit: bool = False,
) -> nn.Module:
    """Eight blocks with skip connections, 18 layers with weights.

    Args:
        stem: "imagenet" begins with a 7×7 convolution and a pool that shrink the image four times, and takes
            torchvision's weights; "small" with one 3×3 convolution; "auto" is "imagenet" from 96 pixels on.
        width: The number of filters, as a share of the published network's.
        single_logit: Use a single output, with a sigmoid, for two classes.
    Shape:
        input: (N, C, H, W) float32, normalized
        returns: (N, number_of_classes) logits, or (N, 1) with `single_logit`
    Source:
        He et al. 2015, "Deep Residual Learning for Image Recognition", arXiv:1512.03385
    Example:
        >>> import torch
        >>> network = resnet18(channels=3, number_of_classes=10, input_size=(32, 32), width=0.1)
        >>> network(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """
    large = stem == "imagenet" or (stem == "auto" and min(input_size) >= IMAGENET_FROM)
    filters = [max(1, round(n * width)) for n in FILTERS]
    return ResNet18(channels, outputs(number_of_classes, single_logit), filters, large)
