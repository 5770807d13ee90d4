"""A training step that keeps the memory it frees, against one that gives it back, as glibc does by itself.

How memory is handled is a matter of the whole process, so each side has its own; they take turns.
"""

import json
import statistics
import subprocess
import sys
import time

from benchmarks import Row

IMAGES, STEPS, TURNS = 500, 3, 2


def measure() -> list[Row]:
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(TURNS):
        for kept, times in seconds.items():
            done = subprocess.run(
                [sys.executable, "-m", __name__, "keep" if kept else "give back"],
                stdout=subprocess.PIPE, text=True, check=True,
            )  # fmt: skip
            times += json.loads(done.stdout)
    return [
        Row(
            f"A training step of the wide CNN, {IMAGES} images, as `train` does it",
            "the same, freed memory given back to the system",
            statistics.median(seconds[True]), statistics.median(seconds[False]), "the same computation",
        )
    ]  # fmt: skip


def _steps(kept: bool) -> list[float]:
    """Seconds of each step after the first."""
    import torch
    import torch.nn.functional as F

    from core.compute.convolution import fast_convolutions
    from core.compute.malloc import keep_freed_memory
    from core.models.architectures import models
    from core.models.classifier import short_floats

    if kept:
        keep_freed_memory()
    torch.manual_seed(0)
    module = models["wide_cnn"](channels=3, number_of_classes=10, input_size=(32, 32), batch_norm=True)
    module = fast_convolutions(module.to(memory_format=torch.channels_last)).train()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9)
    inputs = torch.randn(IMAGES, 3, 32, 32).to(memory_format=torch.channels_last)
    labels = torch.arange(IMAGES) % 10
    short = short_floats(torch.device("cpu"))
    seconds = []
    for _ in range(STEPS + 1):
        began = time.perf_counter()
        with torch.autocast("cpu", short, enabled=short is not None):
            logits = module(inputs)
        loss = F.cross_entropy(logits.float(), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        seconds.append(time.perf_counter() - began)
    return seconds[1:]


if __name__ == "__main__":
    print(json.dumps(_steps(sys.argv[1] == "keep")))
