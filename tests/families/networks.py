"""One small network of every family of torchvision and timm, with lively random weights and small images."""

from functools import cache

import numpy as np
import torch
from torch import nn

from core.data.preprocessing import Preprocessing
from core.errors import SettingError
from core.models.architectures import models
from core.models.card import ModelCard
from core.models.classifier import Classifier

CLASSES = 10
# Of the side of an image; the first that the network takes counts.
SIDES = (64, 96, 128, 160, 192, 224, 240, 256, 288, 299, 384, 512, 1024)


def family_of(network: str) -> str:
    """The library and the file in it that a network is built by."""
    library, _, name = network.partition("/")
    if library == "timm":
        import timm

        return f"timm/{timm.model_entrypoint(name).__module__.rpartition('.')[2]}"
    import torchvision

    return f"torchvision/{torchvision.models.get_model_builder(name).__module__.rpartition('.')[2]}"


@cache
def families() -> frozenset[str]:
    """Every family that the installed libraries have."""
    import timm
    import torchvision

    known = torchvision.models.list_models(module=torchvision.models)
    return frozenset(
        {f"timm/{module}" for module in timm.list_modules()}
        | {family_of(f"torchvision/{name}") for name in known}
    )


def lively_classifier(network: str) -> Classifier:
    """The network for the smallest image that it takes."""
    for side in SIDES:
        torch.manual_seed(0)
        try:
            module = models["published"](
                channels=3, number_of_classes=CLASSES, input_size=(side, side), network=network
            )
            with torch.inference_mode():
                answer = module.eval()(torch.rand(2, 3, side, side))
        except (SettingError, RuntimeError, ValueError, AssertionError, IndexError):
            continue
        assert answer.shape == (2, CLASSES)
        enliven(module, side)
        preprocessing = Preprocessing((side, side), (0.5,) * 3, (0.25,) * 3)
        names = tuple(f"class {i}" for i in range(CLASSES))
        return Classifier(module, ModelCard(network, "published", names, preprocessing), torch.device("cpu"))
    raise AssertionError(f"{network} takes no square image of {SIDES}")


@torch.no_grad()
def enliven(module: nn.Module, side: int) -> None:
    """Weights with which every branch says something, as after some training.

    What begins at zero or close to it (the last norm of a block, the scale of a layer) would hide faults
    behind it; statistics of batch norm are those of some noise.
    """
    for parameter in module.parameters():
        if parameter.numel() and float(parameter.abs().max()) < 1e-3:
            parameter.uniform_(0.1, 0.5) if parameter.ndim <= 1 else parameter.normal_(0, 0.05)
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    if norms:
        module(torch.randn(4, 3, side, side))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    module.eval()


def pictures(side: int, n: int) -> np.ndarray:
    """Images with soft and hard parts: (n, side, side, 3) uint8."""
    generator = np.random.default_rng(0)
    coarse = generator.uniform(0, 255, (n, 8, 8, 3)).repeat(-(-side // 8), 1).repeat(-(-side // 8), 2)
    coarse = coarse[:, :side, :side]
    return np.clip(coarse + generator.normal(0, 20, coarse.shape), 0, 255).astype(np.uint8)
