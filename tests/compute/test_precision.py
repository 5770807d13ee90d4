"""Analyses compute with all digits of 32-bit floats; what a training chose is its own process's business."""

import torch

from core.compute.precision import full_float32


def test_no_digits_are_left_out() -> None:
    settings = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [one.allow_tf32 for one in settings]
    try:
        for one in settings:
            one.allow_tf32 = True
        full_float32()
        assert [one.allow_tf32 for one in settings] == [False, False]
    finally:
        for one, value in zip(settings, before, strict=True):
            one.allow_tf32 = value
