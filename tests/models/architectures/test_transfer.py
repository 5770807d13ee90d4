"""Transfer: any backbone without its head, the pretrained weights, the last block."""

import pytest
import torch
import torchvision
from torch import nn

from core.errors import SettingError, UnknownName
from core.models.architectures import models


def make(
    backbone: str, classes: int = 3, size: tuple[int, int] = (64, 64), channels: int = 3, **settings
) -> nn.Module:  # type: ignore[no-untyped-def]
    return models["transfer"](  # type: ignore[no-any-return]
        channels=channels, number_of_classes=classes, input_size=size, backbone=backbone, **settings
    )


# The number of features that each architecture's paper states, and where its last block begins.
BACKBONES = {
    "torchvision/resnet18": (512, "layer4"),
    "torchvision/vgg11": (25088, "features.16"),
    "torchvision/mobilenet_v3_small": (576, "features.11"),
    "torchvision/densenet121": (1024, "features.denseblock4"),
    "torchvision/googlenet": (1024, "inception5b"),
    "timm/resnet18.a1_in1k": (512, "layer4"),
    "efficientnet_lite0": (1280, "blocks.6"),
}


@pytest.mark.parametrize("backbone", BACKBONES)
def test_features_head_and_last_block(backbone: str) -> None:
    module = make(backbone).eval()
    features, begins = BACKBONES[backbone]
    image = torch.rand(2, 3, 64, 64)
    assert module.head[-1].in_features == features
    torch.testing.assert_close(module(image), module.head(module.backbone(image)))
    names = {id(part): name for name, part in module.backbone.named_modules()}
    block = module.last_block()
    assert names[id(block[0])] == begins
    inside = sum(p.numel() for part in block for p in part.parameters())
    assert 0 < inside < sum(p.numel() for p in module.backbone.parameters())
    assert not any(getattr(part, "inplace", False) for part in module.modules())


def test_the_pretrained_weights_come_with_initialize_from() -> None:
    from core.models.pretrained import pretrained_module

    module = make("efficientnet_lite0").eval()
    module.initialize_from(torch.zeros(1, 3, 64, 64))
    whole = pretrained_module("efficientnet_lite0")
    image = torch.rand(1, 3, 96, 96)
    given: list[torch.Tensor] = []
    whole.classifier.register_forward_pre_hook(lambda _, inputs: given.extend(inputs))
    with torch.no_grad():
        whole(image)
        torch.testing.assert_close(module.backbone(image), given[0])


def test_torchvisions_features_are_what_its_own_head_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    whole = torchvision.models.vgg11(init_weights=False).eval()
    monkeypatch.setattr("core.models.pretrained.pretrained_module", lambda name: whole)
    module = make("torchvision/vgg11").eval()
    module.initialize_from(torch.zeros(1, 3, 64, 64))
    image = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(module.backbone(image), whole.avgpool(whole.features(image)).flatten(1))


def test_gray_images_a_hidden_layer_and_one_logit() -> None:
    module = make("torchvision/resnet18", 2, channels=1, hidden=7, dropout=0.5, single_logit=True).eval()
    assert module(torch.rand(2, 1, 64, 64)).shape == (2, 1)
    assert [type(part).__name__ for part in module.head] == ["Flatten", "Dropout", "Linear", "ReLU", "Linear"]


def test_what_cannot_be_built_is_said() -> None:
    with pytest.raises(
        UnknownName, match=r"no torchvision classifier named 'resnet19'. Did you mean 'resnet1"
    ):
        make("torchvision/resnet19")
    with pytest.raises(UnknownName, match=r"no backbone named 'resnet18'. Choose one of efficientnet_lite0"):
        make("resnet18")
    with pytest.raises(SettingError, match="have 4 channels"):
        make("torchvision/resnet18", channels=4)
    with pytest.raises(SettingError, match="there are 3 classes"):
        make("torchvision/resnet18", single_logit=True)
    with pytest.raises(SettingError, match=r"alexnet', which takes no images of 16×16"):
        make("torchvision/alexnet", size=(16, 16))
