"""Figures of maps, compiled and by PyTorch, against NumPy."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from core.filters.map_statistics import figures_of, passed, reduced

SHAPES = [(3, 5, 1, 1), (2, 7, 6, 6), (4, 16, 12, 11), (1, 3, 224, 40), (2, 600, 2, 3), (2, 24, 31, 31)]


def maps_of(shape, channels_last=True, seed=0):
    """Whole numbers, so that sums are exact and the largest value is often found several times."""
    values = torch.randint(-4, 5, shape, generator=torch.Generator().manual_seed(seed)).float()
    return values.contiguous(memory_format=torch.channels_last) if channels_last else values


@pytest.mark.parametrize("way", [figures_of, reduced])
@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_figures_are_those_of_numpy(way, channels_last, shape):
    maps = maps_of(shape, channels_last)
    flat = maps.flatten(2).numpy()
    found = way(maps)
    np.testing.assert_array_equal(found.largest, flat.max(2))
    np.testing.assert_array_equal(found.places, flat.argmax(2))  # of equal ones the first
    np.testing.assert_array_equal(found.total, flat.sum(2))
    np.testing.assert_array_equal(found.squares, (flat**2).sum(2))
    np.testing.assert_array_equal(found.zeros, (flat == 0).sum(2))


@pytest.mark.parametrize("bounds", [(-np.inf, np.inf), (0.0, np.inf), (0.0, 6.0)])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_are_changed_in_passing(shape, bounds):
    maps = maps_of(shape)
    chance = torch.Generator().manual_seed(2)
    scale = torch.randint(-3, 4, (shape[1],), generator=chance).float()
    shift = torch.randint(-3, 4, (shape[1],), generator=chance).float()
    expected = (maps * scale[:, None, None] + shift[:, None, None]).clamp(*bounds)
    found = passed(maps, (scale, shift), *bounds)
    assert torch.equal(maps, expected)
    for one, other in zip(found, figures_of(expected), strict=True):
        assert torch.equal(one, other)
    again = passed(maps, None, *bounds)
    assert torch.equal(maps, expected)
    assert torch.equal(again.total, found.total)


def test_what_cannot_be_changed_in_passing_is_left_as_it_was():
    for maps in (maps_of((2, 4, 5, 5), channels_last=False), maps_of((2, 4, 5, 5)).bfloat16()):
        before = maps.clone()
        assert passed(maps, None, 0.0, 1.0) is None
        assert torch.equal(maps, before)


def test_sums_of_many_values_stay_exact_to_six_digits():
    maps = torch.rand((1, 2, 224, 224), generator=torch.Generator().manual_seed(1))
    found = figures_of(maps)
    np.testing.assert_allclose(found.total, maps.double().sum((2, 3)), rtol=1e-6)
    np.testing.assert_allclose(found.squares, maps.double().square().sum((2, 3)), rtol=1e-6)


@pytest.mark.parametrize("way", [figures_of, reduced])
def test_what_is_no_number_is_no_largest_value_and_infinities_are(way):
    maps = maps_of((1, 4, 9, 9))
    maps[0, 0, 4, 5] = torch.nan
    maps[0, 1, 2, 3], maps[0, 1, 6, 6] = torch.inf, -torch.inf
    maps[0, 2] = -torch.inf
    found = way(maps)
    assert torch.isnan(found.largest[0, 0])
    assert (found.largest[0, 1], found.places[0, 1]) == (torch.inf, 2 * 9 + 3)
    assert (found.largest[0, 2], found.places[0, 2]) == (-torch.inf, 0)
    assert found.largest[0, 3] == maps[0, 3].max()


def test_half_precision_is_read_as_it_is():
    maps = maps_of((2, 8, 5, 5))
    for one, other in zip(figures_of(maps.bfloat16()), figures_of(maps), strict=True):
        assert torch.equal(one, other)


PROGRAM = """
import sys
if {without}:
    sys.modules["numba"] = None
import torch
from core.filters.map_statistics import figures_of
torch.manual_seed(0)
maps = torch.randint(-4, 5, (2, 3, 4, 4)).float()
print([figure.tolist() for figure in figures_of(maps)])
print("core.filters.map_statistics_numba" in sys.modules)
"""


def test_without_numba_the_figures_are_the_same():
    said = []
    for without in (False, True):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM.format(without=without)],
            capture_output=True, text=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        said.append(done.stdout.splitlines())
    assert said[0][0] == said[1][0]
    assert [lines[1] for lines in said] == ["True", "False"]
