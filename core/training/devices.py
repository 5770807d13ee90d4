"""Where a training computes, and how its images get there."""

import torch
from torch import Tensor

from core.errors import Unavailable, one_of
from core.models.classifier import best_device


def device_named(name: str) -> torch.device:
    """The device of a setting: "auto" takes the best one.

    Raises:
        Unavailable: There is none of that kind on this computer.
    """
    if name == "auto":
        return best_device()
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there.get(name):
        present = ["auto", *(kind for kind, is_there in there.items() if is_there)]
        raise Unavailable(f"The device is {name!r}, but PyTorch finds none here. {one_of(present)}")
    return torch.device(name)


def moved(values: Tensor, device: torch.device) -> Tensor:
    """A tensor on the device; a GPU goes on computing while the copy is under way."""
    if device.type != "cuda":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)
