"""Ten epochs of training a head, with the frozen network run once, against running it in every epoch."""

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import Row
from core.history import EpochRecord
from core.paths import home
from core.training.train import train
from core.training.training_settings import TrainingSettings

IMAGES, EPOCHS = 600, 10
SETTINGS: dict[str, Any] = {
    "dataset": "digits", "input_size": 32, "architecture": "vgg", "trainable": "head",
    "architecture_settings": "depth=19; layout=small; dropout=0", "train_images": IMAGES, "validation": 0.0,
    "epochs": EPOCHS, "batch_size": 50, "precision": "float32",
}  # fmt: skip


def measure() -> list[Row]:
    os.environ.setdefault("CONVOSCOPE_HOME", tempfile.mkdtemp())

    def seconds(**changed: Any) -> tuple[float, float]:
        """From nothing to the last epoch, and the loss there."""
        shutil.rmtree(home("cache", "features"))
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            for record in train(Path(folder), TrainingSettings.of({**SETTINGS, **changed})):
                if isinstance(record, EpochRecord) and record.epoch == EPOCHS:
                    return time.perf_counter() - began, record.train_loss or 0.0
        raise AssertionError("the run ended before its last epoch")

    # What is never unfrozen is not cut off either: the same loop, with the whole network in every step.
    every_epoch = {"unfreeze_at": 1000}
    seconds(), seconds(**every_epoch)
    runs = [(seconds(), seconds(**every_epoch)) for _ in range(3)]
    ours, theirs = (float(np.median([run[i][0] for run in runs])) for i in (0, 1))
    apart = abs(runs[0][0][1] - runs[0][1][1])
    return [
        Row(
            f"{EPOCHS} epochs of a head on a frozen VGG19 at 32 × 32, {IMAGES} images",
            "the network run in every epoch",
            ours,
            theirs,
            f"losses {apart:.1e} apart",
        )
    ]
