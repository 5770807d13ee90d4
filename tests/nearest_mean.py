"""A classifier without training: linear, each logit from its class's mean image; about 90 % on Digits."""

from pathlib import Path

import numpy as np
import torch

from core.data.catalogue import open_dataset
from core.data.preprocessing import Preprocessing
from core.models.card import ModelCard
from core.models.checkpoint import build, save_checkpoint


def save_nearest_mean(folder: Path, *, noise: float = 0.0, sharpness: float = 8.0) -> ModelCard:
    """Save it as a checkpoint of the data set Digits.

    Args:
        noise: Of this spread is added to the means: the more, the worse it is.
    """
    dataset = open_dataset("digits")
    train = dataset.split("train")
    pixels = train.images[..., 0].reshape(len(train), -1) / 255
    means = np.stack([pixels[train.labels == i].mean(axis=0) for i in range(10)])
    means = means + np.random.default_rng(0).normal(size=means.shape) * noise
    card = ModelCard(
        folder.name, "mlp", dataset.class_names, Preprocessing((8, 8), (0.0,), (1.0,), channels=1),
        settings={"widths": ""}, title=folder.name, dataset="digits",
    )  # fmt: skip
    module = build(card)
    # −|x − m|² = 2 m·x − |m|² and something that is the same for every class
    weight = torch.tensor(2 * means * sharpness, dtype=torch.float32)
    bias = torch.tensor(-(means**2).sum(axis=1) * sharpness, dtype=torch.float32)
    module.load_state_dict({"output.weight": weight, "output.bias": bias})
    return save_checkpoint(folder, module, card)
