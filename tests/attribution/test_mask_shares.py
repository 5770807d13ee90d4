"""Shares of a map on masks, against sums by hand; a network that can only see the grid is found out."""

import numpy as np
import pytest
import torch
from torch import nn

from core.__main__ import main
from core.attribution.mask_shares import fitted_masks, in_words, mask_shares, mean_shares, score_method
from core.attribution.methods import methods
from core.data.dataset import Split
from core.data.image_address import open_dataset_image
from core.data.preprocessing import Preprocessing
from core.errors import BadImage
from core.models.card import ModelCard
from core.models.classifier import Classifier

LEFT = np.array([[1, 1, 0, 0]] * 4, bool)
CORNER = np.zeros((4, 4), bool)
CORNER[3, 3] = True


def test_shares_are_those_added_up_by_hand() -> None:
    values = np.zeros((3, 4, 4), np.float32)
    values[0, 0, 0], values[1, 0, 0] = 3, -1  # a pixel's channels are added up, as in the map that is shown
    values[2, 3, 3], values[0, 1, 2] = -5, 1
    shares = {s.mask: s for s in mask_shares(values, {"left": LEFT, "corner": CORNER})}
    assert {name: s.share for name, s in shares.items()} == pytest.approx(
        {"left": 2 / 8, "corner": 5 / 8, "elsewhere": 1 / 8}
    )
    assert {name: s.area for name, s in shares.items()} == {
        "left": 0.5,
        "corner": 1 / 16,
        "elsewhere": 7 / 16,
    }
    assert shares["corner"].times == pytest.approx(10)
    assert in_words([shares["left"]]) == "left 25% on 50% of the area (× 0.5)"


def test_an_even_map_gives_every_mask_its_area_and_a_blank_one_nothing() -> None:
    for values in (np.ones((4, 4), np.float32), np.ones((2, 2), np.float32)):  # a coarse one is enlarged
        assert [s.times for s in mask_shares(values, {"left": LEFT})] == pytest.approx([1, 1])
    assert mask_shares(np.zeros((4, 4), np.float32), {"left": LEFT}) == []
    assert mask_shares(np.ones((4, 4), np.float32), {}) == []


def test_masks_are_cut_as_the_image_is() -> None:
    wide = np.zeros((8, 16), bool)
    wide[:, 8:] = True
    card = Preprocessing(input_size=(4, 4), mean=(0,) * 3, std=(1,) * 3, resize=4)
    assert np.array_equal(fitted_masks({"right": wide}, card)["right"], ~LEFT)


def test_means_have_the_interval_of_student() -> None:
    maps = [np.where(LEFT, weight, 1).astype(np.float32) for weight in (1, 3, 4)]
    (left, _) = mean_shares([mask_shares(values, {"left": LEFT}) for values in maps])
    shares = np.array([1 / 2, 3 / 4, 4 / 5])
    half = 4.302653 * shares.std(ddof=1) / np.sqrt(3)
    assert left.share == pytest.approx(shares.mean())
    assert left.interval == pytest.approx((shares.mean() - half, shares.mean() + half), rel=1e-5)


def test_a_network_that_sees_only_one_corner_is_found_out() -> None:
    class Corner(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen = x[:, :, 3, 3].sum(1)
            return torch.stack([seen, -seen], 1)

    card = ModelCard("corner", "small_cnn", ("a", "b"), Preprocessing((4, 4), (0.0,) * 3, (1.0,) * 3))
    classifier = Classifier(Corner(), card, device=torch.device("cpu"))
    pixels = np.random.default_rng(0).integers(1, 255, (6, 4, 4, 3), dtype=np.uint8)
    masks = {"corner": np.repeat(CORNER[None], 6, 0), "left": np.repeat(LEFT[None], 6, 0)}
    split = Split(pixels, np.array([0, 1] * 3), masks=masks)
    shares = score_method(methods["saliency"], classifier, split, {}, images=4)
    assert [(s.mask, s.share) for s in shares] == [("corner", 1.0), ("left", 0.0), ("elsewhere", 0.0)]


def test_an_image_of_a_data_set_brings_its_masks(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))
    assert open_dataset_image("digits/test/3").masks == {}
    with pytest.raises(BadImage, match="There is no image 99999 in digits/test: choose one from 0 to 358"):
        open_dataset_image("digits/test/99999")
    with pytest.raises(BadImage, match="'digits/3' is not an image of a data set: give one as sutures/test"):
        open_dataset_image("digits/3")
    assert main(["explain", "digits/test/3", "--classifier", "digits_cnn", "--method", "saliency"]) == 0
    assert "where the map is strong" not in capsys.readouterr().out
    words = "mask-scores digits_cnn --dataset digits --images 2"
    assert main(words.split()) == 2
    assert "The data set digits has no masks" in capsys.readouterr().err
