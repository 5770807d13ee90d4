"""One step of training: the loss of a batch, its gradient, and what moves the weights by it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.history import Record
from core.training.data import batches
from core.training.optimizers import Lookahead, gradient_norm, make_optimizer, rate_factor, set_rate_factor


@dataclass(frozen=True)
class Step:
    """What a step found, before it moved the weights.

    Attributes:
        loss: Mean over the batch.
        correct: How many of the batch were right.
        gradient_norm: Of all weights as one vector, before it was clipped.
        broken: Loss or gradient is no finite number; the weights were left as they were.
    """

    loss: float
    correct: int
    gradient_norm: float
    broken: bool


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
        *,
        steps: int,
        batch_size: int,
        optimizer: str,
        learning_rate: float,
        schedule: str,
        momentum: float,
        weight_decay: float,
        label_smoothing: float,
        clip_gradient: float,
        lookahead: bool,
    ) -> None:
        """
        Args:
            short: The 16-bit floats of convolutions and products; None for 32 bits.
            steps: Of the whole training; the others are settings of `train`.
        """
        self.module, self.where, self.short = module, where, short
        self.steps, self.schedule = steps, schedule
        self.label_smoothing, self.clip_gradient = label_smoothing, clip_gradient
        self.optimizer = make_optimizer(
            module, optimizer, learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay,
            batch_size=batch_size, short=short,
        )  # fmt: skip
        self.slow = Lookahead(module) if lookahead else None
        self.scaler = torch.amp.GradScaler(where.type, enabled=short == torch.float16)

    @property
    def learning_rate(self) -> float:
        return self.optimizer.param_groups[0]["lr"]

    def __call__(self, learner: nn.Module, inputs: Tensor, targets: Tensor, number: int) -> Step:
        """Do step `number`, counted from 1 over the whole training.

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
        if self.clip_gradient and norm > self.clip_gradient:
            gradients = [p.grad for p in self.module.parameters() if p.grad is not None]
            torch._foreach_mul_(gradients, self.clip_gradient / norm)
        value = float(loss.detach())
        # With a scale an infinite gradient is no accident: the step is left out and the scale made smaller.
        broken = not math.isfinite(value) or (not math.isfinite(norm) and not self.scaler.is_enabled())
        if not broken:
            self.scaler.step(self.optimizer)
            self.scaler.update()
            if self.slow:
                self.slow.step(self.module, number / self.steps, number)
        return Step(value, int((predictions(output) == targets).sum()), norm, broken)

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on but the module's weights."""
        held = {"optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict()}
        return held | ({"slow": self.slow.slow} if self.slow else {})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave.

        Raises:
            ValueError: It is of other parameters.
        """
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        if self.slow:
            self.slow.slow = {name: value.to(self.where) for name, value in state["slow"].items()}


def loss_of(output: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
    """Mean cross-entropy; of a single logit, binary.

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
) -> Record:
    """Loss and accuracy on images held out; the learner is in evaluation mode already.

    Args:
        feed: From row numbers to what the learner takes.
    """
    loss, right = 0.0, 0
    for rows in batches(len(labels), max(batch_size, 256), None):
        output = learner(feed(rows))
        targets = torch.from_numpy(labels[rows]).to(where)
        loss += float(loss_of(output, targets, 0.0)) * len(rows)
        right += int((predictions(output) == targets).sum())
    return {"validation_loss": loss / len(labels), "validation_accuracy": right / len(labels)}
