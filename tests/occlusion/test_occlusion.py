"""Occlusion against a naive loop, against Captum where Captum is right, and as properties."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from core.data.preprocessing import Preprocessing
from core.errors import BadImage, SettingError, TargetOutOfRange, UnknownName
from core.evaluation.probabilities import probabilities
from core.models.card import ModelCard
from core.models.classifier import Classifier
from core.occlusion.occlusion import occlusion_logits
from core.occlusion.occlusion_map import OcclusionMap, relevant_classes
from core.occlusion.quickest import is_prepared
from core.occlusion.windows import (
    FILLS,
    coarse_to_fine,
    default_stride,
    default_window,
    filled_image,
    number_of_places,
    places,
    window_choices,
)

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def _classifier(module, size=(20, 20), channels=3, classes=5):
    preprocessing = Preprocessing(size, MEAN[:channels], STD[:channels], channels)
    card = ModelCard("test", "none", tuple(f"class {i}" for i in range(classes)), preprocessing)
    return Classifier(module, card, torch.device("cpu"))


def _network(kind, channels=3, classes=5):
    torch.manual_seed(1)
    if kind == "linear":
        return nn.Sequential(nn.Flatten(), nn.Linear(channels * 400, classes))
    if kind == "pooled":
        return nn.Sequential(
            nn.Conv2d(channels, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes),
        )  # fmt: skip
    return nn.Sequential(
        nn.Conv2d(channels, 6, 5, stride=2),
        nn.BatchNorm2d(6),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(384, classes),
    )


def _image(size=(20, 20), channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, channels), np.uint8)


def _naive(module, image, window, stride, fill):
    """Every place with its own forward pass of one image, normalized by hand."""
    height, width, channels = image.shape
    mean, std = np.array(MEAN[:channels]), np.array(STD[:channels])
    last_row, last_column = height - window, width - window
    tops = sorted({*range(0, last_row + 1, stride), last_row})
    lefts = sorted({*range(0, last_column + 1, stride), last_column})
    out = []
    for top in tops:
        for left in lefts:
            hidden = image.astype(np.float64)
            hidden[top : top + window, left : left + window] = fill
            x = torch.tensor(((hidden / 255 - mean) / std).transpose(2, 0, 1)[None], dtype=torch.float32)
            with torch.no_grad():
                out.append(module.eval()(x)[0].numpy())
    return np.array(tops), np.array(lefts), np.array(out).reshape(len(tops), len(lefts), -1)


@pytest.mark.parametrize("kind", ["linear", "pooled", "strided"])
@pytest.mark.parametrize(("window", "stride", "fill"), [(3, 1, "black"), (7, 3, "gray"), (9, 4, "mean")])
def test_equals_a_naive_loop(kind, window, stride, fill):
    image, module = _image(), _network(kind)
    color = {"black": 0, "gray": 128, "mean": image.reshape(-1, 3).mean(0).round()}[fill]
    found = occlusion_logits(_classifier(module), image, window=window, stride=stride, fill=fill)
    tops, lefts, logits = _naive(module, image, window, stride, color)
    np.testing.assert_array_equal(found.tops, tops)
    np.testing.assert_array_equal(found.lefts, lefts)
    np.testing.assert_allclose(found.logits, logits, atol=1e-5)
    np.testing.assert_allclose(found.values(2), probabilities(logits)[..., 2], atol=1e-5)
    np.testing.assert_array_equal(found.values(2, "logit"), found.logits[..., 2])
    np.testing.assert_allclose(found.values(2, "drop"), found.base(2) - found.values(2), atol=1e-7)


@pytest.mark.parametrize("kind", ["linear", "pooled", "strided"])
@pytest.mark.parametrize("window", [2, 4, 5, 10])
def test_equals_captum_where_windows_tile_the_image(kind, window):
    captum = pytest.importorskip("captum.attr")
    image, module, target = _image(seed=3), _network(kind), 1
    classifier = _classifier(module)
    found = occlusion_logits(classifier, image, window=window, stride=window, fill="gray")
    inputs = classifier.inputs(image[None])
    theirs = captum.Occlusion(classifier.logits).attribute(
        inputs, (3, window, window), (3, window, window), target=target,
        baselines=classifier.inputs(np.full_like(image, 128)[None]),
    )  # fmt: skip
    drop = found.base(target, "logit") - found.map(target, "logit")
    np.testing.assert_allclose(drop, theirs[0, 0].numpy(), atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(4, 24), st.integers(4, 24), st.integers(1, 24), st.integers(1, 24),
    st.sampled_from(["gray", "black"]),
)  # fmt: skip
def test_flat_where_all_pixels_weigh_the_same(height, width, window, stride, fill):
    window, stride = min(window, height, width), min(stride, height, width)
    module = nn.Sequential(nn.Flatten(), nn.Linear(height * width, 2))
    nn.init.constant_(module[1].weight, 0.01)
    nn.init.constant_(module[1].bias, 0.0)
    with torch.no_grad():
        module[1].weight[1] = -0.01
    image = np.full((height, width, 1), 200, np.uint8)
    found = occlusion_logits(
        _classifier(module, (height, width), 1, 2), image, window=window, stride=stride, fill=fill
    )
    for value in ("probability", "logit", "drop"):
        pixels = found.map(0, value)
        assert pixels.shape == (height, width)
        # Sums of hundreds of products in 32 bits, whose order differs from place to place.
        np.testing.assert_allclose(pixels, pixels[0, 0], rtol=1e-5, atol=1e-5)
    assert found.share_covered == 1 or stride > window


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 60))
def test_places_are_whole_cover_all_and_nest(size, window, stride):
    window = min(window, size)
    starts = places(size, window, stride)
    assert starts[0] == 0
    assert starts[-1] == size - window
    assert (np.diff(starts) > 0).all()
    assert (np.diff(starts) <= stride).all()
    if stride <= window:
        assert {p for s in starts for p in range(s, s + window)} == set(range(size))
    assert set(places(size, window, 2 * stride)) <= set(starts)


def test_map_is_the_mean_over_the_windows_that_hide_a_pixel():
    image, module = _image((11, 14)), nn.Sequential(nn.Flatten(), nn.Linear(462, 5))
    found = occlusion_logits(_classifier(module, (11, 14)), image, window=4, stride=3)
    total, count = np.zeros((11, 14)), np.zeros((11, 14))
    for i, top in enumerate(found.tops):
        for j, left in enumerate(found.lefts):
            total[top : top + 4, left : left + 4] += found.values(1)[i, j]
            count[top : top + 4, left : left + 4] += 1
    np.testing.assert_allclose(found.map(1), total / count, atol=1e-6)


def test_pixels_between_windows_take_the_nearest():
    image, module = _image((9, 9)), nn.Sequential(nn.Flatten(), nn.Linear(243, 5))
    found = occlusion_logits(_classifier(module, (9, 9)), image, window=1, stride=4)
    assert found.tops.tolist() == [0, 4, 8]
    assert found.share_covered == pytest.approx(1 / 9)
    assert np.isfinite(found.map(0)).all()
    assert found.map(0)[1, 7] == pytest.approx(found.values(0)[0, 2])


@pytest.mark.parametrize("fill", FILLS)
def test_fills(fill):
    image = _image(seed=7)
    filled = filled_image(image, fill, 5, seed=4)
    assert filled.shape == image.shape
    assert filled.dtype == np.uint8
    colors = {"gray": 128, "black": 0, "white": 255, "mean": image.reshape(-1, 3).mean(0).round()}
    if fill in colors:
        assert (filled == colors[fill]).all()
    np.testing.assert_array_equal(filled, filled_image(image, fill, 5, seed=4))
    if fill == "noise":
        assert (filled != filled_image(image, fill, 5, seed=5)).any()
    if fill == "blur":
        assert filled.std() < 0.5 * image.std()
        assert filled.mean() == pytest.approx(image.mean(), abs=3)


def test_the_fill_is_put_in_before_normalization_and_the_image_is_left_alone():
    seen = []

    class Watch(nn.Module):
        def forward(self, x):
            seen.append(x.clone())
            return x.mean((2, 3))

    image = _image((6, 6))
    before = image.copy()
    occlusion_logits(_classifier(Watch(), (6, 6), classes=3), image, window=6, stride=1, fill="black")
    np.testing.assert_array_equal(image, before)
    black = (0 - torch.tensor(MEAN)) / torch.tensor(STD)
    assert torch.allclose(seen[-1], black[None, :, None, None].expand(1, 3, 6, 6))


def test_coarse_to_fine_asks_nothing_twice_and_ends_with_the_same_map():
    image, classifier = _image(), _classifier(_network("pooled"))
    strides = coarse_to_fine((20, 20), 5, 1, first=30)
    assert strides == [4, 2, 1]
    asked, known = [], None

    def engine(classifier, image, filled, corners, window, progress):
        from core.occlusion.full_forwards import full_forwards

        asked.extend(map(tuple, corners.tolist()))
        return full_forwards(classifier, image, filled, corners, window, progress)

    for stride in strides:
        known = occlusion_logits(classifier, image, window=5, stride=stride, known=known, engine=engine)
    assert len(asked) == len(set(asked)) == 256
    whole = occlusion_logits(classifier, image, window=5, stride=1)
    np.testing.assert_allclose(known.logits, whole.logits, atol=1e-6)


@pytest.mark.parametrize("size", [(28, 28), (64, 80), (65, 65), (224, 224)])
def test_the_first_map_asks_for_few_places(size):
    window, stride = default_window(size), default_stride(size)
    strides = coarse_to_fine(size, window, stride)
    assert number_of_places(size, window, strides[0]) <= (64 if min(size) <= 64 else 16)
    assert strides[-1] == stride
    assert all(finer * 2 == coarser for coarser, finer in pairwise(strides))


def test_a_first_map_is_found_without_preparing_anything_and_with_what_is_prepared():
    image, classifier = _image((48, 48)), _classifier(_network("pooled"), (48, 48))
    first = occlusion_logits(classifier, image, window=5, stride=16)
    assert first.logits[..., 0].size <= 16
    assert first.engine == "full forwards"
    assert not is_prepared(classifier, 5)
    fine = occlusion_logits(classifier, image, window=5, stride=4)
    assert fine.engine == "incremental"
    assert is_prepared(classifier, 5)
    assert not is_prepared(classifier, 7)
    again = occlusion_logits(classifier, image, window=5, stride=16)
    assert again.engine == "incremental"
    np.testing.assert_allclose(again.logits, first.logits, atol=1e-5)


def test_progress_rises_to_one_and_can_end_the_work():
    shares = []
    classifier = _classifier(_network("pooled"))
    occlusion_logits(classifier, _image(), window=5, stride=1, progress=lambda share, _: shares.append(share))
    assert shares == sorted(shares)
    assert shares[-1] == 1

    def stop(share, message):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        occlusion_logits(classifier, _image(), window=5, stride=1, progress=stop)


def _made_map():
    base = np.array([2.0, 1.0, 0.0], np.float32)
    logits = np.tile(base, (3, 3, 1))
    logits[0, 1] = [0, 5, 0]
    logits[2, 2] = [1.5, 0, 1.6]
    starts = np.array([0, 2, 4])
    return OcclusionMap(2, 2, "gray", starts, starts, logits, base, (6, 6))


def test_flips_and_the_weakest_place():
    made = _made_map()
    assert made.predicted == 0
    assert made.share_of_flips == pytest.approx(2 / 9)
    assert made.win_counts() == [(0, 7), (1, 1), (2, 1)]
    top, left, probability = made.weakest(0)
    assert (top, left) == (0, 2)
    assert probability == pytest.approx(probabilities(np.array([0.0, 5.0, 0.0]))[0])
    flips = made.flip_map()
    assert (flips[:2, 2:4] == 1).all()
    assert (flips[4:, 4:] == 2).all()
    assert (flips == 0).sum() == 36 - 8


def test_relevant_classes():
    rng = np.random.default_rng(0)
    logits, base = rng.normal(size=(4, 4, 50)).astype(np.float32), rng.normal(size=50).astype(np.float32)
    many = OcclusionMap(3, 1, "gray", np.arange(4), np.arange(4), logits, base, (6, 6))
    kept = relevant_classes(many, [7])
    firsts = {int(c) for row in logits.reshape(-1, 50) for c in np.argsort(row)[-5:]}
    assert set(kept) == firsts | set(map(int, np.argsort(base)[-5:])) | {7}
    assert len(relevant_classes(many, [7], most=6)) == 6
    assert 7 in relevant_classes(many, [7], most=6)
    assert relevant_classes(_made_map(), [0]).tolist() == [0, 1, 2]


def test_sizes_to_offer():
    assert window_choices((32, 32)) == [3, 5, 7, 9]
    assert window_choices((8, 8)) == [3, 5, 7]
    assert window_choices((224, 224))[:4] == [3, 5, 7, 9]
    assert max(window_choices((224, 224))) == 75
    for size in [(28, 28), (224, 224), (5, 7)]:
        assert 1 <= default_window(size) <= min(size)
        assert default_stride(size) >= 1


def test_errors_say_what_is_allowed():
    classifier, image = _classifier(_network("pooled")), _image()
    with pytest.raises(
        SettingError, match="window is 21 pixels, but the network sees 20 × 20: choose 1 to 20"
    ):
        occlusion_logits(classifier, image, window=21)
    with pytest.raises(SettingError, match="stride is 40 pixels, but the network sees 20 × 20"):
        occlusion_logits(classifier, image, window=3, stride=40)
    with pytest.raises(SettingError, match="stride is 0: choose a whole number from 1"):
        occlusion_logits(classifier, image, stride=0)
    with pytest.raises(SettingError, match="fill is 'pink': Choose one of gray, mean"):
        occlusion_logits(classifier, image, fill="pink")
    with pytest.raises(BadImage, match=r"\(1, 9, 9, 3\)"):
        occlusion_logits(classifier, _image((9, 9)), window=3)
    with pytest.raises(TargetOutOfRange, match="class 3, but this classifier has 3 classes"):
        _made_map().values(3)
    with pytest.raises(UnknownName, match="no value named 'odds'"):
        _made_map().values(0, "odds")
    with pytest.raises(ValueError, match="another window"):
        occlusion_logits(classifier, image, window=3, known=_made_map())
