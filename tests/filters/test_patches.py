"""Patches at the border, kernels as pictures, near copies."""

import numpy as np
import torch

from core.filters.patches import patch, tile, with_box
from core.filters.similar_kernels import kernel_pictures, nearest_kernels


def image(channels=3, height=6, width=8):
    return np.random.default_rng(0).integers(1, 256, (height, width, channels), dtype=np.uint8)


def test_a_patch_equals_one_of_the_padded_image():
    pixels = image()
    padded = np.pad(np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)]), ((9, 9), (9, 9), (0, 0)))
    for top in range(-4, 8):
        for left in range(-4, 10):
            assert (
                patch(pixels, (top, left, 4, 5)) == padded[top + 9 : top + 13, left + 9 : left + 14]
            ).all()


def test_a_gray_patch_is_gray():
    out = patch(image(1), (0, 0, 3, 3))
    assert (out[..., 0] == out[..., 2]).all()
    assert (out[..., :1] == image(1)[:3, :3]).all()


def test_a_tile_enlarges_by_whole_pixels_and_shows_all_of_an_image_it_cannot_cut():
    pixels = image()
    out = tile(pixels, (1, 1, 3, 3), 10)
    assert (out[:9, :9, :3] == pixels[1:4, 1:4].repeat(3, 0).repeat(3, 1)).all()
    assert (out[9] == 0).all()
    assert (tile(pixels, (-50, -50, 100, 100), 8) == tile(pixels, None, 8)).all()
    assert (tile(pixels, None, 8)[1:7, :, :3] == pixels).all()
    assert tile(image(3, 40, 20), None, 10).shape == (10, 10, 4)


def test_the_box_stands_around_what_is_seen_and_leaves_the_rest():
    pixels = np.zeros((6, 8, 1), np.uint8)
    out = with_box(pixels, (2, -1, 3, 4), 10)
    changed = np.argwhere(out.any(axis=2))
    assert changed.min(0).tolist() == [20, 0]
    assert changed.max(0).tolist() == [49, 29]
    assert (with_box(pixels, None, 2) == 0).all()


def test_the_nearest_kernel_is_that_of_a_loop_over_cosines():
    torch.manual_seed(0)
    weight = torch.randn(700, 2, 3, 3)
    weight[5] = 3 * weight[600]
    weight[9] = 0
    nearest, cosine = nearest_kernels(weight)
    flat = weight.flatten(1).double().numpy()
    lengths = np.linalg.norm(flat, axis=1)
    for c in (0, 5, 9, 511, 512, 600, 699):
        cosines = flat @ flat[c] / np.maximum(lengths * lengths[c], 1e-12)
        cosines[c] = -2
        assert abs(cosines.max() - cosine[c]) < 1e-6
        if c != 9:
            assert nearest[c] == cosines.argmax()
    assert nearest[5] == 600
    assert nearest_kernels(weight[:1])[0].tolist() == [-1]


def test_kernels_keep_their_color_and_gray_is_zero():
    weight = torch.zeros(2, 3, 2, 2)
    weight[0, 0, 0, 0], weight[0, 2, 1, 1] = 0.5, -0.25
    out = kernel_pictures(weight)
    assert out.shape == (2, 2, 2, 3)
    assert out[0, 0, 0].tolist() == [255, 128, 128]
    assert out[0, 1, 1].tolist() == [128, 128, 64]
    assert (out[1] == 128).all()
