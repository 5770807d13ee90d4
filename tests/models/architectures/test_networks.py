"""Every architecture: fit for analysis, of the shape that was asked for, and learning."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from core.errors import SettingError, UnknownName
from core.models.activation_functions import ACTIVATIONS, activation_function
from core.models.architectures import models

SMALL: dict[str, dict[str, Any]] = {
    "mlp": {},
    "small_cnn": {"widths": "4,8", "batch_norm": True, "dropout": 0.1},
    "wide_cnn": {"width": 1 / 16, "batch_norm": True, "dropout": 0.1},
    "vgg": {"width": 1 / 16},
    "resnet18": {"width": 1 / 16},
}


def make(
    name: str, size: tuple[int, int] = (32, 32), channels: int = 3, classes: int = 3, **settings: Any
) -> Any:
    module = models[name](channels=channels, number_of_classes=classes, input_size=size, **settings)
    assert isinstance(module, nn.Module)
    return module


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("size", [(28, 28), (32, 32), (64, 64), (33, 47)])
def test_any_size_and_channels_give_one_logit_a_class(name: str, size: tuple[int, int]) -> None:
    for channels in (1, 3):
        module = make(name, size, channels, **SMALL[name]).eval()
        assert module(torch.zeros(2, channels, *size)).shape == (2, 3)


@pytest.mark.parametrize("name", SMALL)
def test_modules_are_used_once_and_not_in_place(name: str) -> None:
    module = make(name, **SMALL[name]).eval()
    calls: dict[str, int] = {}
    kept: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    def hook_of(label: str) -> Any:
        def hook(part: nn.Module, inputs: object, output: torch.Tensor) -> None:
            calls[label] = calls.get(label, 0) + 1
            kept[label] = (output, output.detach().clone())

        return hook

    for label, part in module.named_modules():
        part.register_forward_hook(hook_of(label))
    module(torch.rand(1, 3, 32, 32))
    assert set(calls) == {label for label, _ in module.named_modules()}
    assert set(calls.values()) == {1}
    assert all(torch.equal(now, then) for now, then in kept.values())
    assert not any(getattr(part, "inplace", False) for part in module.modules())


@pytest.mark.parametrize("name", SMALL)
def test_a_few_steps_learn_four_images_by_heart(name: str) -> None:
    torch.manual_seed(0)
    module = make(name, **(SMALL[name] | ({"dropout": 0.0} if name != "resnet18" else {}))).train()
    images, labels = torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 1])
    optimizer = torch.optim.Adam(module.parameters(), lr=2e-3)
    losses = []
    for _ in range(40):
        loss = F.cross_entropy(module(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.2 * losses[0], losses


@pytest.mark.parametrize("depth", ["11", "19"])
@pytest.mark.parametrize("batch_norm", [True, False])
@torch.no_grad()
def test_vgg_takes_torchvisions_weights(depth: str, batch_norm: bool) -> None:
    torch.manual_seed(0)
    theirs = getattr(torchvision.models, f"vgg{depth}{'_bn' if batch_norm else ''}")(
        init_weights=False
    ).eval()
    ours = make("vgg", (64, 64), classes=1000, depth=depth, batch_norm=batch_norm, layout="imagenet").eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(ours(image), theirs(image))


@torch.no_grad()
def test_resnet18_takes_torchvisions_weights() -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.resnet18().eval()
    ours = make("resnet18", (128, 96), classes=1000, stem="imagenet").eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    image = torch.randn(1, 3, 128, 96)
    assert torch.equal(ours(image), theirs(image))


def test_layouts_follow_the_image_size_unless_asked() -> None:
    assert make("vgg", (224, 224), width=1 / 64).avgpool.output_size == 7
    assert make("vgg", (64, 64), width=1 / 64).avgpool.output_size == 1
    assert make("resnet18", (224, 224), width=1 / 16).conv1.kernel_size == (7, 7)
    assert make("resnet18", (32, 32), width=1 / 16).conv1.kernel_size == (3, 3)
    assert make("resnet18", (32, 32), width=1 / 16, stem="imagenet").conv1.kernel_size == (7, 7)


def test_settings_reach_the_network() -> None:
    network = make("mlp", widths="7,5", activation="tanh", dropout=0.3)
    assert [type(part).__name__ for part in network] == [
        "Flatten", "Linear", "Tanh", "Dropout", "Linear", "Tanh", "Dropout", "Linear"
    ]  # fmt: skip
    assert [part.out_features for part in network if isinstance(part, nn.Linear)] == [7, 5, 3]
    assert len(make("mlp", widths="")) == 2
    vgg = make("vgg", depth="13", width=1 / 16, activation="leaky_relu", batch_norm=False, dropout=0.25)
    kinds = [type(part).__name__ for part in vgg.modules()]
    assert kinds.count("Conv2d") == 10
    assert kinds.count("LeakyReLU") == 12
    assert "BatchNorm2d" not in kinds
    assert {part.p for part in vgg.modules() if isinstance(part, nn.Dropout)} == {0.25}
    assert make("vgg", classes=2, width=1 / 64, single_logit=True)(torch.rand(2, 3, 32, 32)).shape == (2, 1)


def test_a_linear_network_is_one_linear_map() -> None:
    network = make("mlp", activation="linear").double()
    a, b = torch.randn(2, 1, 3, 32, 32, dtype=torch.float64)
    zero = network(torch.zeros_like(a))
    torch.testing.assert_close(network(a + 2 * b) - zero, network(a) - zero + 2 * (network(b) - zero))


def test_first_weights_keep_the_signals_size_through_many_layers() -> None:
    """He's weights keep the mean square of what ReLUs pass on; Xavier's would halve it at every layer."""
    torch.manual_seed(0)
    network = make("mlp", widths=",".join(["300"] * 12), activation="relu")
    x = network[0](torch.randn(64, 3, 32, 32))
    x = network[2](network[1](x)).detach()
    first = float(x.square().mean())
    for part in network[3:-1]:
        x = part(x).detach()
    assert 0.4 < float(x.square().mean()) / first < 2.5


def test_what_cannot_be_built_is_said() -> None:
    with pytest.raises(SettingError, match=r"20×32: wide_cnn pads nothing, so its images must be 24×24"):
        make("wide_cnn", (20, 32))
    with pytest.raises(SettingError, match=r"there are 3 classes: one output tells two"):
        make("vgg", single_logit=True)
    with pytest.raises(SettingError, match=r"28×28: five pools leave nothing"):
        make("vgg", (28, 28), layout="imagenet")
    with pytest.raises(UnknownName, match=r"no activation named 'rellu'. Did you mean 'relu'"):
        activation_function("rellu")
    assert len({type(activation_function(name)) for name in ACTIVATIONS}) == len(ACTIVATIONS)
