"""Weights become checkpoints: settings guessed from shapes, mismatches explained, answers unchanged."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save as save_safetensors

from core.errors import BadCheckpoint, SettingError, UnknownName
from core.evaluation.import_trial import first_answer
from core.models.architectures import models
from core.models.catalogue import load
from core.models.import_weights import (
    fill,
    free_folder,
    guess,
    keep,
    make_card,
    names_in,
    resolve,
    share,
    size_in,
    values_in,
)
from core.models.state_dict import read_state_dict

NETWORKS: list[tuple[str, dict[str, Any], int, int, int]] = [  # settings, channels, side, classes
    ("mlp", {"widths": "20,10"}, 1, 28, 4),
    ("mlp", {"widths": ""}, 3, 32, 4),
    ("small_cnn", {"widths": "4,6,8", "hidden": 16, "batch_norm": True}, 3, 64, 5),
    ("small_cnn", {"widths": "4,6", "hidden": 16}, 1, 32, 5),
    ("wide_cnn", {"width": 1 / 64}, 3, 32, 10),
    ("wide_cnn", {"width": 1 / 64, "batch_norm": True}, 3, 64, 10),
    ("vgg", {"depth": "13", "width": 1 / 16, "batch_norm": False}, 3, 32, 3),
    ("vgg", {"depth": "16", "width": 1 / 64, "layout": "imagenet"}, 3, 224, 3),
    ("resnet18", {"width": 1 / 16, "stem": "imagenet"}, 3, 224, 3),
    ("resnet18", {"width": 1 / 16, "stem": "small"}, 1, 32, 3),
    ("speed_cnn", {"widths": "8,12,12"}, 3, 32, 10),
]


@pytest.mark.parametrize("kind", ["state dict", "safetensors"])
@pytest.mark.parametrize(("name", "settings", "channels", "side", "classes"), NETWORKS)
@torch.no_grad()
def test_settings_classes_channels_and_size_come_from_the_shapes(
    name: str, settings: dict[str, Any], channels: int, side: int, classes: int, kind: str
) -> None:
    torch.manual_seed(0)
    module = models[name](
        channels=channels, number_of_classes=classes, input_size=(side, side), **settings
    ).eval()
    tensors = module.state_dict()
    if kind == "safetensors":  # which forgets their order
        data = save_safetensors({key: value.contiguous() for key, value in reversed(tensors.items())})
        tensors, _ = read_state_dict(data, "weights.safetensors")
    found = guess(name, tensors)
    assert (found.outputs, found.channels, found.input_size) == (classes, channels, (side, side))
    card = make_card("mine", name, tensors)
    assert card.class_names == tuple(f"class {i}" for i in range(classes))
    again, notes = fill(card, tensors)
    assert notes == []
    image = torch.randn(1, channels, side, side)
    assert torch.equal(again(image), module(image))


def test_a_single_logit_is_two_classes() -> None:
    module = models["vgg"](
        channels=3, number_of_classes=2, input_size=(32, 32), width=1 / 64, single_logit=True
    )
    card = make_card("mine", "vgg", module.state_dict(), class_names=["bad", "good"])
    assert card.settings["single_logit"] is True
    assert fill(card, module.state_dict())[0](torch.zeros(1, 3, 32, 32)).shape == (1, 1)


@torch.no_grad()
def test_torchvisions_own_weights_by_our_name_and_by_theirs() -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.resnet18(num_classes=2).eval()
    image = torch.randn(1, 3, 64, 64)
    for architecture in ("resnet18", "torchvision/resnet18"):
        card = make_card(
            "mine", architecture, theirs.state_dict(), class_names=["cat", "dog"], input_size=(64, 64)
        )
        module, notes = fill(card, theirs.state_dict())
        assert torch.equal(module(image), theirs(image))
        assert notes == []
    assert card.settings == {"network": "torchvision/resnet18"}


def test_other_names_in_the_same_order_are_taken_and_said() -> None:
    module = models["mlp"](channels=1, number_of_classes=3, input_size=(8, 8), widths="5")
    renamed = {f"layers.{i}": value for i, value in enumerate(module.state_dict().values())}
    again, notes = fill(make_card("mine", "mlp", renamed), renamed)
    assert torch.equal(again.hidden1.weight, module.hidden1.weight)
    assert notes == [
        "The names in the file are others (first 'layers.0' for 'hidden1.weight'), but number, order and "
        "shapes agree: the weights were taken in order."
    ]


def test_a_mismatch_is_explained_by_the_first_difference_the_counts_and_what_would_fit() -> None:
    module = models["vgg"](channels=3, number_of_classes=3, input_size=(32, 32), width=1 / 16)
    tensors = module.state_dict()
    with pytest.raises(
        BadCheckpoint, match=r"do not fit.*tensors are missing.*By their shapes they fit vgg"
    ) as info:
        fill(make_card("mine", "resnet18", tensors), tensors)
    assert len(str(info.value)) < 600
    missing = {k: v for k, v in tensors.items() if k != "features.4.weight"}
    with pytest.raises(
        BadCheckpoint, match=r"features.4.weight is not in the file \(0 shapes differ, 1 tensors are"
    ):
        fill(make_card("mine", "vgg", tensors), missing)


def test_broken_weights_are_refused() -> None:
    module = models["mlp"](channels=1, number_of_classes=3, input_size=(8, 8), widths="5")
    tensors = {k: v.clone() for k, v in module.state_dict().items()}
    tensors["hidden1.weight"][0, 0] = torch.nan
    with pytest.raises(BadCheckpoint, match=r"1 of 4 tensors hold .* no numbers, first 'hidden1.weight'"):
        fill(make_card("mine", "mlp", tensors), tensors)


def test_what_does_not_fit_the_last_or_first_layer_is_said() -> None:
    tensors = models["resnet18"](
        channels=3, number_of_classes=3, input_size=(32, 32), width=1 / 16
    ).state_dict()
    with pytest.raises(
        SettingError, match=r"2 class names are given \(cat, dog\), but the last layer has 3 outputs"
    ):
        make_card("mine", "resnet18", tensors, class_names=["cat", "dog"])
    with pytest.raises(SettingError, match="Two classes have the same name"):
        make_card("mine", "resnet18", tensors, class_names=["cat", "dog", "Dog"])
    with pytest.raises(SettingError, match=r"mean has 2 numbers, and the first layer takes 3 channels"):
        make_card("mine", "resnet18", tensors, mean=[0.5, 0.5])
    assert make_card("mine", "resnet18", tensors, mean=[0.5]).preprocessing.mean == (0.5, 0.5, 0.5)
    with pytest.raises(UnknownName, match=r"no architecture named 'resnet81'. Did you mean 'resnet18'"):
        resolve("resnet81")
    with pytest.raises(BadCheckpoint, match="no image classifier"):
        make_card("mine", "vgg", {"a": torch.zeros(3)})
    with pytest.raises(SettingError, match="say the image size"):
        make_card("mine", "mlp", {"w": torch.zeros(3, 7), "b": torch.zeros(3)})


def test_an_import_is_listed_and_answers_as_the_module_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))
    torch.manual_seed(0)
    module = models["resnet18"](channels=3, number_of_classes=2, input_size=(32, 32), width=1 / 16).eval()
    card = make_card(
        "My net!", "resnet18", module.state_dict(), class_names=["cat", "dog"], mean=[0.5], std=[0.25]
    )
    folder = free_folder("My net!")
    keep(folder, fill(card, module.state_dict())[0], card)
    assert free_folder("My net!").name == "My_net_2"
    classifier = load("imported/My_net")
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    answer = first_answer(classifier, pixels)
    with torch.no_grad():
        inputs = (torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255 - 0.5) / 0.25
        expected = module(inputs).softmax(1)[0]
    assert dict(answer) == pytest.approx({"cat": float(expected[0]), "dog": float(expected[1])}, abs=1e-5)
    with pytest.raises(SettingError, match="makes no folder"):
        free_folder("../..")


def test_what_people_write_is_understood_or_refused() -> None:
    assert share("0.91") == share("91") == share("91 %") == share("91,0%") == pytest.approx(0.91)
    assert names_in("cat, dog,\nbird\n") == ["cat", "dog", "bird"]
    assert values_in("0.5 0.25,0.1", "mean") == [0.5, 0.25, 0.1]
    assert (size_in("224"), size_in("240 x 320"), size_in(" ")) == ((224, 224), (240, 320), None)
    for wrong in ("0", "very good", "-3", "120"):
        with pytest.raises(SettingError, match=r"claimed accuracy is .* write it like 0.91"):
            share(wrong)
    with pytest.raises(SettingError, match="mean is 'half'"):
        values_in("half", "mean")
    for wrong in ("0", "a", "1x2x3", "99999"):
        with pytest.raises(SettingError, match="write it like 224 or 240x320"):
            size_in(wrong)
