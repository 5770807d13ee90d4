"""Training: a generator of records, one every few steps and one an epoch, that can be taken up at any step.

What is random at a step (dropout, augmentation) comes from a seed of its own, made from the run's seed, the
epoch and the step. So a run that was stopped and resumed is equal to one that was not, to the last digit on a
CPU.
"""

import dataclasses
import hashlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from core.compute.convolution import fast_convolutions
from core.data.catalogue import open_for_training
from core.data.fitting import fitted
from core.data.preprocessing import Preprocessing
from core.errors import BadCheckpoint
from core.evaluation.accuracy import measure
from core.history import Record
from core.models.architectures import models
from core.models.batch_norm_folding import check_foldable, folded
from core.models.card import ModelCard
from core.models.checkpoint import build, load_checkpoint, save_checkpoint
from core.models.classifier import best_device, short_floats
from core.registry import Member
from core.runs.verdict import verdict
from core.settings import Choice, Range, Text, assignments_in, check_settings, settings_of
from core.training.augmentation import Augmentation, augment
from core.training.best_weights import BestWeights
from core.training.data import TrainingData, batches, batches_an_epoch, inputs_of, prepare
from core.training.folder import (
    LAST,
    STATE,
    claim_folder,
    command_of,
    load_state,
    machine,
    save_state,
    versions,
    write_atomically,
)
from core.training.freezing import freeze, head_of, set_training
from core.training.frozen_features import can_be_cut, stored_features
from core.training.step import Step, Stepper, validate

SAVE_SECONDS = 300.0  # within a long epoch the run is saved this often


def never() -> bool:
    """For a run that nobody stops."""
    return False


