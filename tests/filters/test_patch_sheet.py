"""Patches by rank and filter as one picture."""

import numpy as np
import pytest

from core.filters.patch_sheet import BEYOND, GAP, HEAD, MARGIN, PAPER, patch_sheet


def test_every_patch_stands_at_its_rank_and_filter():
    rng = np.random.default_rng(0)
    tiles = [rng.integers(0, 256, (k, 20, 20, 4), dtype=np.uint8) for k in (3, 2)]
    for column in tiles:
        column[..., 3] = 255
    tiles[0][1, :5, :, 3] = 0
    sheet = patch_sheet(tiles, [("conv1", "100"), ("features.12.block.conv2", "7")])
    assert sheet.shape == (HEAD + 3 * (20 + GAP), MARGIN + 2 * (20 + GAP), 3)
    for number, column in enumerate(tiles):
        for rank, tile in enumerate(column):
            top, left = HEAD + rank * (20 + GAP), MARGIN + number * (20 + GAP)
            shown = sheet[top : top + 20, left : left + 20]
            expected = tile[..., :3].copy()
            expected[tile[..., 3] == 0] = BEYOND
            np.testing.assert_array_equal(shown, expected)
    empty = sheet[HEAD + 2 * (20 + GAP) :, MARGIN + 20 + GAP :]
    assert (empty == PAPER).all()


def test_a_picture_of_nothing_is_refused():
    with pytest.raises(ValueError, match="0 columns"):
        patch_sheet([], [])
