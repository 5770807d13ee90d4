"""The optimizers, and how the learning rate changes over a run."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

NORMALIZATION_LAYERS = (
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm, nn.InstanceNorm1d, nn.InstanceNorm2d,
    nn.InstanceNorm3d, nn.GroupNorm,
)  # fmt: skip


def rate_factor(schedule: str, done: float) -> float:
    """What the learning rate is multiplied by when the share `done` (0…1) of all steps is over."""
    if schedule == "linear":
        return 1 - done
    if schedule == "cosine":
        return (1 + math.cos(math.pi * done)) / 2
    if schedule == "one_cycle":
        if done < 0.3:
            return 0.04 + 0.96 * (1 - math.cos(math.pi * done / 0.3)) / 2
        return (1 + math.cos(math.pi * (done - 0.3) / 0.7)) / 2
    return 1.0


def make_optimizer(
    module: nn.Module,
    name: str,
    *,
    learning_rate: float,
    momentum: float,
    weight_decay: float,
    batch_size: int = 2000,
    short: torch.dtype | None = None,
) -> torch.optim.Optimizer:
    """An optimizer over all parameters, frozen ones too, so that they can be unfrozen later.

    Biases and norm layers are not decayed. `weight_decay` is added to the gradient by sgd and adam and
    applied to the weights by adamw and muon. The batch size and the type that has units of its own, if one
    has, matter to muon only.
    """
    if name == "muon":
        return Muon(
            module, learning_rate=learning_rate, momentum=momentum, weight_decay=weight_decay,
            batch_size=batch_size, short=short,
        )  # fmt: skip
    matrices = [p for p in module.parameters() if p.ndim > 1]
    vectors = [p for p in module.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    if name == "sgd":
        optimizer: torch.optim.Optimizer = torch.optim.SGD(
            groups, lr=learning_rate, momentum=momentum, nesterov=momentum > 0, fused=True
        )
    else:
        kind = torch.optim.AdamW if name == "adamw" else torch.optim.Adam
        optimizer = kind(groups, lr=learning_rate, fused=True)
    for group in optimizer.param_groups:
        group["full_rate"] = group["lr"]
    return optimizer


def set_rate_factor(optimizer: torch.optim.Optimizer, factor: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = group["full_rate"] * factor


class Muon(torch.optim.Optimizer):
    """Momentum whose step is made orthogonal: every direction of a filter bank moves equally far.

    Filters of at least two dimensions go this way, and are kept at the length √filters, which is free where
    batch norm follows and makes one learning rate fit all layers. The last linear layer and all vectors go
    the way of SGD with Nesterov momentum 0.85, at rates that are fixed multiples of the filters' rate and of
    the batch size, as if the loss were the batch's sum: an orthogonal step has the same length whatever the
    batch, theirs shrinks with the mean. The shifts of batch norm learn a few hundred times faster than is
    usual, which these networks need.

    Source:
        Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks";
        the multiples were worked out from the rates of KellerJordan/cifar10-airbench for a mean loss.
    """

    VECTOR_RATE = 0.22  # times the learning rate and the batch size
    HEAD_RATE = 2.8  # the same, by the square of the number of inputs
    NESTEROV = 0.85

    def __init__(
        self,
        module: nn.Module,
        *,
        learning_rate: float,
        momentum: float,
        weight_decay: float,
        batch_size: int,
        short: torch.dtype | None = None,
    ) -> None:
        # A direction needs few digits; those of float16 would be enough, but not its smallest numbers.
        self.direction_type = torch.bfloat16 if short == torch.bfloat16 else torch.float32
        linear = [m for m in module.modules() if isinstance(m, nn.Linear)]
        head = linear[-1].weight if linear else None
        filters = [p for p in module.parameters() if p.ndim > 1 and p is not head]
        norms = [m for m in module.modules() if isinstance(m, NORMALIZATION_LAYERS)]
        slow = [p for p in (*(m.weight for m in norms), *(m.bias for m in linear)) if p is not None]
        known = {id(p) for p in slow}
        vectors = [p for p in module.parameters() if p.ndim <= 1 and id(p) not in known]
        groups: list[dict[str, Any]] = [
            {"params": filters, "lr": learning_rate, "orthogonal": True, "momentum": momentum},
            {"params": slow, "lr": learning_rate},
            {"params": vectors, "lr": learning_rate * batch_size * self.VECTOR_RATE},
        ]
        if head is not None:
            rate = learning_rate * batch_size * self.HEAD_RATE / head.shape[1] ** 2
            groups.append({"params": [head], "lr": rate})
        defaults = {"orthogonal": False, "momentum": self.NESTEROV, "weight_decay": weight_decay}
        super().__init__([group for group in groups if group["params"]], defaults)
        for group in self.param_groups:
            group["full_rate"] = group["lr"]

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            rate, momentum = group["lr"], group["momentum"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                gradient = parameter.grad
                state = self.state[parameter]
                if not group["orthogonal"] and group["weight_decay"]:
                    # As a share of the weight at each full-rate step, however large the rate is.
                    gradient = gradient + (group["weight_decay"] / group["full_rate"]) * parameter
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(parameter)
                velocity = state["momentum"].mul_(momentum).add_(gradient)
                gradient = gradient.add(velocity, alpha=momentum)
                if group["orthogonal"]:
                    parameter.mul_(len(parameter) ** 0.5 / parameter.norm().clamp_min(1e-12))
                    matrix = gradient.reshape(len(gradient), -1).to(self.direction_type)
                    gradient = orthogonal(matrix).reshape(gradient.shape)
                parameter.add_(gradient, alpha=-rate)


def orthogonal(matrix: Tensor, rounds: int = 3) -> Tensor:
    """The matrix with its singular values brought near 1 (0.3 to 1.6 after three rounds), without an SVD.

    An odd polynomial of the matrix acts on its singular values alone; this one lifts small ones steeply.
    """
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = wide / (wide.norm() + 1e-7)
    for _ in range(rounds):
        gram = x @ x.T
        even = torch.addmm(gram, gram, gram, beta=-4.7750, alpha=2.0315)
        x = torch.addmm(x, even, x, beta=3.4445)
    return x.T if matrix.shape[0] > matrix.shape[1] else x


def gradient_norm(parameters: Iterable[nn.Parameter]) -> Tensor:
    """The length of the whole gradient as one vector: a number that stays on the device.

    Shape:
        returns: () float32
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    return torch.nn.utils.get_total_norm(gradients) if gradients else torch.zeros(())


class Lookahead:
    """Every five steps the weights are drawn to their slow average, and at the end they become it.

    The average follows closely at first and slowly at last: its decay is 0.95⁵ times the third power of the
    share of all steps that is done.

    Source:
        Zhang, Lucas, Hinton, Ba 2019, "Lookahead Optimizer: k steps forward, 1 step back", arXiv:1907.08610
    """

    EVERY = 5

    def __init__(self, module: nn.Module) -> None:
        self.slow = {name: v.detach().clone() for name, v in self._fast(module).items()}

    @staticmethod
    def _fast(module: nn.Module) -> dict[str, Tensor]:
        return {name: v for name, v in module.state_dict().items() if v.is_floating_point()}

    @torch.no_grad()
    def step(self, module: nn.Module, done: float, number: int) -> None:
        """After the optimizer's step `number` (from 1), when the share `done` of all steps is over."""
        last = done >= 1
        if number % self.EVERY and not last:
            return
        decay = 1.0 if last else 0.95**5 * done**3
        for name, fast in self._fast(module).items():
            slow = self.slow[name]
            slow.lerp_(fast, 1 - decay)
            fast.copy_(slow)
