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
    def build(network: str, channels: int = 3, number_of_classes: int = 2, **settings: bool) -> None:
        models["published"](
            channels=channels,
            number_of_classes=number_of_classes,
            input_size=(64, 64),
            network=network,
            **settings,
        )

    with pytest.raises(UnknownName, match=r"no torchvision classifier named 'resnet19'. Did you mean"):
        build("torchvision/resnet19")
    with pytest.raises(UnknownName, match="no timm classifier named 'resnet19x'"):
        build("timm/resnet19x")
    with pytest.raises(SettingError, match="transform_input is true, which is for torchvision/googlenet and"):
        build("torchvision/resnet18", transform_input=True)
    with pytest.raises(SettingError, match="transform_input is true"):
        build("torchvision/googlenet", channels=1, transform_input=True)
    with pytest.raises(SettingError, match="single_logit is true, but there are 3 classes"):
        build("torchvision/resnet18", number_of_classes=3, single_logit=True)
    with pytest.raises(SettingError, match="'torchvision/maxvit_t', which cannot be built for this"):
        build("torchvision/maxvit_t")


@pytest.mark.parametrize(
    "network", ["torchvision/resnet18", "torchvision/vit_b_16", "timm/mobilenetv3_small_050"]
)
def test_gray_images_one_output_and_the_size_of_the_image(network: str) -> None:
    module = models["published"](
        channels=1, number_of_classes=2, input_size=(64, 64), network=network, single_logit=True
    )
    assert module.eval()(torch.rand(1, 1, 64, 64)).shape == (1, 1)
