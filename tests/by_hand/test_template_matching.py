"""Template matching against scikit-image and OpenCV; kernels against scipy."""

import cv2
import numpy as np
import pytest
from scipy import ndimage
from skimage.feature import match_template

from core.by_hand.template_matching import (
    BadTemplate,
    filtered,
    gabor,
    gaussian,
    gray,
    kernel,
    kernels,
    match,
)
from core.errors import UnknownName

rng = np.random.default_rng(0)
photo = ndimage.gaussian_filter(rng.random((40, 53)), 1)


@pytest.mark.parametrize("size", [(1, 5), (7, 7), (12, 9), (40, 53)])
def test_raw_and_normalized_are_opencvs(size):
    template = photo[: size[0], : size[1]]
    single = photo.astype(np.float32), template.astype(np.float32)
    np.testing.assert_allclose(
        match(photo, template, normalized=False), cv2.matchTemplate(*single, cv2.TM_CCORR), atol=1e-3
    )
    expected = cv2.matchTemplate(*single, cv2.TM_CCOEFF_NORMED)
    np.testing.assert_allclose(match(photo, template), expected, atol=1e-3)


def test_normalized_is_scikit_images_and_finds_the_place():
    template = photo[11:20, 30:41]
    found = match(photo, template)
    np.testing.assert_allclose(found, match_template(photo, template), atol=1e-9)
    assert np.unravel_index(found.argmax(), found.shape) == (11, 30)
    assert found.max() == pytest.approx(1)


def test_normalized_does_not_see_brightness_but_raw_does():
    template = photo[11:20, 30:41]
    dimmed = photo * 0.4 + 0.1
    np.testing.assert_allclose(match(dimmed, template), match(photo, template), atol=1e-9)
    bright = photo.copy()
    bright[:12, :14] += 5
    raw = match(bright, template, normalized=False)
    assert np.unravel_index(raw.argmax(), raw.shape) != (11, 30)
    again = match(bright, template)
    assert np.unravel_index(again.argmax(), again.shape) == (11, 30)


def test_an_even_patch_is_like_nothing():
    even = photo.copy()
    even[:20, :20] = 0.5
    assert np.all(match(even, np.full((5, 5), 0.5)) == 0)
    assert np.all(match(even, photo[30:35, 30:35])[:15, :15] == 0)


def test_a_template_that_does_not_fit_is_named():
    with pytest.raises(BadTemplate, match=r"41 × 5 pixels, the image 40 × 53"):
        match(photo, np.ones((41, 5)))


@pytest.mark.parametrize("name", [k.name for k in kernels()])
def test_kernels_are_correlations(name):
    values = kernel(name).values
    np.testing.assert_allclose(
        filtered(photo, values), ndimage.correlate(photo, values, mode="nearest"), atol=1e-10
    )


def test_what_kernels_add_up_to():
    for name in ("box", "gaussian", "sharpen", "identity"):
        assert kernel(name).values.sum() == pytest.approx(1)
    for name in ("sobel_x", "sobel_y", "edge", "gabor", "gabor_edge"):
        assert kernel(name).values.sum() == pytest.approx(0, abs=1e-12)
    stripes = np.cos(2 * np.pi * np.arange(60) / 6)[None].repeat(60, 0)
    across, along = filtered(stripes, gabor(0)), filtered(stripes, gabor(90))
    assert np.abs(across[20:40, 20:40]).max() > 20 * np.abs(along[20:40, 20:40]).max()
    np.testing.assert_allclose(
        gaussian(5, 1.0)[2], cv2.getGaussianKernel(5, 1.0)[:, 0] * gaussian(5, 1.0)[2].sum()
    )
    with pytest.raises(UnknownName, match=r"no kernel named 'sobel'.*sobel_x"):
        kernel("sobel")


def test_gray_is_pillows():
    from PIL import Image

    pixels = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)
    np.testing.assert_allclose(gray(pixels) * 255, np.asarray(Image.fromarray(pixels).convert("L")), atol=1)
