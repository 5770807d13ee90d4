"""Architectures of torchvision and timm by name, with fresh weights."""

import pytest
import torch

from core.errors import SettingError, UnknownName
from core.models.architectures import models
from core.models.surgery import not_rewritten


def test_networks_of_both_libraries_have_the_classes_that_were_asked_for() -> None:
    image = torch.rand(2, 3, 64, 64)
    for network in ("torchvision/mobilenet_v3_small", "torchvision/googlenet", "timm/resnet18.a1_in1k"):
        module = models["published"](
            channels=3, number_of_classes=7, input_size=(64, 64), network=network
        ).eval()
        assert module(image).shape == (2, 7)
        assert not any(getattr(part, "inplace", False) for part in module.modules())
        assert not not_rewritten(module)
    gray = models["published"](channels=1, number_of_classes=2, input_size=(64, 64), network="timm/resnet18")
    assert gray.eval()(image[:, :1]).shape == (2, 2)


def test_what_does_not_exist_or_cannot_be_built_is_said() -> None:
    def build(network: str, channels: int = 3) -> None:
        models["published"](channels=channels, number_of_classes=2, input_size=(64, 64), network=network)

    with pytest.raises(UnknownName, match=r"no torchvision classifier named 'resnet19'. Did you mean"):
        build("torchvision/resnet19")
    with pytest.raises(UnknownName, match="no timm classifier named 'resnet19x'"):
        build("timm/resnet19x")
    with pytest.raises(SettingError, match="have 1 channel; torchvision's networks take three"):
        build("torchvision/resnet18", channels=1)
