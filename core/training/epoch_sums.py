"""What the steps of an epoch add up to, and the record of it."""

from dataclasses import dataclass

import numpy as np

from core.history import EpochRecord


@dataclass
class EpochSums:
    """The sums over an epoch so far.

    Attributes:
        images, steps: Those that the weights were moved by.
        skipped: Steps that 16-bit floats had no room for: only their time counts.
        norm, largest_norm: The sum and the maximum of the gradient's length.
        seconds: The time that all steps took.
    """

    images: int = 0
    loss: float = 0.0
    correct: int = 0
    norm: float = 0.0
    largest_norm: float = 0.0
    steps: int = 0
    skipped: int = 0
    seconds: float = 0.0

    def add(self, loss: float, correct: int, images: int, norm: float) -> None:
        """Count one step.

        Args:
            loss: The mean over its images.
        """
        self.images += images
        self.loss += loss * images
        self.correct += correct
        self.norm += norm
        self.largest_norm = float(np.maximum(self.largest_norm, norm))  # stays NaN once it is
        self.steps += 1

    def record(self, epoch: int, step: int, learning_rate: float) -> EpochRecord:
        """The record of the epoch, without means where all of its steps were skipped.

        Args:
            step: The epoch's last step, counted from the beginning of the run.
        """
        skipped = self.skipped or None
        if not self.steps:
            return EpochRecord(epoch, step, skipped_steps=skipped, learning_rate=learning_rate)
        return EpochRecord(
            epoch, step, self.loss / self.images, self.correct / self.images, self.norm / self.steps,
            self.largest_norm, skipped, self.images / max(1e-9, self.seconds), learning_rate,
        )  # fmt: skip
