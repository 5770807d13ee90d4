"""Colors of occlusion maps: zero is neutral, nothing cyclic; remarks on flat maps; the sheet's cells."""

import numpy as np
import pytest
import torch
from torch import nn

from core.data.preprocessing import Preprocessing
from core.models.card import ModelCard
from core.models.classifier import Classifier
from core.occlusion.gallery import GalleryRow, drops_of_windows, gallery_archive, gallery_sheet
from core.occlusion.occlusion import occlusion_logits
from core.occlusion.picture import Scale, remark, scale_of, sheet


def _lightness(colors):
    return colors @ np.array([0.299, 0.587, 0.114])


def test_zero_is_neutral_and_both_signs_share_a_scale():
    scale = scale_of(np.array([-0.1, 0.4]), "drop")
    assert (scale.low, scale.high, scale.diverging) == (-0.4, 0.4, True)
    middle = scale.paint(np.zeros((1, 1)))[0, 0].astype(int)
    assert np.ptp(middle) < 6
    low, high = scale.paint(np.array([[-0.4, 0.4]]))[0].astype(int)
    assert low[2] > low[0]
    assert high[0] > high[2]
    light = _lightness(scale.colors)
    assert (np.diff(light[:127]) >= -0.5).all()
    assert (np.diff(light[129:]) <= 0.5).all()


def test_sequential_scale_only_gets_lighter():
    scale = scale_of(np.array([0.2, 0.9]), "probability")
    assert (scale.low, scale.high, scale.diverging) == (0.2, 0.9, False)
    assert (np.diff(_lightness(scale.colors)) >= -0.5).all()
    flat = Scale(0.5, 0.5, False).paint(np.full((2, 2), 0.5))
    np.testing.assert_array_equal(flat, np.broadcast_to(scale.colors[128], (2, 2, 3)))


@pytest.mark.parametrize(
    ("values", "value", "base", "words"),
    [
        ([0.9991, 0.9999], "probability", 0.9999, "look at the logit"),
        ([0.0, 0.001], "drop", 0.002, "unlikely from the start"),
        ([0.0, 0.001], "drop", 0.5, "larger window or another fill"),
        ([3.0, 3.01], "logit", 0.5, "0.01 in logits apart"),
        ([0.0, 0.2], "drop", 0.5, ""),
    ],
)
def test_a_flat_map_says_why(values, value, base, words):
    said = remark(np.array(values), value, base)
    assert words in said
    assert bool(said) == bool(words)


def test_sheet_holds_every_picture_at_its_place():
    colors = [[10, 20], [30, 40]]
    rows = [[np.full((8, 8, 3), c, np.uint8) for c in row] for row in colors]
    made = sheet(rows, ["a", "b"], ["first", "second"], side=32)
    for row in range(2):
        for column in range(2):
            y, x = 22 + row * (32 + 20) + 16, 6 + column * (32 + 6) + 16
            assert (made[y, x] == colors[row][column]).all()


def test_gallery_rows_are_the_maps_of_each_window():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(400, 3))
    preprocessing = Preprocessing((12, 12), (0.5,), (0.5,), 1)
    classifier = Classifier(
        module, ModelCard("t", "none", ("a", "b", "c"), preprocessing), torch.device("cpu")
    )
    image = np.random.default_rng(0).integers(0, 256, (12, 12, 1), np.uint8)
    shares = []
    answer = drops_of_windows(
        classifier, image, None, [3, 5], stride=2, progress=lambda share, _: shares.append(share)
    )
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    for i, window in enumerate([3, 5]):
        found = occlusion_logits(classifier, image, window=window, stride=2)
        np.testing.assert_allclose(answer.maps[i], found.map(found.predicted, "drop"), atol=1e-6)
        assert answer.share_of_flips[i] == pytest.approx(found.share_of_flips)
    row = GalleryRow.of(answer, image, "one")
    assert gallery_sheet([row, row], [3, 5], ["a", "b", "c"]).shape[2] == 3
    import io

    with np.load(io.BytesIO(gallery_archive([row], [3, 5], {"fill": "gray"})), allow_pickle=False) as file:
        assert file["drops"].shape == (1, 2, 12, 12)
        assert file["images"].shape == (1, 12, 12, 1)