def train(
    folder: Path,
    *,
    dataset: Annotated[str, Text(r"\S.*", "fashion_mnist")] = "fashion_mnist",
    dataset_settings: Annotated[str, Text(example="seed=1; grid=0.5")] = "",
    architecture: Annotated[str, Text(r"\w+", "small_cnn")] = "small_cnn",
    architecture_settings: Annotated[str, Text(example="widths=64,128; dropout=0.5")] = "",
    input_size: Annotated[int | None, Range(8, 512), "pixels"] = None,
    epochs: Annotated[int, Range(1, 1000)] = 10,
    batch_size: Annotated[int, Range(2, 4096)] = 128,
    optimizer: Annotated[str, Choice("sgd", "adam", "adamw", "muon")] = "adam",
    learning_rate: Annotated[float, Range(1e-6, 10, logarithmic=True)] = 0.001,
    schedule: Annotated[str, Choice("constant", "linear", "cosine", "one_cycle")] = "constant",
    momentum: Annotated[float, Range(0, 0.999)] = 0.9,
    weight_decay: Annotated[float, Range(0, 1)] = 0.0,
    label_smoothing: Annotated[float, Range(0, 0.9)] = 0.0,
    clip_gradient: Annotated[float, Range(0, 1000)] = 0.0,
    lookahead: bool = False,
    flip: Annotated[str, Choice("none", "random", "alternating")] = "none",
    crop: Annotated[int, Range(0, 64), "pixels"] = 0,
    color: Annotated[float, Range(0, 1)] = 0.0,
    rand_augment: Annotated[int, Range(0, 10)] = 0,
    cutout: Annotated[int, Range(0, 256), "pixels"] = 0,
    trainable: Annotated[str, Choice("everything", "head", "last block")] = "everything",
    unfreeze_at: Annotated[int, Range(0, 1000), "epoch"] = 0,
    validation: Annotated[float, Range(0, 0.5)] = 0.1,
    train_images: Annotated[int | None, Range(2, 10_000_000)] = None,
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0,
    fold_batch_norm: bool = False,
    half: bool = False,
    test_flips: bool = False,
    precision: Annotated[str, Choice("auto", "float32")] = "auto",
    device: Annotated[str, Choice("auto", "cpu", "cuda", "mps")] = "auto",
    stop: Callable[[], bool] = never,
) -> Iterator[Record]:
    """Train a network, or go on with the run that is in the folder.

    Every epoch the folder gets `state.pt`, and after the best one so far `weights.safetensors` and
    `card.json` (where only a part learns, every 30 seconds at most); at the end the best weights are
    measured on the test images and the card says what they reached. The caller writes the records to
    `history.jsonl`.

    Args:
        folder: The run's own folder.
        dataset: Name of a data set, or the path of a folder or zip of images.
        dataset_settings: Settings of the data set as name=value, separated by semicolons.
        architecture: Name of a network.
        architecture_settings: Settings of the network as name=value, separated by semicolons.
        input_size: Side that images are resized to; without it they keep their own size.
        epochs: How often every training image is seen.
        batch_size: Images a step.
        optimizer: What turns gradients into steps.
        learning_rate: The largest rate of the schedule.
        schedule: How the rate changes over the run; one_cycle rises for the first 30 % and falls as a cosine.
        momentum: Of sgd and muon.
        weight_decay: How strongly weights are pulled to zero.
        label_smoothing: Share of the target that is spread over all classes.
        clip_gradient: Longest gradient allowed; longer ones are shortened to it. 0 is off.
        lookahead: Pull the weights back to their slow average every five steps.
        flip: Mirror images left to right; alternating shows each side every other epoch.
        crop: Shift images by up to so many pixels.
        color: Change brightness, contrast and saturation by factors of 1 ± this.
        rand_augment: Magnitude of two random operations on each image; 0 is off.
        cutout: Side of a square that is covered in each image; 0 is off.
        trainable: What of the network learns: everything, its head only, or its last block and head.
        unfreeze_at: Epoch from which everything learns; 0 is never.
        validation: Share of the training images held out to choose the best epoch.
        train_images: Train on so many images only, drawn with the classes in proportion.
        seed: Of weights, order, dropout and augmentation.
        fold_batch_norm: Fold what batch norm has learned into the convolutions at the end, and leave it out.
        half: Keep the weights as 16-bit floats, and measure them as such.
        test_flips: Measure also the mean of an image's answer and its mirror image's.
        precision: Of convolutions and products: auto takes 16 bits where the device has units for them.
        device: Where to compute; auto takes a GPU if there is one.
        stop: Asked at every step; when it says True the run is saved and ends, to be resumed.
    Yields:
        "start", then "step" and "epoch" records, and an "end" with the verdict unless it was stopped.
    Raises:
        SettingError: A setting that is not allowed, or the folder holds a run with other settings.
        BadCheckpoint: The folder's state is damaged, or of another version.
    """
    given = dict(locals())
    declared = settings_of(train)
    settings = {setting.name: setting.check(given[setting.name]) for setting in declared}
    claim_folder(folder, settings)
    state = load_state(folder) or {}
    if state.get("finished"):
        return
    where = best_device() if device == "auto" else torch.device(device)
    data, card = _data_and_card(folder.name, settings)
    card = dataclasses.replace(card, command=command_of(folder.name, settings, declared))
    if fold_batch_norm:
        check_foldable(card.architecture, card.settings)
    augmentation = Augmentation(flip, crop, color, rand_augment, cutout)

    torch.manual_seed(seed)
    module = fast_convolutions(build(card).to(where).to(memory_format=torch.channels_last))
    pixels = fitted(data.train.images, data.preprocessing)
    labels = torch.from_numpy(data.train.labels)
    learns_in_part = trainable != "everything" and not unfreeze_at
    # A part's state does not hold the frozen rest, which is made again as it was made at first.
    if hasattr(module, "initialize_from") and (learns_in_part or not state):
        first = np.random.default_rng(seed).permutation(len(data.train))[:5000]
        initialize = cast("Callable[[Tensor], None]", module.initialize_from)
        initialize(inputs_of(torch.from_numpy(pixels(first)).to(where), data.preprocessing))
    learnable = [p for p in module.parameters() if p.requires_grad]
    short = short_floats(where) if precision == "auto" else None
    steps = batches_an_epoch(len(data.train), batch_size)
    stepper = Stepper(
        module, where, short, steps=epochs * steps, batch_size=batch_size, optimizer=optimizer,
        learning_rate=learning_rate, schedule=schedule, momentum=momentum, weight_decay=weight_decay,
        label_smoothing=label_smoothing, clip_gradient=clip_gradient, lookahead=lookahead,
    )  # fmt: skip
    ever_learns = freeze(module, trainable) if learns_in_part else None
    weights = BestWeights(folder, module, card, half=half, learning=ever_learns)
    if state:
        try:
            module.load_state_dict(state["module"], strict=not learns_in_part)
            stepper.load_state_dict(state)
        except (RuntimeError, ValueError, KeyError) as error:
            raise BadCheckpoint(
                f"{folder.name}/{STATE} does not fit ({str(error).splitlines()[0]}): the run was begun by "
                "another version of Convoscope. Give a new run another name; this one's curves stay."
            ) from None
        weights.part = state.get("best_part", {})
    held_pixels = fitted(data.validation.images, data.preprocessing) if data.validation is not None else None

    def held_out(rows: np.ndarray) -> Tensor:
        assert held_pixels is not None
        return inputs_of(torch.from_numpy(held_pixels(rows)).to(where), data.preprocessing)

    learner, features = module, None
    if trainable == "head" and not unfreeze_at and not augmentation.changes_something:
        name, head = head_of(module)
        if can_be_cut(
            module, name, inputs_of(torch.from_numpy(pixels(np.arange(2))).to(where), data.preprocessing)
        ):
            sources = [(data.train, pixels)]
            if data.validation is not None and held_pixels is not None:
                sources.append((data.validation, held_pixels))
            stores = yield from stored_features(module, name, sources, data.preprocessing, where, stop)
            if stores is None:
                return
            learner, features = head, stores[0]

            def held_out(rows: np.ndarray) -> Tensor:
                return torch.from_numpy(stores[1][rows].astype(np.float32)).to(where)

    epoch, step = state.get("epoch", 1), state.get("step", 0)
    past: list[Record] = state.get("past", [])
    best: Record | None = state.get("best")
    sums = _Sums(**state.get("sums", {}))
    reported = max(1, steps // 20)
    saved_at = time.monotonic()

    def save() -> None:
        nonlocal saved_at
        held = {"epoch": epoch, "step": step, "past": past, "best": best, "sums": dataclasses.asdict(sums)}
        held |= {"module": weights.changing(), "best_part": weights.part, **stepper.state_dict()}
        save_state(folder, held)
        saved_at = time.monotonic()

    yield {
        "kind": "start", "epochs": epochs, "steps_an_epoch": steps, "epoch": epoch,
        "step": (epoch - 1) * steps + step,
        "train_images": len(data.train), "validation_images": len(data.validation or ()),
        "device": str(where), "machine": machine(), "precision": str(short or torch.float32)[6:],
        "parameters": sum(p.numel() for p in module.parameters()), "settings": settings,
    }  # fmt: skip
    broken = False
    while epoch <= epochs and not broken:
        frozen_now = trainable != "everything" and not 0 < unfreeze_at <= epoch
        for parameter in learnable:
            parameter.requires_grad_(True)
        learning = freeze(module, trainable if frozen_now else "everything")
        for number, rows in enumerate(batches(len(data.train), batch_size, _mixed(seed, epoch)), start=1):
            if number <= step:
                continue
            if stop():
                weights.finish()
                save()
                return
            began = time.perf_counter()
            torch.manual_seed(_mixed(seed, epoch, number))
            chance = torch.Generator().manual_seed(_mixed(seed, epoch, number, 1))
            set_training(module, learning)
            if features is not None:
                feed = torch.from_numpy(features[rows].astype(np.float32)).to(where)
            else:
                batch = torch.from_numpy(pixels(rows)).to(where)
                batch = augment(batch, augmentation, chance, rows=torch.from_numpy(rows), epoch=epoch)
                feed = inputs_of(batch, data.preprocessing)
            targets = labels[rows].to(where)
            total = (epoch - 1) * steps + number
            found = stepper(learner, feed, targets, total)
            step, broken = number, found.broken
            sums.add(found, len(rows), time.perf_counter() - began)
            if number % reported == 0 or number == steps or broken:
                yield {
                    "kind": "step", "epoch": epoch, "step": total, "loss": found.loss,
                    "accuracy": found.correct / len(rows),
                    "learning_rate": stepper.learning_rate, "gradient_norm": found.gradient_norm,
                    "images_per_second": len(rows) / max(1e-9, time.perf_counter() - began),
                }  # fmt: skip
            if broken:
                break
            if time.monotonic() - saved_at > SAVE_SECONDS:
                save()
        began = time.perf_counter()
        record: Record = {"kind": "epoch", "epoch": epoch, "step": (epoch - 1) * steps + step, **sums.means()}
        record["learning_rate"] = stepper.learning_rate
        if data.validation is not None and not broken:
            module.eval()
            record |= validate(learner, held_out, data.validation.labels, batch_size, where)
        record["seconds"] = sums.seconds + time.perf_counter() - began
        past = [*past, record]
        yield record
        if not broken and _is_better(record, best):
            best = record
            weights.keep()
        epoch, step, sums = epoch + 1, 0, _Sums()
        if not broken:
            save()
    metrics: dict[str, Any] = {}
    if best is not None:
        weights.finish()
        if fold_batch_norm:
            _fold(folder, where, half=half)
        metrics = _measured(folder, data, past, best, where, half=half, flips=test_flips)
    write_atomically(folder / LAST, _tensors(folded(module, card)[0] if fold_batch_norm else module))
    save_state(folder, {"finished": True, "past": past})
    words = verdict(past, planned_epochs=epochs, learning_rate=learning_rate)
    yield {
        "kind": "end", "reason": "not finite" if broken else "all epochs done", "verdict": words.sentence,
        "best_epoch": words.best_epoch, "metrics": metrics,
    }  # fmt: skip


@dataclass
class _Sums:
    """What an epoch has added up so far."""

    images: int = 0
    loss: float = 0.0
    correct: int = 0
    norm: float = 0.0
    largest_norm: float = 0.0
    steps: int = 0
    seconds: float = 0.0

    def add(self, step: Step, images: int, seconds: float) -> None:
        norm = step.gradient_norm
        self.images += images
        self.loss += step.loss * images
        self.correct += step.correct
        self.norm += norm
        self.largest_norm = max(self.largest_norm, norm) if math.isfinite(norm) else norm
        self.steps += 1
        self.seconds += seconds

    def means(self) -> Record:
        return {
            "train_loss": self.loss / self.images,
            "train_accuracy": self.correct / self.images,
            "gradient_norm": self.norm / self.steps,
            "largest_gradient_norm": self.largest_norm,
            "images_per_second": self.images / max(1e-9, self.seconds),
        }


def _mixed(*numbers: int) -> int:
    """One seed of several numbers, without the likeness of neighboring seeds."""
    digest = hashlib.blake2b(repr(numbers).encode(), digest_size=7).digest()
    return int.from_bytes(digest, "little")


def _is_better(record: Record, best: Record | None) -> bool:
    if best is None or "validation_accuracy" not in record:
        return True
    new = (record["validation_accuracy"], -record["validation_loss"])
    return new > (best["validation_accuracy"], -best["validation_loss"])


def _tensors(module: nn.Module) -> bytes:
    from safetensors.torch import save

    held = module.state_dict().items()
    return save({name: v.detach().cpu().clone(memory_format=torch.contiguous_format) for name, v in held})


def _data_and_card(name: str, settings: dict[str, Any]) -> tuple[TrainingData, ModelCard]:
    member = models[settings["architecture"]]
    network_settings = check_settings(member.settings, assignments_in(settings["architecture_settings"]))
    opened = open_for_training(settings["dataset"], **_typed(settings["dataset_settings"]))
    side = settings["input_size"]
    data = prepare(
        opened,
        input_size=(side, side) if side else None,
        channels=None,
        validation=settings["validation"],
        train_images=settings["train_images"],
        seed=settings["seed"],
        preprocessing=_pretrained_preprocessing(member, network_settings, side),
    )
    card = ModelCard(
        name=name,
        architecture=settings["architecture"],
        settings=network_settings,
        class_names=opened.class_names,
        preprocessing=data.preprocessing,
        title=f"{member.title} on {opened.title}",
        dataset=opened.name,
        dataset_fingerprint=data.fingerprint,
        seed=settings["seed"],
        versions=versions(),
        license=opened.license,
    )
    return data, card


def _typed(text: str) -> dict[str, Any]:
    return dict(assignments_in(text))


def _pretrained_preprocessing(
    member: Member, settings: dict[str, Any], side: int | None
) -> Preprocessing | None:
    """A pretrained network's own mean, std and size; None for a network that begins with nothing."""
    if "mean_std_from" not in member.facts:
        return None
    from core.models.pretrained import pretrained_card

    own = pretrained_card(settings[member.facts["mean_std_from"]]).preprocessing
    return dataclasses.replace(own, input_size=(side, side) if side else own.input_size, resize=None)


def _fold(folder: Path, where: torch.device, *, half: bool) -> None:
    """Store the best weights without batch norm; a run that was killed just after has them so already."""
    classifier = load_checkpoint(folder, where)
    if classifier.card.settings["batch_norm"]:
        module, card = folded(classifier.module, classifier.card)
        save_checkpoint(folder, module, card, half=half)


def _measured(
    folder: Path, data: TrainingData, past: list[Record], best: Record, where: torch.device,
    *, half: bool, flips: bool,
) -> dict[str, Any]:  # fmt: skip
    """What the stored weights reach on the test images, written on their card."""
    classifier = load_checkpoint(folder, where)
    metrics: dict[str, Any] = {}
    if data.test is not None:
        metrics["test"] = measure(classifier, data.test)
        if flips:
            metrics["test_flips_averaged"] = measure(classifier, data.test, flips=True)
    if "validation_accuracy" in best:
        metrics["validation"] = {k: best[f"validation_{k}"] for k in ("accuracy", "loss")}
    metrics["training"] = {
        "epochs": len(past),
        "best_epoch": best["epoch"],
        "seconds": round(sum(record["seconds"] for record in past), 1),
        "machine": machine(),
        "parameters": sum(p.numel() for p in classifier.module.parameters()),
    }
    card = dataclasses.replace(classifier.card, metrics=metrics)
    save_checkpoint(folder, classifier.module, card, half=half)
    return metrics
