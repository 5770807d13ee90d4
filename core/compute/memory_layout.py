"""Which layout of maps in memory a network can work with."""

import inspect
from functools import cache

import torch
from torch import Tensor, nn

from core.compute.convolution import nothing_measured


def best_layout(module: nn.Module, example: Tensor) -> torch.memory_format:
    """Channels last, which is faster; contiguous for a network that cannot do with it.

    `maps.view(len(maps), -1)` fails on maps whose channels come last in memory. Only a network with a `view`
    in its code is tried.

    Args:
        module: The network on its device, with its weights channels last.
        example: (1, C, H, W), on the same device.
    """
    kinds: set[type] = {type(part) for part in module.modules()}
    if not any(_has_a_view(kind) for kind in kinds):
        return torch.channels_last
    try:
        with torch.inference_mode(), nothing_measured():
            module(example.contiguous(memory_format=torch.channels_last))
    except RuntimeError as error:
        if "view size is not compatible" in str(error):
            return torch.contiguous_format
    except Exception:  # noqa: BLE001 -- a network that fails here fails where its answer is wanted, and says so
        pass
    return torch.channels_last


@cache
def _has_a_view(kind: type) -> bool:
    if kind.__module__.startswith("torch.nn."):
        return False
    try:
        return ".view(" in inspect.getsource(kind)
    except (OSError, TypeError):
        return True  # code that cannot be read
