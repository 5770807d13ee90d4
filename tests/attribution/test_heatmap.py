"""Overlays: zero is neutral, the sign has one color, the scale is what it says."""

import numpy as np
import pytest

from core.attribution.heatmap import (
    NEGATIVE_COLOR,
    POSITIVE_COLOR,
    colors,
    enlarged,
    overlay,
    picture,
    plane_of,
    scale_of,
)

GRAY = np.full((4, 6, 3), 90, np.uint8)


def test_zero_leaves_the_photo_and_the_limit_is_full_color() -> None:
    plane = np.zeros((4, 6), np.float32)
    plane[0, 0], plane[0, 1], plane[0, 2] = 2, -2, 1
    shown = overlay(GRAY, plane, 2.0, opacity=1)
    assert tuple(shown[0, 0]) == POSITIVE_COLOR
    assert tuple(shown[0, 1]) == NEGATIVE_COLOR
    assert np.allclose(shown[0, 2], (np.array(POSITIVE_COLOR) + 90) / 2, atol=1)
    assert (shown[1:] == 90).all()
    assert (overlay(GRAY, plane, 2.0, opacity=0) == 90).all()


def test_colors_are_symmetric_and_grow_with_the_value() -> None:
    values = np.linspace(-1, 1, 101, dtype=np.float32)[None]
    alpha = colors(values, 1.0)[0, :, 3].astype(int)
    assert (alpha == alpha[::-1]).all()
    assert (np.diff(alpha[50:]) > 0).all()


def test_the_plane_adds_channels_up() -> None:
    values = np.array([[[1.0, -2.0]], [[-3.0, 1.0]]], np.float32)
    assert plane_of(values).tolist() == [[-2.0, -1.0]]
    assert plane_of(values, "absolute").tolist() == [[4.0, 3.0]]


def test_the_scale_is_a_percentile_and_says_what_it_cuts() -> None:
    plane = np.linspace(-1, 1, 1000, dtype=np.float32).reshape(20, 50)
    plane[0, 0] = -100
    scale = scale_of([plane], 99.5)
    assert scale.limit == pytest.approx(np.percentile(np.abs(plane), 99.5))
    assert scale.cut == int((np.abs(plane) > scale.limit).sum()) > 0
    assert (scale.low, scale.high) == (-100, 1)
    assert "-100 to +1" in scale.words
    assert f"{scale.cut} stronger pixels cut" in scale.words


def test_a_shared_scale_is_that_of_the_strongest_map() -> None:
    weak, strong = np.full((3, 3), 0.1, np.float32), np.full((30, 30), 7, np.float32)
    assert scale_of([weak, strong]).limit == pytest.approx(7)
    assert scale_of([weak]).limit == pytest.approx(0.1)


def test_a_few_pixels_among_zeros_are_seen() -> None:
    plane = np.zeros((100, 100), np.float32)
    plane[3, 3] = 5
    assert scale_of([plane]).limit == 5


def test_a_blank_map_is_said_to_be_one_and_divides_by_nothing() -> None:
    plane = np.zeros((4, 6), np.float32)
    scale = scale_of([plane])
    assert scale.limit == 0
    assert scale.words == "every value is 0"
    assert (overlay(GRAY, plane, scale.limit) == 90).all()


def test_a_coarse_map_is_enlarged_by_area() -> None:
    plane = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    grid = enlarged(plane, (4, 6), grid=True)
    assert grid.tolist() == plane.repeat(2, 0).repeat(2, 1).tolist()
    smooth = enlarged(plane, (40, 60))
    assert smooth.mean() == pytest.approx(plane.mean(), abs=0.05)
    # Its middle lies at row 0.525 and column 1.025 of the map, whose value is 1 + 3 · row + column.
    assert smooth[20, 30] == pytest.approx(3.6, abs=0.01)


def test_the_printed_picture_holds_every_map() -> None:
    plane = np.ones((4, 6), np.float32)
    sheet = picture(GRAY, [("One", plane, scale_of([plane])), ("Two", -plane, scale_of([plane]))], opacity=1)
    assert (sheet == POSITIVE_COLOR).all(axis=2).sum() > 1000
    assert (sheet == NEGATIVE_COLOR).all(axis=2).sum() > 1000
