"""What the network sees, against torchvision's own transforms."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.models import ResNet18_Weights

from core.data.preprocessing import Preprocessing, fit, fit_steps, normalize
from core.errors import BadCheckpoint

IMAGENET = Preprocessing((224, 224), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), resize=256)


@pytest.mark.parametrize("size", [(300, 451), (640, 480), (100, 80), (256, 256)])
def test_it_is_what_torchvision_does(size):
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    expected = ResNet18_Weights.DEFAULT.transforms(antialias=True)(Image.fromarray(pixels))
    ours = torch.from_numpy(normalize(fit(pixels, IMAGENET), IMAGENET))
    assert (ours - expected).abs().max() < 0.02  # one step of 1/255 in places, divided by the std


@given(
    st.integers(1, 90), st.integers(1, 90), st.integers(1, 40), st.integers(1, 40),
    st.sampled_from([None, 8, 33]), st.sampled_from([1, 3]),
)  # fmt: skip
@settings(max_examples=80, deadline=None)
def test_any_picture_becomes_the_right_size(height, width, to_height, to_width, resize, channels):
    preprocessing = Preprocessing(
        (to_height, to_width), (0.5,) * channels, (0.5,) * channels, channels=channels, resize=resize
    )
    pixels = np.zeros((height, width, 3), np.uint8)
    assert fit(pixels, preprocessing).shape == (to_height, to_width, channels)


def test_what_is_right_already_is_not_touched():
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    assert fit(pixels, IMAGENET) is pixels
    assert len(fit_steps(pixels, IMAGENET)) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mean": (0.5,)}, "mean"),
        ({"std": (0.2, 0.0, 0.2)}, "std"),
        ({"mean": (0.5, float("nan"), 0.5)}, "finite"),
        ({"input_size": (0, 224)}, "input_size"),
    ],
)
def test_a_card_that_cannot_be_is_refused(change, words):
    given_values = {"input_size": (224, 224), "mean": (0.5,) * 3, "std": (0.5,) * 3} | change
    with pytest.raises(BadCheckpoint, match=words):
        Preprocessing(**given_values)
