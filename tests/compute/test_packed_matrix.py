"""A matrix made ready multiplies as any other, whichever library does it."""

import numpy as np
import pytest
import torch

from core import store
from core.compute import packed_matrix
from core.compute.packed_matrix import PackedMatrix, can_be_ordered


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("into", [False, True])
@pytest.mark.parametrize("rows", [1, 7, 300])
def test_it_multiplies(ordered, with_bias, into, rows):
    rng = torch.Generator().manual_seed(rows)
    matrix, values = torch.randn(33, 70, generator=rng), torch.randn(rows, 70, generator=rng)
    bias = torch.randn(33, generator=rng) if with_bias else None
    out = torch.full((rows, 33), torch.nan) if into else None
    expected = values.double() @ matrix.double().T + (0 if bias is None else bias.double())
    with torch.inference_mode():
        found = PackedMatrix(matrix, bias, ordered=ordered).times(values, out=out)
    np.testing.assert_allclose(found.clone(), expected, atol=1e-4)
    if into:
        assert found.data_ptr() == out.data_ptr()


@pytest.mark.skipif(not can_be_ordered(), reason="this PyTorch has no oneDNN")
@pytest.mark.parametrize("faster", [False, True])
def test_the_faster_is_found_once_on_a_machine(faster, tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))  # of a machine that was never asked
    store.forget_memory()
    tried = []
    monkeypatch.setattr(packed_matrix, "_measured", lambda channels: tried.append(channels) or faster)
    monkeypatch.setattr(packed_matrix, "_chosen", {})
    assert PackedMatrix(torch.ones(3, 4))._ordered is faster
    packed_matrix._chosen.clear()
    store.forget_memory()  # as a new process would
    assert PackedMatrix(torch.ones(3, 4))._ordered is faster
    assert tried == [32]


@pytest.mark.skipif(not can_be_ordered(), reason="this PyTorch has no oneDNN")
@pytest.mark.parametrize(
    ("shape", "like"), [((64, 64), 64), ((64, 180), 128), ((512, 130), 256), ((9000, 4096), 1024)]
)
def test_what_is_tried_is_about_as_large(shape, like, tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))
    store.forget_memory()
    tried = []
    monkeypatch.setattr(packed_matrix, "_measured", lambda channels: tried.append(channels) or False)
    monkeypatch.setattr(packed_matrix, "_chosen", {})
    PackedMatrix(torch.ones(shape))
    assert tried == [like]
    store.forget_memory()  # what was made up here
