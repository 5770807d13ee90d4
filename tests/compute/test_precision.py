"""Analyses compute with all digits of 32-bit floats; what a training chose is its own process's business."""

import torch

from core.compute.precision import full_float32


def test_no_digits_are_left_out(monkeypatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", True)
    full_float32()
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
