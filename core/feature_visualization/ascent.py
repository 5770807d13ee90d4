"""Where a picture must go for a unit to answer more."""

import math

import torch
from torch import Tensor, nn

from core.attribution.gradients import NotFinite
from core.feature_visualization.transforms import Wobble, random_views
from core.models.classifier import Classifier
from core.network.hooks import opened_relus
from core.network.unit import Unit, outputs

RELU6_CEILING = 6.0  # of a ReLU6
ENGINE = "automatic differentiation through the whole network"
OPENED = "the gradient was let through inactive ReLUs, where it was 0 otherwise,"


class Ascent:
    """The gradient of a unit with respect to the picture, and what happened where it was 0."""

    def __init__(
        self, classifier: Classifier, unit: Unit, wobble: Wobble, views: int, generator: torch.Generator
    ) -> None:
        self.classifier, self.unit, self.wobble, self.views = classifier, unit, wobble, views
        self.generator = generator
        preprocessing = classifier.card.preprocessing
        self.mean = torch.tensor(preprocessing.mean, device=classifier.device)[:, None, None]
        self.std = torch.tensor(preprocessing.std, device=classifier.device)[:, None, None]
        self._has_ceiling = any(isinstance(part, nn.ReLU6) for part in classifier.module.modules())
        self.opened = 0  # steps whose gradient was let through silent ReLUs
        self.blocked = 0  # steps in a row without any gradient
        self.full = False  # the unit has reached the most that a ReLU6 lets through

    def pull(self, picture: Tensor) -> tuple[float, Tensor]:
        """The objective over some views, and its gradient with the length 1 (or 0 where there is none).

        The device is waited for once, when the objective and the gradient's length are read together.
        """
        state = self.generator.get_state()
        answer, gradient = self._gradient(picture)
        objective, length = torch.stack((answer, gradient.norm())).tolist()
        if length == 0:
            self.generator.set_state(state)
            with opened_relus(self.classifier.module):
                _, gradient = self._gradient(picture)
            length = float(gradient.norm())
            self.opened += length > 0
        if not (math.isfinite(objective) and math.isfinite(length)):
            raise NotFinite(
                f"The answer of {self.unit.title(self.classifier.card.class_names)}", self.classifier
            )
        self.blocked = 0 if length > 0 else self.blocked + 1
        self.full = self._has_ceiling and abs(objective - RELU6_CEILING) < 1e-4
        return objective, gradient / length if length > 0 else gradient

    def _gradient(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        with torch.inference_mode(False), torch.enable_grad():
            leaf = picture.clone().requires_grad_()
            inputs = random_views(
                ((leaf - self.mean) / self.std)[None], self.views, self.wobble, self.generator
            )
            output = outputs(self.classifier, self.unit.layer, inputs)
            objective = self.unit.objective(output).mean()
            if not objective.requires_grad:  # the layer does not depend on the picture
                return objective, torch.zeros_like(picture)
            (gradient,) = torch.autograd.grad(objective, leaf, allow_unused=True)
        return objective.detach(), torch.zeros_like(picture) if gradient is None else gradient

    def engine(self) -> str:
        """How the gradients were computed, in words for people."""
        if self.opened:
            return f"{ENGINE}; {OPENED} at {self.opened} step{'s' * (self.opened != 1)}"
        return ENGINE

    def note(self, title: str) -> str:
        if self.blocked and self.full:
            most = f"{RELU6_CEILING:g}, the most its ReLU6 lets through"
            return f"There is nothing left to climb: {title} is at {most}."
        if self.blocked:
            return (
                f"The picture stopped changing: no pixel has any influence on {title} here, not even with "
                "all ReLUs left open. The channel is dead, or a silent activation that is not a layer of its "
                "own stands in the way: try the convolution before it, another seed, or an image to start "
                "from."
            )
        if self.opened:
            steps = "step" if self.opened == 1 else "steps"
            return (
                f"At {self.opened} {steps} {title} was silent and its gradient 0: there the gradient was let "
                "through the inactive ReLUs, as if the value before the activation counted."
            )
        return ""


def roughness_gradient(picture: Tensor) -> Tensor:
    """The gradient of half the sum of squared differences between neighbors. (C, H, W)"""
    gradient = torch.zeros_like(picture)
    for axis in (1, 2):
        difference = picture.diff(dim=axis)
        n = picture.shape[axis]
        gradient.narrow(axis, 1, n - 1).add_(difference)
        gradient.narrow(axis, 0, n - 1).sub_(difference)
    return gradient
