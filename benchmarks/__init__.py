"""What is measured against what users would pick instead, side by side in one run.

`python -m benchmarks` runs every file of this folder and writes the table of docs/speed.md; with a name after
it, it runs one file. Each has a function `measure() -> list[Row]`. Machines are noisy: both sides take turns
in one process, medians are compared, and the ratio is what can be trusted.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import core  # noqa: F401  what it asks of PyTorch has to come before PyTorch

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        operation: What was done, on what.
        against: What it is compared with.
        ours: Seconds, median.
        theirs: Seconds, median.
        difference: How far the two results are apart, in words.
    """

    operation: str
    against: str
    ours: float
    theirs: float
    difference: str = ""

    @property
    def ratio(self) -> float:
        """How many times faster ours is."""
        return self.theirs / self.ours


def alternate(
    ours: Callable[[], object], theirs: Callable[[], object], repeats: int = 5
) -> tuple[float, float]:
    """Median seconds of each, taking turns, after one run of each to warm up."""
    ours(), theirs()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for kept, function in zip(times, (ours, theirs), strict=True):
            began = time.perf_counter()
            function()
            kept.append(time.perf_counter() - began)
    return statistics.median(times[0]), statistics.median(times[1])


def bare_forward(
    module: "nn.Module", inputs: "Tensor", sizes: tuple[int, ...]
) -> tuple[Callable[[], "Tensor"], int]:
    """The module alone on inputs that are ready, and how many it takes at once: what it does fastest.

    Args:
        sizes: To choose from, so that nobody wins by the size of the batches alone.
    """
    import torch

    @torch.inference_mode()
    def bare(size: int) -> "Tensor":
        return torch.cat([module(part) for part in inputs.split(size)])

    taken = {size: alternate(lambda size=size: bare(size), lambda: None, 2)[0] for size in sizes}
    best = min(sizes, key=lambda size: taken[size])
    return lambda: bare(best), best
