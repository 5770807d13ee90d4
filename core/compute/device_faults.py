"""Whether an error means that the device failed, and not that a network cannot be treated in some way."""

import torch

# What the drivers write where PyTorch has no class of its own for it.
_FAULT_WORDS = (
    "cuda error", "cudnn error", "cublas error", "hip error", "mps backend", "out of memory",
    "can't allocate memory", "not enough memory", "device-side assert", "on the same device",
)  # fmt: skip


def is_device_fault(error: BaseException) -> bool:
    """Whether an error comes from the device or its memory, or from tensors on several devices.

    An analysis that falls back to a general way where a network cannot be followed must not do so then: the
    general way would fail as well, or hide the fault and be slow.
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    accelerator: type[BaseException] | None = getattr(torch, "AcceleratorError", None)
    if accelerator is not None and isinstance(error, accelerator):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _FAULT_WORDS)
