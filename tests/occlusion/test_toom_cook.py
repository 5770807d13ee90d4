"""Products of polynomials: the transforms are exact, and few multiplications give the convolution."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.occlusion.changed_block import span
from core.occlusion.toom_cook import (
    LARGEST_PIECE,
    ProductConvolution,
    largest_piece,
    number_of_points,
    pieces,
    transforms,
)


def _taps(kernel: np.ndarray, points: int) -> np.ndarray:
    """The kernel at each point, as the products hold it."""
    at = (np.inf, 0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)[:points]
    return np.array([kernel[2] if np.isinf(p) else kernel @ p ** np.arange(3) for p in at])


@pytest.mark.parametrize("n", range(1, LARGEST_PIECE + 1))
def test_n_outputs_from_n_plus_two_inputs_are_the_correlation(n):
    rng = np.random.default_rng(n)
    inputs, kernel = rng.normal(size=n + 2), rng.normal(size=3)
    forth, back = transforms(False, n)
    found = back @ ((forth @ inputs) * _taps(kernel, n + 2))
    np.testing.assert_allclose(found, np.correlate(inputs, kernel, "valid"), atol=1e-10)


@pytest.mark.parametrize("n", range(1, LARGEST_PIECE + 1))
def test_what_n_inputs_add_to_n_plus_two_outputs_is_the_full_correlation(n):
    rng = np.random.default_rng(n)
    inputs, kernel = rng.normal(size=n), rng.normal(size=3)
    forth, back = transforms(True, n)
    found = back @ ((forth @ inputs) * _taps(kernel, n + 2))
    np.testing.assert_allclose(found, np.correlate(inputs, kernel, "full"), atol=1e-10)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, LARGEST_PIECE))
def test_pieces_cover_an_axis_once_and_cost_what_is_said(inputs, outputs, largest):
    made = pieces(inputs, outputs, largest)
    n = min(inputs, outputs)
    covered = [piece.offset + i for piece in made for i in range(piece.n)]
    assert covered == list(range(n))
    assert all(1 <= piece.n <= largest for piece in made)
    assert sum(piece.points for piece in made) == number_of_points(n, largest)
    assert largest_piece(inputs, outputs) == min(n, LARGEST_PIECE)


def test_fewer_multiplications_than_a_convolution():
    assert number_of_points(6) ** 2 < 9 * 6**2
    assert number_of_points(1) ** 2 == 9


def test_windows_that_change_nothing_add_nothing():
    weight = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    nothing = span(torch.tensor([5, 5]), torch.tensor([4, 4]), 8)
    rows = torch.ones(2 * 9 + 1, 4)
    change = torch.ones(2, nothing.length, nothing.length, 3)
    after = span(torch.tensor([5, 5]), torch.tensor([4, 4]), 8)
    onto = rows[: 2 * after.length**2 + 1].clone()
    ProductConvolution(weight).add(onto, change, (nothing, nothing), (after, after), (1, 1))
    assert torch.equal(onto[:-1], torch.ones_like(onto[:-1]))
