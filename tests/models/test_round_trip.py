"""A network of ours is the same after it was saved and loaded, whatever its architecture."""

from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from core.data.preprocessing import Preprocessing
from core.errors import BadCheckpoint, ConvoscopeError, SettingError
from core.models.architectures import models
from core.models.card import ModelCard
from core.models.checkpoint import build, load_checkpoint, module_versions, save_checkpoint, skeleton
from core.models.import_weights import fill, plan_import, weight_set
from core.models.recognition import recognize
from core.models.weight_fit import readings

SIDES = (32, 64, 96, 128, 160, 192, 224, 240, 256, 299, 384)
TORCHVISION = torchvision.models.list_models(module=torchvision.models)
# One of each family that is built in its own way, and small enough for every run of the tests.
QUICK = """
    alexnet densenet121 efficientnet_b0 googlenet mnasnet0_5 mobilenet_v3_small resnet18
    regnet_y_400mf shufflenet_v2_x0_5 squeezenet1_1
"""
TIMM = """
    convmixer_768_32 convnext_atto crossvit_tiny_240 cspdarknet53 deit_tiny_patch16_224 densenet121
    dla46_c dpn48b edgenext_xx_small efficientformer_l1 efficientnet_lite0 efficientvit_b0
    fastvit_t8 ghostnet_050 hrnet_w18_small inception_v3 lcnet_035 levit_128s mixer_s32_224
    mobilenetv3_small_050 mobileone_s0 mobilevit_xxs nf_resnet26 nfnet_l0 poolformer_s12 regnetx_002
    repvgg_a0 res2net50_14w_8s resnetv2_50 rexnet_100 skresnet18 swin_tiny_patch4_window7_224
    tinynet_e vgg11_bn vit_tiny_patch16_224 xception41
"""
QUICK_TIMM = """
    efficientnet_lite0 lcnet_035 levit_128s mobilevit_xxs tinynet_e
"""


def parameters(names: list[str], quick: list[str], library: str) -> list[object]:
    return [
        pytest.param(
            f"{library}/{name}", marks=[] if name in quick else [pytest.mark.all], id=f"{library}-{name}"
        )
        for name in names
    ]


NETWORKS = [
    *parameters(TORCHVISION, QUICK.split(), "torchvision"),
    *parameters(TIMM.split(), QUICK_TIMM.split(), "timm"),
]


def card_for(network: str, side: int, classes: int = 5) -> ModelCard:
    preprocessing = Preprocessing((side, side), (0.5,) * 3, (0.5,) * 3)
    names = tuple(map(str, range(classes)))
    return ModelCard("x", "published", names, preprocessing, settings={"network": network})


@torch.no_grad()
def smallest(network: str) -> tuple[ModelCard, nn.Module, torch.Tensor, torch.Tensor]:
    """The network for the smallest image that it takes, with lively random weights, and an answer of it."""
    for side in SIDES:
        card = card_for(network, side)
        image = torch.rand(1, 3, side, side)
        try:
            module = build(card)
            lively(module)
            return card, module, image, module(image)
        except (SettingError, RuntimeError, ValueError, AssertionError):
            continue
    raise AssertionError(f"{network} takes no image of {SIDES}")


def lively(module: nn.Module) -> None:
    """Statistics as after some training, so that a lost one changes the answer."""
    for part in module.modules():
        if (
            isinstance(part, nn.BatchNorm2d)
            and part.running_mean is not None
            and part.running_var is not None
        ):
            part.running_mean.uniform_(-0.1, 0.1)
            part.running_var.uniform_(0.8, 1.2)


@pytest.mark.parametrize("network", NETWORKS)
@torch.no_grad()
def test_a_published_network_is_the_same_after_saving_and_loading(network: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    card, module, image, answer = smallest(network)
    save_checkpoint(tmp_path / "x", module, card)
    loaded = load_checkpoint(tmp_path / "x", torch.device("cpu"))
    assert module_versions(loaded.module) == module_versions(module)
    state = loaded.module.state_dict()
    for name, value in module.state_dict().items():
        assert torch.equal(state[name], value), name
    scale = float(answer.abs().max())
    assert float((loaded.logits(image) - answer).abs().max()) <= 1e-4 * scale + 1e-6
    # The names alone say which network it is.
    assert network in recognize(readings([weight_set(module.state_dict())]))
    plan = plan_import([weight_set(module.state_dict())], "x", network)
    assert plan.card.number_of_classes == 5
    assert set(plan.fit.names) == set(state)


@pytest.mark.parametrize("name", [m.name for m in models if m.name not in ("published", "transfer")])
@torch.no_grad()
def test_our_own_networks_are_the_same_and_recognized(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    small = {"width": 1 / 64} if name in ("vgg", "wide_cnn", "resnet18") else {}
    card = ModelCard(
        "x", name, ("a", "b", "c"), Preprocessing((32, 32), (0.5,) * 3, (0.5,) * 3), settings=small
    )
    module = build(card).eval()
    lively(module)
    save_checkpoint(tmp_path / "x", module, card)
    image = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(
        load_checkpoint(tmp_path / "x").logits(image), module(image), atol=1e-5, rtol=1e-4
    )
    assert recognize(readings([weight_set(module.state_dict())]))[0] == name
    torch.testing.assert_close(
        fill(plan_import([weight_set(module.state_dict())], "x", name))(image), module(image)
    )


def test_the_index_of_names_is_that_of_the_installed_libraries() -> None:
    from core.models.recognition import names_key, networks_with, published_shapes

    for network in (
        "torchvision/resnet50",
        "torchvision/regnet_x_400mf",
        "timm/convnext_atto",
        "timm/resnet26d",
    ):
        assert network in networks_with(published_shapes(network, (224, 224))), (
            f"{network} is not in core/models/known_networks.json: run python -m core.models.recognition."
        )
    assert names_key(["b", "a"]) == names_key(["a", "b", "a.num_batches_tracked"])


def test_a_skeleton_has_every_shape_and_no_number() -> None:
    for network in ("torchvision/regnet_y_128gf", "timm/vit_giant_patch14_clip_224"):
        module = skeleton(card_for(network, 224))
        assert sum(p.numel() for p in module.parameters()) > 600_000_000
        assert all(p.is_meta for p in module.parameters())


def test_a_network_that_is_larger_than_the_memory_is_refused_before_it_is_built() -> None:
    card = ModelCard(
        "x",
        "mlp",
        ("a", "b"),
        Preprocessing((32, 32), (0.5,) * 3, (0.5,) * 3),
        settings={"widths": "1000000,1000000"},
    )
    with pytest.raises(ConvoscopeError, match=r"has 3,736\.\d GB of weights, and this machine has"):
        build(card)


def test_a_card_that_names_a_giant_is_compared_before_anything_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = card_for("torchvision/resnet18", 64)
    save_checkpoint(tmp_path / "x", build(card), card)
    giant = card_for("timm/vit_giant_patch14_clip_224", 224)
    (tmp_path / "x" / "card.json").write_text(giant.to_json())
    monkeypatch.setattr("core.models.checkpoint.build", lambda card: pytest.fail("built"))
    with pytest.raises(BadCheckpoint, match="do not fit the architecture"):
        load_checkpoint(tmp_path / "x")
