"""Training: a generator of records, one every few steps and one an epoch, that can be taken up at any step.

What is random at a step (dropout, augmentation) comes from a seed of its own, made from the run's seed, the
epoch and the step. So a run that was stopped and resumed is equal to one that was not, to the last digit on a
CPU.
"""

import hashlib
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from core.history import EpochRecord, Record, StepRecord
from core.training.data import batches
from core.training.devices import device_named, moved
from core.training.epoch_sums import EpochSums
from core.training.folder import RunState, claim_folder, load_state, save_state
from core.training.freezing import freeze, set_training
from core.training.preparation import network_of
from core.training.results import store_results
from core.training.run_parts import Feed, RunParts, feed_of, run_parts
from core.training.step import validate
from core.training.training_settings import TrainingSettings

SECONDS_BETWEEN_SAVES = 300.0  # within a long epoch
_REPORTS_AN_EPOCH = 20


def never() -> bool:
    """The default of `stop`: the run goes on to its end."""
    return False


def train(folder: Path, settings: TrainingSettings, *, stop: Callable[[], bool] = never) -> Iterator[Record]:
    """Train a network, or go on with the run that is in the folder.

    Every epoch the folder gets `state.pt`, and after the best one so far `weights.safetensors` and
    `card.json` (where only a part learns, every 30 seconds at most); at the end the best weights are
    measured on the test images and the card says what they reached. The caller writes the records with
    `core.training.folder.write_record`, each before it asks for the next one.

    Args:
        folder: The run's own folder.
        stop: Asked at every step; when it says True the run is saved and ends, to be resumed.
    Yields:
        A "start", then "step" and "epoch" records, and an "end" with the verdict unless it was stopped.
    Raises:
        SettingError: The folder holds a run with other settings.
        Unavailable: The device is not there.
        BadCheckpoint: The folder's state is damaged, or of another version.
    """
    where = claim_run(folder, settings)
    state = load_state(folder)
    if state.finished:
        return
    run = run_parts(folder, settings, where, state)
    feed = yield from feed_of(run, stop)
    if feed is None:
        return
    yield run.start_record(state)
    at = _Position(state.epoch, state.step, list(state.past), best_of(state.past), state.sums)
    labels = torch.from_numpy(run.data.train.labels)
    broken = False
    while at.epoch <= settings.epochs and not broken:
        ended = yield from _steps(run, feed, at, labels, stop)
        if ended is None:
            return
        broken = ended.broken
        began = time.perf_counter()
        record = at.sums.record(at.epoch, ended.step, run.stepper.learning_rate)
        if run.data.validation is not None and not broken:
            run.module.eval()
            loss, accuracy = validate(
                feed.learner, feed.held_out, run.data.validation.labels, settings.batch_size, where
            )
            record = replace(record, validation_loss=loss, validation_accuracy=accuracy)
        record = replace(record, seconds=at.sums.seconds + time.perf_counter() - began)
        at.past.append(record)
        yield record
        if not broken and is_better(record, at.best):
            at.best = record
            run.weights.keep()
        at.epoch, at.step, at.sums = at.epoch + 1, 0, EpochSums()
        if not broken:
            _save(run, at)
    yield store_results(run, at.past, at.best, broken=broken)
    save_state(folder, RunState(finished=True))


def claim_run(folder: Path, settings: TrainingSettings) -> torch.device:
    """Make the folder this run's, or check that it is, after all that can be refused at once; its device.

    Raises:
        SettingError: A setting of the network is not allowed, or the folder holds another run.
        Unavailable: The device is not there.
    """
    where = device_named(settings.device)
    network_of(settings)
    claim_folder(folder, settings)
    return where


@dataclass
class _Position:
    """Where a run stands: the epoch under way, and how many of its steps are done."""

    epoch: int
    step: int
    past: list[EpochRecord]
    best: EpochRecord | None
    sums: EpochSums
    saved_at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class _Ended:
    """How the steps of an epoch ended: the last one, counted over the run, and whether the loss is finite."""

    step: int
    broken: bool


def _steps(
    run: RunParts, feed: Feed, at: _Position, labels: Tensor, stop: Callable[[], bool]
) -> Generator[Record, None, _Ended | None]:
    """Do the steps of an epoch that are not done yet.

    Returns:
        None where the run was stopped; it is saved then.
    """
    learning = _learning_in(run, at.epoch)
    settings, steps = run.settings, run.steps_an_epoch
    reported = max(1, steps // _REPORTS_AN_EPOCH)
    order = batches(len(run.data.train), settings.batch_size, mixed_seed(settings.seed, at.epoch))
    for number, rows in enumerate(order, start=1):
        if number <= at.step:
            continue
        if stop():
            run.weights.finish()
            _save(run, at)
            return None
        began = time.perf_counter()
        torch.manual_seed(mixed_seed(settings.seed, at.epoch, number))
        chance = torch.Generator().manual_seed(mixed_seed(settings.seed, at.epoch, number, 1))
        set_training(run.module, learning)
        total = (at.epoch - 1) * steps + number
        batch, targets = feed.batch(rows, at.epoch, chance), moved(labels[rows], run.where)
        found = run.stepper(feed.learner, batch, targets, total)
        at.step = number
        seconds = time.perf_counter() - began
        at.sums.seconds += seconds
        if found.skipped:
            at.sums.skipped += 1
        else:
            at.sums.add(found.loss, found.correct, len(rows), found.gradient_norm)
        if number % reported == 0 or number == steps or found.broken:
            yield StepRecord(
                at.epoch, total, found.loss, found.correct / len(rows), run.stepper.learning_rate,
                None if found.skipped else found.gradient_norm, len(rows) / max(1e-9, seconds),
            )  # fmt: skip
        if found.broken:
            return _Ended(total, broken=True)
        if time.monotonic() - at.saved_at > SECONDS_BETWEEN_SAVES:
            _save(run, at)
    return _Ended((at.epoch - 1) * steps + at.step, broken=False)


def _learning_in(run: RunParts, epoch: int) -> set[nn.Module]:
    """The modules that learn in an epoch; the others are frozen."""
    for parameter in run.learnable:
        parameter.requires_grad_(True)
    return freeze(run.module, run.settings.trainable_in(epoch))


def _save(run: RunParts, at: _Position) -> None:
    save_state(
        run.folder,
        RunState(
            at.epoch, at.step, tuple(at.past), at.sums, run.weights.changing(), run.weights.part,
            run.stepper.state(),
        ),
    )  # fmt: skip
    at.saved_at = time.monotonic()


def is_better(record: EpochRecord, best: EpochRecord | None) -> bool:
    """Whether an epoch is the best so far: by accuracy, then loss, on images held out; else always."""
    if best is None or record.validation_accuracy is None or record.validation_loss is None:
        return True
    assert best.validation_accuracy is not None
    assert best.validation_loss is not None
    new = (record.validation_accuracy, -record.validation_loss)
    return new > (best.validation_accuracy, -best.validation_loss)


def best_of(past: Sequence[EpochRecord]) -> EpochRecord | None:
    """The best of some epochs; None where there is none."""
    best = None
    for record in past:
        best = record if is_better(record, best) else best
    return best


def mixed_seed(*numbers: int) -> int:
    """One seed of several numbers, without the likeness of neighboring seeds."""
    digest = hashlib.blake2b(repr(numbers).encode(), digest_size=7).digest()
    return int.from_bytes(digest, "little")
