"""EfficientNet-Lite0, the network that comes along, in PyTorch alone.

timm has it as `tf_efficientnet_lite0`: the same layers under the same names, in the same order. But importing
timm brings torchvision along and, with it, PyTorch's compiler: twice as many seconds as PyTorch itself takes,
which the first visitor would wait for.

Source:
    Tan, Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
    arXiv:1905.11946; the Lite version leaves out squeeze-and-excitation and has ReLU6 for SiLU:
    https://blog.tensorflow.org/2020/03/higher-accuracy-on-vision-models-with-efficientnet-lite.html
"""

from collections import OrderedDict

import torch.nn.functional as F
from torch import Tensor, nn

# (blocks, kernel size, stride of the first, how many times wider inside, channels behind)
STAGES = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320),
)  # fmt: skip
STEM, HEAD, CLASSES = 32, 1280, 1000


class Conv2dSame(nn.Conv2d):
    """A convolution with TensorFlow's padding: as many outputs as strides, an odd zero at the end."""

    def forward(self, input: Tensor) -> Tensor:
        rows, columns = (_around(input.shape[2 + i], self.kernel_size[i], self.stride[i]) for i in (0, 1))
        padded = F.pad(input, (*columns, *rows))
        return F.conv2d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def _around(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and behind an axis."""
    both = max(0, (-(-size // stride) - 1) * stride + kernel - size)
    return both // 2, both - both // 2


class BatchNormAct2d(nn.BatchNorm2d):
    """Batch norm and, inside, the activation behind it."""

    def __init__(self, channels: int, *, activation: bool = True) -> None:
        super().__init__(channels, eps=1e-3)
        self.act = nn.ReLU6() if activation else nn.Identity()

    def forward(self, input: Tensor) -> Tensor:
        activated: Tensor = self.act(super().forward(input))
        return activated


class DepthwiseSeparableConv(nn.Module):
    """Every channel by itself, then a mixture of channels."""

    def __init__(self, channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.conv_dw = _convolution(channels, channels, kernel_size, groups=channels)
        self.bn1 = BatchNormAct2d(channels)
        self.conv_pw = _convolution(channels, out_channels)
        self.bn2 = BatchNormAct2d(out_channels, activation=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv_dw(x))
        mixed: Tensor = self.bn2(self.conv_pw(x))
        return mixed


class InvertedResidual(nn.Module):
    """To more channels, each by itself, back to few; beside it the input, where it has the same shape."""

    def __init__(self, channels: int, out_channels: int, kernel_size: int, stride: int, wider: int) -> None:
        super().__init__()
        inside = wider * channels
        self.conv_pw = _convolution(channels, inside)
        self.bn1 = BatchNormAct2d(inside)
        self.conv_dw = _convolution(inside, inside, kernel_size, stride, groups=inside)
        self.bn2 = BatchNormAct2d(inside)
        self.conv_pwl = _convolution(inside, out_channels)
        self.bn3 = BatchNormAct2d(out_channels, activation=False)
        self.has_skip = stride == 1 and channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        found = self.bn1(self.conv_pw(x))
        found = self.bn2(self.conv_dw(found))
        found = self.bn3(self.conv_pwl(found))
        return found + x if self.has_skip else found


class EfficientNetLite0(nn.Module):
    """4.7 million parameters, 1000 classes.

    Shape:
        input: (N, 3, H, W), 224 × 224 as trained
        returns: (N, 1000)
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = _convolution(3, STEM, 3, 2)
        self.bn1 = BatchNormAct2d(STEM)
        stages, channels = [], STEM
        for blocks, kernel_size, stride, wider, out_channels in STAGES:
            stage: list[nn.Module] = []
            for i in range(blocks):
                if wider == 1:
                    stage.append(DepthwiseSeparableConv(channels, out_channels, kernel_size))
                else:
                    step = 1 if i else stride
                    stage.append(InvertedResidual(channels, out_channels, kernel_size, step, wider))
                channels = out_channels
            stages.append(nn.Sequential(*stage))
        self.blocks = nn.Sequential(*stages)
        self.conv_head = _convolution(channels, HEAD)
        self.bn2 = BatchNormAct2d(HEAD)
        self.global_pool = nn.Sequential(
            OrderedDict(pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(1))  # (N, 1280)
        )
        self.classifier = nn.Linear(HEAD, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(self.conv_stem(x))
        x = self.blocks(x)
        x = self.bn2(self.conv_head(x))  # (N, 1280, H / 32, W / 32)
        logits: Tensor = self.classifier(self.global_pool(x))
        return logits


def _convolution(
    channels: int, out_channels: int, kernel_size: int = 1, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    if stride == 1:
        return nn.Conv2d(
            channels, out_channels, kernel_size, padding=kernel_size // 2, groups=groups, bias=False
        )
    return Conv2dSame(channels, out_channels, kernel_size, stride, groups=groups, bias=False)
