"""The parts that a run works with: network, optimizer and images, as its settings and its saved state say."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from core.compute.convolution import fast_convolutions
from core.compute.device_faults import is_device_fault
from core.data.fitting import fitted
from core.history import Record, StartRecord
from core.models.card import ModelCard
from core.models.checkpoint import build
from core.models.classifier import short_floats
from core.training.augmentation import augment
from core.training.best_weights import BestWeights
from core.training.data import TrainingData, batches_an_epoch, normalizer
from core.training.devices import moved
from core.training.folder import RunState, machine, state_does_not_fit
from core.training.freezing import freeze, head_of
from core.training.frozen_features import can_be_cut, stored_features
from core.training.preparation import data_and_card
from core.training.step import Stepper
from core.training.training_settings import TrainingSettings

Pixels = Callable[[np.ndarray], np.ndarray]  # from row numbers to (n, H, W, C) uint8
_IMAGES_TO_INITIALIZE_FROM = 5000


@dataclass(frozen=True)
class RunParts:
    """What a run works with.

    Attributes:
        short: The 16-bit floats of convolutions and products; None for 32 bits.
        stepper, weights: What moves the network's weights, and what keeps the best of them.
        pixels, held_out_pixels: The training images, and those held out, in the network's size.
        to_inputs: From pixels on the device to the network's input.
        learnable: The parameters that the network lets learn at all.
    """

    folder: Path
    settings: TrainingSettings
    where: torch.device
    short: torch.dtype | None
    data: TrainingData
    card: ModelCard
    module: nn.Module
    stepper: Stepper
    weights: BestWeights
    pixels: Pixels
    held_out_pixels: Pixels | None
    to_inputs: Callable[[Tensor], Tensor]
    learnable: tuple[nn.Parameter, ...]

    @property
    def steps_an_epoch(self) -> int:
        return batches_an_epoch(len(self.data.train), self.settings.batch_size)

    def start_record(self, state: RunState) -> StartRecord:
        """The record of a run that begins, or is taken up, at this state."""
        return StartRecord(
            epochs=self.settings.epochs,
            steps_an_epoch=self.steps_an_epoch,
            epoch=state.epoch,
            step=(state.epoch - 1) * self.steps_an_epoch + state.step,
            train_images=len(self.data.train),
            validation_images=len(self.data.validation or ()),
            device=str(self.where),
            machine=machine(),
            precision=str(self.short or torch.float32).removeprefix("torch."),
            parameters=sum(p.numel() for p in self.module.parameters()),
            settings=self.settings.as_values(),
        )


@dataclass(frozen=True)
class Feed:
    """What learns, and what it is fed with.

    Attributes:
        learner: The network, or its head alone.
        batch: From row numbers of the training images, the epoch and a source of chance to the learner's
            input.
        held_out: From row numbers of the images held out to the learner's input.
    """

    learner: nn.Module
    batch: Callable[[np.ndarray, int, torch.Generator], Tensor]
    held_out: Callable[[np.ndarray], Tensor]


def run_parts(folder: Path, settings: TrainingSettings, where: torch.device, state: RunState) -> RunParts:
    """Make the parts of a run, as they were when its state was saved.

    Raises:
        SettingError: A setting of the network or of the data set is not allowed.
        BadCheckpoint: The state is not one of this network.
    """
    data, card = data_and_card(folder.name, settings)
    torch.manual_seed(settings.seed)
    module = fast_convolutions(build(card).to(where).to(memory_format=torch.channels_last))
    pixels = fitted(data.train.images, data.preprocessing)
    to_inputs = normalizer(data.preprocessing, where)
    # A part's state does not hold the frozen rest, which is made again as it was made at first.
    if hasattr(module, "initialize_from") and (settings.learns_in_part or state.module is None):
        rows = np.random.default_rng(settings.seed).permutation(len(data.train))[:_IMAGES_TO_INITIALIZE_FROM]
        initialize = cast("Callable[[Tensor], None]", module.initialize_from)
        initialize(to_inputs(torch.from_numpy(pixels(rows)).to(where)))
    learnable = tuple(p for p in module.parameters() if p.requires_grad)
    short = short_floats(where) if settings.precision == "auto" else None
    steps = settings.epochs * batches_an_epoch(len(data.train), settings.batch_size)
    stepper = Stepper(module, where, short, settings, steps=steps)
    ever_learns = freeze(module, settings.trainable) if settings.learns_in_part else None
    weights = BestWeights(folder, module, card, half=settings.half, learning=ever_learns)
    if state.module is not None and state.stepper is not None:
        try:
            module.load_state_dict(state.module, strict=not settings.learns_in_part)
            stepper.load(state.stepper)
        except (RuntimeError, ValueError, KeyError) as error:
            if is_device_fault(error):
                raise
            raise state_does_not_fit(folder, error) from None
        weights.part = state.best_part
    held_out = fitted(data.validation.images, data.preprocessing) if data.validation is not None else None
    return RunParts(
        folder, settings, where, short, data, card, module, stepper, weights, pixels, held_out, to_inputs,
        learnable,
    )  # fmt: skip


def feed_of(run: RunParts, stop: Callable[[], bool]) -> Generator[Record, None, Feed | None]:
    """What the run's batches are made of: images, or stored features where only a head learns.

    Yields:
        Records of features that are computed.
    Returns:
        None where it was stopped.
    """
    settings = run.settings
    if (
        settings.trainable == "head"
        and settings.learns_in_part
        and not settings.augmentation.changes_something
    ):
        name, head = head_of(run.module)
        if can_be_cut(run.module, name, _inputs(run, run.pixels(np.arange(2)))):
            return (yield from _feed_of_features(run, name, head, stop))

    def batch(rows: np.ndarray, epoch: int, chance: torch.Generator) -> Tensor:
        images = moved(torch.from_numpy(run.pixels(rows)), run.where)
        images = augment(images, settings.augmentation, chance, rows=torch.from_numpy(rows), epoch=epoch)
        return run.to_inputs(images)

    def held_out(rows: np.ndarray) -> Tensor:
        assert run.held_out_pixels is not None
        return _inputs(run, run.held_out_pixels(rows))

    return Feed(run.module, batch, held_out)


def _feed_of_features(
    run: RunParts, name: str, head: nn.Module, stop: Callable[[], bool]
) -> Generator[Record, None, Feed | None]:
    sources = [(run.data.train, run.pixels)]
    if run.data.validation is not None and run.held_out_pixels is not None:
        sources.append((run.data.validation, run.held_out_pixels))
    stores = yield from stored_features(run.module, name, sources, run.data.preprocessing, run.where, stop)
    if stores is None:
        return None

    def read(store: np.ndarray, rows: np.ndarray) -> Tensor:
        return moved(torch.from_numpy(store[rows].astype(np.float32)), run.where)

    return Feed(head, lambda rows, epoch, chance: read(stores[0], rows), lambda rows: read(stores[1], rows))


def _inputs(run: RunParts, pixels: np.ndarray) -> Tensor:
    return run.to_inputs(moved(torch.from_numpy(pixels), run.where))
