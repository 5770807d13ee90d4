"""One step of training: the loss of a batch, its gradient, and what moves the weights by it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.training.data import batches
from core.training.optimizers import Lookahead, gradient_norm, make_optimizer, rate_factor, set_rate_factor
from core.training.training_settings import TrainingSettings


@dataclass(frozen=True)
class Step:
    """What a step found, before it moved the weights.

    Attributes:
        loss: The mean over the batch.
        correct: How many images of the batch were right.
        gradient_norm: The length of the gradient of all weights as one vector, before it was clipped.
        skipped: The gradient was too large for 16-bit floats at the present scale: the weights were left as
            they were, and the scale made smaller for the next step.
        broken: The loss or the gradient is not a finite number; the weights were left as they were.
    """

    loss: float
    correct: int
    gradient_norm: float
    skipped: bool
    broken: bool


@dataclass(frozen=True)
class StepperState:
    """All that the next step depends on but the module's weights.

    Attributes:
        optimizer: As `torch.optim.Optimizer.state_dict` gives it.
        scaler: As `torch.amp.GradScaler.state_dict` gives it: empty where nothing is scaled.
        slow: The weights' slow average, with lookahead.
    """

    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    slow: dict[str, Tensor] | None


class Stepper:
    """Moves a module's weights, step after step, along a schedule whose length is known from the start.

    Source:
        Mixed precision as in Micikevicius et al. 2017, arXiv:1710.03740: weights and sums stay 32 bits.
        Without units for 16 bits it is thirty times slower, so most CPUs go without.
    """

    def __init__(
        self,
        module: nn.Module,
        where: torch.device,
        short: torch.dtype | None,
        settings: TrainingSettings,
        *,
        steps: int,
    ) -> None:
        """
        Args:
            short: The 16-bit floats of convolutions and products; None for 32 bits.
            steps: The number of steps of the whole training.
        """
        self.module, self.where, self.short = module, where, short
        self.steps, self.schedule = steps, settings.schedule
        self.label_smoothing, self.clip_gradient = settings.label_smoothing, settings.clip_gradient
        self.optimizer = make_optimizer(
            module, settings.optimizer, learning_rate=settings.learning_rate, momentum=settings.momentum,
            weight_decay=settings.weight_decay, batch_size=settings.batch_size, short=short,
        )  # fmt: skip
        self.slow = Lookahead(module) if settings.lookahead else None
        self.scaler = torch.amp.GradScaler(where.type, enabled=short == torch.float16)

    @property
    def learning_rate(self) -> float:
        return self.optimizer.param_groups[0]["lr"]

    def __call__(self, learner: nn.Module, inputs: Tensor, targets: Tensor, number: int) -> Step:
        """Do step `number`, counted from 1 over the whole training.

        The device is waited for once, when the loss, the hits and the gradient's length are read together.

        Args:
            learner: The module, or the part of it that the inputs go into.
        Shape:
            inputs: (N, …), what the learner takes
            targets: (N,) int64
        """
        set_rate_factor(self.optimizer, rate_factor(self.schedule, (number - 1) / self.steps))
        with torch.autocast(self.where.type, self.short, enabled=self.short is not None):
            output = learner(inputs)
            loss = loss_of(output, targets, self.label_smoothing)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        norm = gradient_norm(self.module.parameters())
        if self.clip_gradient:
            torch.nn.utils.clip_grads_with_norm_(self.module.parameters(), self.clip_gradient, norm)
        correct = (predictions(output) == targets).sum()
        found = torch.stack((loss.detach().float(), correct.float(), norm.float()))
        value, right, length = found.tolist()
        skipped = not math.isfinite(length) and self._may_shrink()
        broken = not math.isfinite(value) or (not math.isfinite(length) and not skipped)
        if not broken:
            if not skipped:
                self.optimizer.step()
            self.scaler.update()
            if self.slow:
                self.slow.step(self.module, number / self.steps, number)
        return Step(value, int(right), length, skipped and not broken, broken)

    def _may_shrink(self) -> bool:
        """Whether the loss is scaled up, so that an infinite gradient may be finite at a smaller scale."""
        return self.scaler.is_enabled() and self.scaler.get_scale() >= 1

    def state(self) -> StepperState:
        """What a run that is resumed needs."""
        return StepperState(
            self.optimizer.state_dict(), self.scaler.state_dict(), self.slow.slow if self.slow else None
        )

    def load(self, state: StepperState) -> None:
        """Take over what `state` gave, on this device or another, with or without a scale.

        Raises:
            ValueError: It is of other parameters.
        """
        self.optimizer.load_state_dict(state.optimizer)
        if state.scaler:  # the run may have begun where nothing is scaled
            self.scaler.load_state_dict(state.scaler)
        if self.slow:
            if state.slow is None:
                raise ValueError("the slow average of lookahead is missing")
            self.slow.slow = {name: value.to(self.where) for name, value in state.slow.items()}


def loss_of(output: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
    """The mean cross-entropy; of a single logit, the binary one.

    Shape:
        output: (N, K), or (N, 1) of a single logit
        targets: (N,) int64
    """
    output = output.float()
    if output.shape[1] > 1:
        return F.cross_entropy(output, targets, label_smoothing=label_smoothing)
    smooth = targets.float() * (1 - label_smoothing) + label_smoothing / 2
    return F.binary_cross_entropy_with_logits(output[:, 0], smooth)


def predictions(output: Tensor) -> Tensor:
    """(N,) int64 class indices of (N, K) logits, or of (N, 1) single ones."""
    return output.argmax(1) if output.shape[1] > 1 else (output[:, 0] > 0).long()


@torch.no_grad()
def validate(
    learner: nn.Module,
    feed: Callable[[np.ndarray], Tensor],
    labels: np.ndarray,
    batch_size: int,
    where: torch.device,
) -> tuple[float, float]:
    """Loss and accuracy on images held out; the learner is in evaluation mode already.

    Args:
        feed: From row numbers to what the learner takes.
    """
    found, counts = [], []
    for rows in batches(len(labels), max(batch_size, 256), None):
        output = learner(feed(rows))
        targets = torch.from_numpy(labels[rows]).to(where)
        right = (predictions(output) == targets).sum()
        found.append(torch.stack((loss_of(output, targets, 0.0).float(), right.float())))
        counts.append(len(rows))
    values = torch.stack(found).tolist()
    loss = sum(value * count for (value, _), count in zip(values, counts, strict=True))
    return loss / len(labels), sum(right for _, right in values) / len(labels)
