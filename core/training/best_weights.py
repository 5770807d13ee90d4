"""The best epoch's weights of a run, as a checkpoint that is not written more often than it pays.

Those of a whole network are written at once. Where only a part learns (a head on 80 MB of frozen weights, an
epoch of which takes milliseconds), the part is kept, saved with the run's state, and the checkpoint follows
now and then.
"""

import time
from pathlib import Path

import torch
from torch import Tensor, nn

from core.models.card import ModelCard
from core.models.checkpoint import save_checkpoint
from core.training.freezing import names_in

SECONDS_BETWEEN_CHECKPOINTS = 30.0  # of a part that learns


class BestWeights:
    """What `keep` was called for last, to be written as a checkpoint."""

    def __init__(
        self, folder: Path, module: nn.Module, card: ModelCard, *, half: bool, learning: set[nn.Module] | None
    ) -> None:
        """
        Args:
            half: Store floats in 16 bits.
            learning: The modules that ever learn in this run; None for all of them.
        """
        self.folder, self.module, self.card, self.half = folder, module, card, half
        self.names = None if learning is None else names_in(module, learning)
        self.part: dict[str, Tensor] = {}
        self._written_at = -SECONDS_BETWEEN_CHECKPOINTS

    def changing(self) -> dict[str, Tensor]:
        """The tensors of the module that ever change in this run, by name."""
        held = self.module.state_dict()
        return held if self.names is None else {name: held[name] for name in self.names}

    def keep(self) -> None:
        """Note that the module's present weights are the best so far."""
        if self.names is not None:
            self.part = _copy(self.changing())
            if time.monotonic() - self._written_at < SECONDS_BETWEEN_CHECKPOINTS:
                return
        self._write()

    def finish(self) -> None:
        """Write what was kept and is not written yet."""
        if not self.part:
            return
        now = _copy(self.changing())
        self.module.load_state_dict(self.part, strict=False)
        self._write()
        self.module.load_state_dict(now, strict=False)

    def _write(self) -> None:
        save_checkpoint(self.folder, self.module, self.card, half=self.half)
        self._written_at = time.monotonic()


def _copy(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.clone(value.detach()) for name, value in tensors.items()}
