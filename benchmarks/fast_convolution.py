"""Networks whose convolutions choose their way, against PyTorch's own, both channels last.

With random weights a network costs what it costs with trained ones.
"""

import copy
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import vgg19

from benchmarks import Row, alternate
from core.compute.convolution import fast_convolutions
from core.models.architectures import models
from core.models.classifier import short_floats

PLAIN = "plain PyTorch, channels last"


def measure() -> list[Row]:
    torch.manual_seed(0)
    wide = models["wide_cnn"](channels=3, number_of_classes=10, input_size=(32, 32))
    rows = [_step(wide, images) for images in (64, 128, 256)]
    rows += _passes("wide CNN at 32 × 32", wide, 32, batch=32)
    rows += _passes("VGG19 at 224 × 224", vgg19(weights=None), 224, batch=4)
    return rows


def _twins(module: nn.Module) -> tuple[nn.Module, nn.Module]:
    plain = copy.deepcopy(module).to(memory_format=torch.channels_last)
    return fast_convolutions(copy.deepcopy(plain)), plain


def _step(module: nn.Module, images: int) -> Row:
    """Forward, backward and SGD; ours in the floats that a training takes on this machine."""
    short = short_floats(torch.device("cpu"))
    inputs = torch.randn(images, 3, 32, 32).to(memory_format=torch.channels_last)
    labels = torch.arange(images) % 10
    losses: dict[bool, list[float]] = {True: [], False: []}

    def step(network: nn.Module, optimizer: torch.optim.Optimizer, ours: bool) -> None:
        with torch.autocast("cpu", short, enabled=ours and short is not None):
            logits = network(inputs)
        loss = F.cross_entropy(logits.float(), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses[ours].append(float(loss.detach()))

    sides: list[Callable[[], None]] = []
    for network, ours in zip(_twins(module.train()), (True, False), strict=True):
        optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
        sides.append(partial(step, network, optimizer, ours))
    mine, theirs = alternate(sides[0], sides[1], 3)
    apart = max(abs(a - b) for a, b in zip(losses[True], losses[False], strict=True))
    return Row(
        f"A training step of the wide CNN, {images} images", PLAIN, mine, theirs,
        f"{images / mine:.0f} images/s in {str(short or torch.float32)[6:]}; losses {apart:.1e} apart",
    )  # fmt: skip


def _passes(what: str, module: nn.Module, side: int, batch: int) -> list[Row]:
    fast, plain = (twin.eval().requires_grad_(False) for twin in _twins(module))
    inputs = torch.randn(batch, 3, side, side).to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def forward(network: nn.Module) -> Tensor:
        return network(inputs)

    def gradient(network: nn.Module) -> Tensor:
        given = inputs.clone().requires_grad_()
        return torch.autograd.grad(network(given)[:, 0].sum(), given)[0]

    rows = []
    for name, run in (("Forward pass", forward), ("Gradient of a logit by the image", gradient)):
        found, expected = run(fast), run(plain)
        apart = float((found - expected).abs().max() / expected.abs().max())
        times = alternate(partial(run, fast), partial(run, plain), 3)
        rows.append(Row(f"{name}, {what}, batch {batch}", PLAIN, *times, f"{apart:.1e} of the largest apart"))
    return rows
