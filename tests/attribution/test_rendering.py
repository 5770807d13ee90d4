"""Rendered maps: what is strong is seen, what is zero is not, and smoothing keeps the mean."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from core.attribution.rendering import (
    VIEWS,
    Look,
    Shown,
    default_sigma,
    heat_table,
    layer,
    limit_of,
    percentile_for,
    rendered,
    sheet,
    shown_plane,
    signed_table,
    smoothed,
    threshold_of,
)

PHOTO = np.random.default_rng(1).integers(0, 255, (40, 30, 3)).astype(np.uint8)
VALUES = np.random.default_rng(0).standard_normal((3, 40, 30)).astype(np.float32)


def test_smoothing_is_scipys_inside_and_a_mean_of_what_there_is_at_the_border():
    plane = VALUES.sum(0)
    inside = (slice(10, -10), slice(10, -10))
    expected = gaussian_filter(plane.astype(np.float64), 2.0, truncate=3.0)
    np.testing.assert_allclose(smoothed(plane, 2.0)[inside], expected[inside], atol=1e-6)
    np.testing.assert_allclose(smoothed(np.full((5, 9), 3.0), 4.0), 3.0, rtol=1e-6)
    assert smoothed(plane, 0.0) is not None
    np.testing.assert_array_equal(smoothed(plane, 0.0), plane)


def test_defaults_are_those_that_were_looked_at():
    assert default_sigma((224, 224)) == 4.0
    assert default_sigma((28, 28)) == 0.75
    assert (percentile_for((28, 28)), percentile_for((224, 224))) == (99.0, 99.5)


@pytest.mark.parametrize("view", VIEWS)
def test_a_blank_map_shows_no_part_of_the_image_as_strong(view):
    plane = np.zeros((40, 30), np.float32)
    assert limit_of(plane) == 0
    drawn = layer(plane, Look(view), 0.0)
    assert len(np.unique(drawn.reshape(-1, 4), axis=0)) == 1


def test_heat_grows_with_the_magnitude_and_signs_have_colors_of_their_own():
    plane = np.linspace(-1, 1, 101, dtype=np.float32)[None]
    heat = layer(np.abs(plane), Look("heat"), 1.0)[0]
    light = heat[:, :3].astype(int).sum(1)
    assert (np.diff(light[50:]) >= 0).all()
    assert light[-1] - light[50] > 500
    signed = layer(plane, Look("signed"), 1.0)[0]
    assert tuple(signed[0, :3]) == tuple(signed_table()[0])
    assert tuple(signed[-1, :3]) == tuple(signed_table()[1])
    assert (signed[::-1, 3] == signed[:, 3]).all()


def test_the_spotlight_lights_the_share_that_was_asked_for():
    plane = np.abs(VALUES.sum(0))
    lit = layer(plane, Look("spotlight", share=0.2), 1.0)[..., 3] == 0
    assert lit.mean() == pytest.approx(0.2, abs=0.001)
    assert plane[lit].min() >= threshold_of(plane, 0.2) > plane[~lit].max()
    shown = rendered(PHOTO, plane, Look("spotlight", share=0.2), 1.0)
    np.testing.assert_array_equal(shown[lit], PHOTO[lit])
    assert shown[~lit].mean() < 0.2 * PHOTO.mean()


def test_coarse_maps_are_never_smoothed_and_magnitudes_have_no_sign():
    coarse = np.array([[1, -2], [3, 4]], np.float32)
    look = Look("heat", sigma=5.0)
    plain = shown_plane(coarse, (40, 30), Look("heat", sigma=0.0), smooth=False)
    np.testing.assert_array_equal(shown_plane(coarse, (40, 30), look, smooth=False), plain)
    assert plain.min() >= 0
    assert shown_plane(VALUES, (40, 30), Look("raw", sigma=5.0), smooth=True) == pytest.approx(VALUES.sum(0))


def test_the_table_of_heat_is_dark_to_light_in_even_steps():
    light = heat_table().astype(float) @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(light) > -0.5).all()
    assert light[0] < 5
    assert light[-1] > 240


def test_a_sheet_holds_every_map_as_it_is_on_the_screen():
    plane = shown_plane(VALUES, (40, 30), Look("heat", 1.0), smooth=True)
    expected = rendered(PHOTO, plane, Look("heat", 1.0), limit_of(plane))
    drawn = sheet(PHOTO, [Shown("One", VALUES), Shown("Two", -VALUES)], Look("heat", 1.0), side=120)
    left = 16 + 120 + 16
    np.testing.assert_array_equal(drawn[16 : 16 + 160 : 4, left : left + 120 : 4], expected)
