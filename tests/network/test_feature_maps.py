"""Which layers have a map and how they hold it: channels first, channels last and tokens are told apart."""

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import nn

from core.data.preprocessing import Preprocessing
from core.errors import SettingError, UnknownName
from core.models.card import ModelCard
from core.models.classifier import Classifier
from core.network.default_map import default_map
from core.network.feature_maps import FeatureMap, feature_map, feature_maps, layer_shapes
from core.network.hooks import captured


def classifier_of(module, size, classes=4, channels=3):
    preprocessing = Preprocessing(size, (0.5,) * channels, (0.25,) * channels, channels)
    card = ModelCard("test", "none", tuple(f"class {i}" for i in range(classes)), preprocessing)
    return Classifier(module, card, torch.device("cpu"))


VIT = {"img_size": 32, "patch_size": 4, "embed_dim": 24, "depth": 2, "num_heads": 2, "num_classes": 4}


class Patches(nn.Module):
    """Cuts an image into patches, holds them in one of three ways, and answers with the mean."""

    def __init__(self, kind, tokens=0):
        super().__init__()
        self.cut, self.head = nn.Conv2d(3, 6, 4, 4), nn.Linear(6, 4)
        self.held, self.kind = nn.GELU(), kind
        self.extra = nn.Parameter(torch.randn(1, tokens, 6))

    def forward(self, x):
        x = self.cut(x)
        if self.kind == "channels last":
            x = x.permute(0, 2, 3, 1)
        if self.kind == "tokens":
            x = torch.cat([self.extra.expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], 1)
        x = self.held(x)
        x = x.mean((2, 3)) if x.ndim == 4 and self.kind == "channels first" else x.flatten(1, -2).mean(1)
        return self.head(x)


@pytest.mark.parametrize(
    ("kind", "tokens"),
    [("channels first", 0), ("channels last", 0), ("tokens", 0), ("tokens", 1), ("tokens", 3)],
)
def test_three_ways_to_hold_a_map_give_the_same_map(kind, tokens):
    c = classifier_of(Patches(kind, tokens), (32, 24))
    found = feature_map(c, "held")
    assert (found.channels, found.size) == (6, (8, 6))
    inputs = torch.rand(2, 3, 32, 24)
    with torch.no_grad(), captured(c.module, ["cut", "held"]) as outputs:
        c.module(inputs)
    assert torch.allclose(found.of(outputs["held"]), nn.functional.gelu(outputs["cut"]), atol=1e-6)


@pytest.mark.parametrize(
    ("module", "layer", "expected"),
    [
        (lambda: timm.create_model("vit_tiny_patch16_224", **VIT), "blocks.0", (24, 8, 8)),
        (lambda: timm.create_model("deit_tiny_distilled_patch16_224", **VIT), "blocks.0", (24, 8, 8)),
        (lambda: timm.create_model("mambaout_femto", num_classes=4), "stages.0", (48, 8, 8)),
        (lambda: timm.create_model("swin_tiny_patch4_window7_224", img_size=32, window_size=4, embed_dim=12,
                                   depths=(2, 2), num_heads=(2, 2), num_classes=4), "layers.0.blocks.1",
         (12, 8, 8)),
        (lambda: timm.create_model("cait_xxs24_224", img_size=32, patch_size=4, embed_dim=24, depth=2,
                                   num_heads=2, num_classes=4), "blocks.1", (24, 8, 8)),
        (lambda: torchvision.models.SwinTransformer([4, 4], 12, [2, 2], [2, 2], [4, 4], num_classes=4),
         "features.1", (12, 8, 8)),
        (lambda: torchvision.models.VisionTransformer(32, 4, 1, 2, 24, 48, num_classes=4), "encoder.layers",
         (24, 8, 8)),
    ],
    ids=["vit", "deit", "mambaout", "swin timm", "cait", "swin torchvision", "vit torchvision"],
)  # fmt: skip
def test_every_place_of_a_transformer_sees_its_own_part_of_the_image(module, layer, expected):
    """A change of one patch moves that place of the map most."""
    torch.manual_seed(0)
    c = classifier_of(module().eval(), (32, 32))
    found = feature_map(c, layer)
    assert found.shape == expected
    image = np.full((1, 32, 32, 3), 128, np.uint8)
    for row, column in ((0, 0), (2, 5), (7, 3)):
        other = image.copy()
        other[:, row * 4 : row * 4 + 4, column * 4 : column * 4 + 4] = [255, 0, 90]
        with torch.no_grad(), captured(c.module, [layer]) as outputs:
            c.module(c.inputs(image))
            before = found.of(outputs[layer])
            c.module(c.inputs(other))
            after = found.of(outputs[layer])
        moved = (after - before).abs().sum(1)[0]
        assert divmod(int(moved.argmax()), 8) == (row, column)


def test_what_is_no_map_is_not_offered():
    c = classifier_of(timm.create_model("vit_tiny_patch16_224", qk_norm=True, **VIT).eval(), (32, 32))
    known = feature_maps(c)
    assert not {"blocks.1.attn.k_norm", "blocks.1.attn.q_norm", "blocks.1.attn.attn_drop", "head"} & set(
        known
    )
    assert layer_shapes(c)["head"] == (4,)
    assert "blocks.1.attn.k_norm" not in layer_shapes(c)
    with pytest.raises(UnknownName, match="k_norm"):
        feature_map(c, "blocks.1.attn.k_norm")


def test_the_default_map_comes_before_the_layers_whose_places_move_nothing():
    c = classifier_of(timm.create_model("vit_tiny_patch16_224", **VIT).eval(), (32, 32))
    assert default_map(c).layer == "blocks.0"
    pooled = timm.create_model("vit_tiny_patch16_224", class_token=False, global_pool="avg", **VIT).eval()
    assert default_map(classifier_of(pooled, (32, 32))).layer.startswith(("norm", "blocks"))


def test_the_default_map_has_seven_places_a_side_if_any_has():
    layers = [nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, 2, 1), nn.ReLU()]
    head = [nn.Flatten(), nn.LazyLinear(4)]
    module = nn.Sequential(*layers, *head)
    module(torch.zeros(1, 3, 16, 16))
    assert default_map(classifier_of(module, (16, 16))).size == (8, 8)
    module = nn.Sequential(
        nn.Conv2d(3, 4, 5, 5), nn.ReLU(), nn.Conv2d(4, 4, 2), nn.Flatten(), nn.LazyLinear(4)
    )
    module(torch.zeros(1, 3, 16, 16))
    assert default_map(classifier_of(module, (16, 16))).layer == "1"


def test_another_shape_is_refused_in_words():
    with pytest.raises(SettingError, match="'a' answers with the shape"):
        FeatureMap("a", 3, (2, 2), 1, 1, (0, 1, 2, 3)).of(torch.zeros(1, 3, 3))
    with pytest.raises(SettingError, match="'a' answers with the shape"):
        FeatureMap("a", 3, (2, 2)).of(torch.zeros(1, 3, 3))


def test_one_row_of_places_is_a_map():
    module = nn.Sequential(nn.Conv2d(3, 4, (1, 3), padding=(0, 1)), nn.ReLU(), nn.Flatten(), nn.Linear(80, 4))
    assert feature_map(classifier_of(module, (1, 20)), "1").size == (1, 20)
