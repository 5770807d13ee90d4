"""Small networks with random weights, made the same every time."""

from collections.abc import Callable
from copy import deepcopy
from functools import cache

import numpy as np
import timm
import torch
import torchvision
from torch import nn

from core.data.preprocessing import Preprocessing
from core.models.architectures import models
from core.models.card import ModelCard
from core.models.classifier import Classifier
from core.models.surgery import prepare_for_analysis

SIDE = 48


def own(name: str, **settings: object) -> Callable[[], nn.Module]:
    return lambda: models[name](channels=3, number_of_classes=5, input_size=(SIDE, SIDE), **settings)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "small_cnn": own("small_cnn", widths="8,16,16", batch_norm=True),
    "tanh": own("small_cnn", widths="8,8,8", activation="tanh"),
    "resnet18": lambda: torchvision.models.resnet18(num_classes=5),
    "efficientnet_lite0": lambda: timm.create_model("tf_efficientnet_lite0", num_classes=5),
    "squeeze_excite": lambda: torchvision.models.mobilenet_v3_small(num_classes=5),
    "one_logit": lambda: nn.Sequential(own("small_cnn", widths="8,8,8")(), nn.Linear(5, 1)),
}


def classifier(name: str, device: str = "cpu") -> Classifier:
    """The network of that name, prepared as ours all are; "one_logit" has one output for two classes."""
    classes = 2 if name == "one_logit" else 5
    preprocessing = Preprocessing((SIDE, SIDE), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    card = ModelCard(name, name, tuple(f"class {i}" for i in range(classes)), preprocessing)
    return Classifier(deepcopy(_module(name)), card, torch.device(device))


@cache  # drawing millions of random weights takes longer than most of what is tested with them
def _module(name: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = NETWORKS[name]()
        for part in module.modules():  # random statistics, so that batch norm does something
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.normal_(0, 0.1)
                part.running_var.uniform_(0.5, 1.5)
    return prepare_for_analysis(module)


def photo(seed: int = 0) -> np.ndarray:
    """A picture with soft and hard parts, (48, 48, 3) uint8."""
    generator = np.random.default_rng(seed)
    coarse = generator.uniform(0, 255, (6, 6, 3)).repeat(8, 0).repeat(8, 1)
    return np.clip(coarse + generator.normal(0, 20, coarse.shape), 0, 255).astype(np.uint8)
