"""The map of a network folds what belongs together, whatever its names look like."""

import pytest

from pages.elements.figures.layer_strip import MOST_LAYERS_UNFOLDED, stages

RESNET = ["conv1", *(f"layer{s}.{b}.conv{c}" for s in range(1, 5) for b in range(2) for c in (1, 2)),
          "layer2.0.downsample.0"]  # fmt: skip
EFFICIENT = [
    "conv_stem",
    *(f"blocks.{s}.{b}.conv_{kind}" for s in range(7) for b in range(3) for kind in ("pw", "dw", "pwl")),
    "conv_head",
]
VGG = [f"features.{i}" for i in range(0, 32, 2)]
DEEP = [f"net.body.layer{s}.{b}.conv{c}" for s in range(3) for b in range(12) for c in range(3)]


def flat(found):
    return [name for blocks in found.values() for names in blocks.values() for name in names]


@pytest.mark.parametrize("names", [RESNET, EFFICIENT, VGG, DEEP, ["a", "b"], ["x.y"], []])
def test_every_layer_is_in_the_map_once(names):
    assert sorted(flat(stages(names))) == sorted(names)


def test_what_holds_most_of_the_layers_is_no_stage():
    assert list(stages(EFFICIENT)) == ["conv_stem", *(f"blocks.{s}" for s in range(7)), "conv_head"]
    assert list(stages(RESNET)) == ["conv1", "layer1", "layer2", "layer3", "layer4"]
    assert list(stages(DEEP)) == ["net.body.layer0", "net.body.layer1", "net.body.layer2"]
    assert list(stages(VGG)) == VGG  # a row of layers stays one


def test_large_stages_have_blocks_and_small_ones_layers():
    assert list(stages(DEEP)["net.body.layer0"]) == [f"net.body.layer0.{b}" for b in range(12)]
    assert list(stages(RESNET)["layer2"]) == [name for name in RESNET if name.startswith("layer2.")]


def test_few_layers_are_not_folded():
    few = [f"layer{i // 4}.conv{i}" for i in range(MOST_LAYERS_UNFOLDED)]
    assert list(stages(few)) == few
    assert list(stages([*few, "head"])) == ["layer0", "layer1", "layer2", "head"]
