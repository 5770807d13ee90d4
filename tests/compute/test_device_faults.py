"""A fault of the device is not a network that cannot be followed."""

import pytest
import torch

from core.compute.device_faults import is_device_fault


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("MPS backend out of memory"),
        RuntimeError("Expected all tensors to be on the same device, but found at least two devices"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_faults_of_a_device(error):
    assert is_device_fault(error)


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes cannot be multiplied"), TypeError("cuda error"), ValueError()]
)
def test_faults_of_a_network(error):
    assert not is_device_fault(error)
