"""What a training run reads: images in the network's input size, cut into training, validation and test."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from core.data.dataset import ImageDataset, Split
from core.data.preprocessing import Preprocessing
from core.errors import SettingError


@dataclass(frozen=True)
class TrainingData:
    """The three parts of a run's data; `test` may be missing, `validation` too.

    Attributes:
        fingerprint: A hash of the pixels and labels of the whole data set, before any part was cut off.
    """

    train: Split
    validation: Split | None
    test: Split | None
    preprocessing: Preprocessing
    fingerprint: str


def prepare(
    dataset: ImageDataset, *, input_size: tuple[int, int] | None, channels: int | None, validation: float,
    train_images: int | None, seed: int, preprocessing: Preprocessing | None = None,
) -> TrainingData:  # fmt: skip
    """Cut off a stratified validation split where the data set has none.

    Args:
        input_size: (height, width) that the network takes; None for the data set's own.
        channels: 1 or 3 that the network takes; None for the data set's own.
        validation: Share of the training images that is held out; ignored where there is a split "val".
        train_images: How many images to train on, drawn with the classes in proportion; None for all.
        preprocessing: A pretrained network's own; otherwise mean and std are those of the training images.
    """
    train = dataset.split("train")
    held_out = dataset.splits.get("val")
    divided = held_out is None and validation > 0
    if train_images is not None:
        # What is held out shrinks with what is trained on: few images should not wait for many to be judged.
        train = train.subset(round(train_images / (1 - validation)) if divided else train_images, seed)
    if divided:
        train, held_out = train.divide(validation, seed)
    if preprocessing is None:
        mean, std = train.mean_std
        wanted = channels or train.channels
        if wanted != train.channels:
            mean, std = _with_channels(mean, wanted), _with_channels(std, wanted)
        preprocessing = Preprocessing(
            input_size=input_size or train.input_size,
            mean=mean,
            std=std,
            channels=wanted,
        )
    if len(train) < 2:
        raise SettingError(f"Only {len(train)} images are left to train on: use more, or hold out fewer.")
    return TrainingData(train, held_out, dataset.splits.get("test"), preprocessing, dataset.fingerprint)


def _with_channels(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    return values * 3 if channels == 3 else (sum(values) / len(values),)


def normalizer(preprocessing: Preprocessing, device: torch.device) -> Callable[[Tensor], Tensor]:
    """The function from pixels to normalized input, channels last in memory; its constants are moved once.

    Shape:
        pixels: (N, H, W, C) uint8 or float of 0…255, on the device
        returns: (N, C, H, W) float32
    """
    std, mean = torch.tensor(preprocessing.std), torch.tensor(preprocessing.mean)
    scale, shift = (1 / (255 * std)).to(device), (mean / std).to(device)
    return lambda pixels: pixels.to(torch.float32).mul(scale).sub_(shift).permute(0, 3, 1, 2)


def inputs_of(pixels: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Normalized input, channels last in memory: as `normalizer` makes it, for a single batch."""
    return normalizer(preprocessing, pixels.device)(pixels)


def batches(n: int, size: int, seed: int | None) -> Iterator[np.ndarray]:
    """Row numbers of one epoch in batches: in a random order by seed, or ascending.

    A last batch of a single image is left out of a random order, since batch norm needs two.
    """
    order = np.arange(n) if seed is None else np.random.default_rng(seed).permutation(n)
    for start in range(0, n, size):
        rows = order[start : start + size]
        if seed is None or len(rows) > 1:
            yield rows


def batches_an_epoch(n: int, size: int) -> int:
    return n // size + (n % size > 1)
