"""A network imported wrongly: the check names what is wrong, and putting it right restores the accuracy."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from core.data.dataset import ImageDataset, Split
from core.data.preprocessing import Preprocessing
from core.errors import SettingError
from core.evaluation.accuracy_check import apply_cause, check_accuracy, reverse_first_layer
from core.models.card import ModelCard
from core.models.checkpoint import build
from core.models.classifier import Classifier

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
COLORS = np.array([[230, 120, 40], [120, 90, 60], [70, 200, 120], [60, 60, 90], [190, 180, 220]])


def colors(seed: int, n: int = 600) -> Split:
    """Five classes of noisy colors, near enough to each other that a wrong scale mixes them up."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, n)
    images = COLORS[labels][:, None, None] + rng.normal(0, 25, (n, 12, 12, 3))
    return Split(images.clip(0, 255).astype(np.uint8), labels.astype(np.int64))


DATA = ImageDataset("colors", "Colors", tuple("abcde"), {"test": colors(1)})


@pytest.fixture(scope="module")
def trained() -> tuple[nn.Module, ModelCard]:
    """A small CNN that is right almost always, trained with ImageNet's mean and std."""
    card = ModelCard(
        "net", "small_cnn", tuple("abcde"), Preprocessing((12, 12), *IMAGENET),
        settings={"widths": "8,8", "hidden": 16, "activation": "tanh"},
    )  # fmt: skip
    torch.manual_seed(0)
    module = build(card)
    split = colors(0)
    inputs = Classifier(build(card), card, torch.device("cpu")).inputs(split.images)
    labels = torch.from_numpy(split.labels)
    optimizer = torch.optim.Adam(module.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(module(inputs), labels).backward()
        optimizer.step()
    return module.eval(), card


def check(module: nn.Module, card: ModelCard, **options: Any) -> Any:
    copy = build(card)
    copy.load_state_dict(module.state_dict())
    return check_accuracy(Classifier(copy, card, torch.device("cpu")), DATA, **options)


def with_scale(card: ModelCard, mean: tuple[float, ...], std: tuple[float, ...]) -> ModelCard:
    return dataclasses.replace(
        card, preprocessing=dataclasses.replace(card.preprocessing, mean=mean, std=std)
    )


def test_a_network_imported_rightly_fits_its_claim(trained: tuple[nn.Module, ModelCard]) -> None:
    found = check(*trained, claimed=0.97)
    assert found.accuracy > 0.97
    assert found.fits
    assert found.cause is None
    assert "which fits the 97.0% that were claimed" in found.verdict
    assert "which fits the 96.55% that were claimed" in check(*trained, claimed=0.9655).verdict


def test_the_normalization_that_was_forgotten_is_named(trained: tuple[nn.Module, ModelCard]) -> None:
    module, card = trained
    for mean, std in (((0.0,) * 3, (1.0,) * 3), ((0.0,) * 3, (1 / 255,) * 3)):
        found = check(module, with_scale(card, mean, std), claimed=0.99)
        assert not found.fits
        assert found.cause is not None
        assert found.cause.words == "mean and std of ImageNet"
        assert "that is the likely cause" in found.verdict
        again = check(*apply_cause(module, found.cause), claimed=0.97)
        assert again.fits


def test_blue_and_red_exchanged_is_named_and_put_right_in_the_filters(
    trained: tuple[nn.Module, ModelCard],
) -> None:
    module, card = trained
    theirs = build(card)
    theirs.load_state_dict(module.state_dict())
    reverse_first_layer(theirs)  # as if it had been trained on blue, green, red
    mean, std = card.preprocessing.mean[::-1], card.preprocessing.std[::-1]
    card = with_scale(card, mean, std)
    found = check(theirs, card, claimed=0.99)
    assert not found.fits
    assert found.cause is not None
    assert found.cause.words == "blue, green, red instead of red, green, blue"
    mended, mended_card = apply_cause(theirs, found.cause)
    assert mended_card.preprocessing.mean == IMAGENET[0]
    assert check(mended, mended_card, claimed=0.97).fits


def test_classes_in_another_order_are_named_and_put_right(trained: tuple[nn.Module, ModelCard]) -> None:
    module, card = trained
    wrong = build(card)
    wrong.load_state_dict(module.state_dict())
    turn = torch.tensor([2, 0, 1, 4, 3])
    with torch.no_grad():
        wrong.output.weight.copy_(module.output.weight[turn])
        wrong.output.bias.copy_(module.output.bias[turn])
    found = check(wrong, card, claimed=0.99)
    assert found.cause is not None
    assert found.cause.words == "the classes in another order"
    mended, mended_card = apply_cause(wrong, found.cause)
    assert mended_card.class_names == ("c", "a", "b", "e", "d")
    assert check(mended, mended_card, claimed=0.97).fits


def test_another_activation_is_named(trained: tuple[nn.Module, ModelCard]) -> None:
    module, card = trained
    wrong = dataclasses.replace(card, settings={**card.settings, "activation": "sigmoid"})
    found = check(module, wrong, claimed=0.99)
    assert found.cause is not None
    # On data as easy as this several activations answer alike; one of them is named.
    assert found.cause.words.startswith("the activation ")
    assert check(*apply_cause(module, found.cause), claimed=0.97).fits


def test_a_network_that_never_learned_has_no_cause(trained: tuple[nn.Module, ModelCard]) -> None:
    torch.manual_seed(3)
    found = check(build(trained[1]), trained[1], claimed=0.9)
    assert not found.fits
    assert found.cause is None
    assert "check the image size" in found.verdict


def test_without_a_claim_only_guessing_is_suspicious(trained: tuple[nn.Module, ModelCard]) -> None:
    module, card = trained
    assert check(module, card).fits
    found = check(module, with_scale(card, (0.0,) * 3, (1 / 255,) * 3))
    assert found.fits or found.cause is not None


def test_classes_are_matched_by_name_and_their_number_must_agree(
    trained: tuple[nn.Module, ModelCard],
) -> None:
    module, card = trained
    other = ImageDataset("colors", "Colors", tuple("edcba"), {"test": Split(
        DATA.splits["test"].images, 4 - DATA.splits["test"].labels)})  # fmt: skip
    assert check_accuracy(Classifier(module, card, torch.device("cpu")), other, claimed=0.97).fits
    three = ImageDataset("three", "Three", tuple("abc"), {"test": Split(np.zeros((3, 12, 12, 3), np.uint8),
                                                                      np.arange(3))})  # fmt: skip
    with pytest.raises(SettingError, match="Three has 3 classes and the network 5"):
        check_accuracy(Classifier(module, card, torch.device("cpu")), three)
