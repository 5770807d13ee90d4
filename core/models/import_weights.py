"""Bring your own checkpoint: weights of a known architecture become a checkpoint folder like any other."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from core import roles
from core.compute.torch_internals import state_versions
from core.data.preprocessing import Preprocessing
from core.disk import require_room
from core.errors import BadCheckpoint, ConvoscopeError, SettingError
from core.models.architectures import models
from core.models.card import ModelCard
from core.models.checkpoint import build, load_checkpoint, load_tensors, save_checkpoint, skeleton
from core.models.classifier import Classifier
from core.models.pretrained import unique_names
from core.models.recognition import Guess, blank_card, guess, recognize
from core.models.state_dict import WeightSet, not_finite
from core.models.weight_fit import COUNTER, Fit, NearMiss, Reading, fit, in_order, readings
from core.paths import home
from core.settings import check_settings

IMAGENET_CLASSES = 1000


@dataclass(frozen=True)
class Wishes:
    """What people say about weights that they bring; what is left empty is guessed.

    Attributes:
        which: The set of weights, where a file has several: its `Reading.label`.
        leave_out: Words; tensors with one of them in their name are left out.
        order: Names of the layers in their order, where the file does not tell it.
        class_names: One for each output, or two for a single output; without them classes are numbered.
        settings: Of the architecture, as they are written: {"dropout": "0.5"}.
        input_size: (height, width).
        resize: Shorter side before the middle is cut out; without it the photo is squeezed.
        mean: Subtracted from pixels of 0…1, one number or one a channel; 0 without it. `std` likewise.
    """

    which: str = ""
    leave_out: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    input_size: tuple[int, int] | None = None
    resize: int | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def with_names(self, class_names: Sequence[str]) -> "Wishes":
        return dataclasses.replace(self, class_names=tuple(class_names))


@dataclass(frozen=True, eq=False)
class Plan:
    """How a file of weights becomes a classifier, before anything is built.

    Attributes:
        others: Labels of the other sets of weights in the file that would fit as well.
        notes: What it was taken for, in sentences.
    """

    card: ModelCard
    reading: Reading
    fit: Fit
    guess: Guess
    others: tuple[str, ...]
    notes: tuple[str, ...]


def weight_set(tensors: Mapping[str, Tensor]) -> WeightSet:
    """A module's state dict as a set of weights."""
    return WeightSet("", dict(tensors), versions=state_versions(tensors))


def plan_import(sets: Sequence[WeightSet], name: str, architecture: str, wishes: Wishes = Wishes()) -> Plan:
    """Find the weights of an architecture in a file, and say what was taken for what.

    Args:
        name: Of the checkpoint.
        architecture: A name in `core.models.architectures`, torchvision/<name> or timm/<name>.
    Raises:
        UnknownName: There is no such architecture.
        BadCheckpoint: The weights do not fit; the message has the first that differs, the counts, and an
            architecture that would fit where there is one.
        SettingError: Names, mean, std or settings do not fit the tensors; the message says the right number.
    """
    every = readings(sets, wishes.leave_out)
    tried = [_tried(name, architecture, reading, every, wishes) for reading in every]
    fitting = [found for found in tried if isinstance(found, _Tried)]
    chosen = [f for f in fitting if f.reading.is_called(wishes.which)]
    if wishes.which and not chosen:
        fit_too = ", ".join(dict.fromkeys(f.reading.label for f in fitting)) or "none that fits"
        raise BadCheckpoint(
            f"There are no weights called {wishes.which[:80]!r} that fit {architecture} in the file. "
            f"Choose one of: {fit_too}."
        )
    if not chosen:
        raise _best_explanation(tried, every, architecture)
    best = min(chosen, key=lambda f: (f.reading.is_average, f.fit.in_order))
    card = _card_as_wished(best, name, architecture, wishes)
    others = [f for f in fitting if f.reading.label != best.reading.label and not f.fit.in_order]
    labels = [f.reading.label for f in others]
    return Plan(
        card, best.reading, best.fit, best.guess, tuple(dict.fromkeys(labels)),
        tuple(_notes(best, card, labels, wishes)),
    )  # fmt: skip


def expected_classes(sets: Sequence[WeightSet], architecture: str, wishes: Wishes) -> int:
    """How many class names the weights need: one for each output, two for a single one."""
    return plan_import(sets, "import", architecture, wishes).card.number_of_classes


@dataclass(frozen=True, eq=False)
class _Tried:
    reading: Reading
    guess: Guess
    card: ModelCard
    fit: Fit


def _tried(
    name: str, architecture: str, reading: Reading, every: Sequence[Reading], wishes: Wishes
) -> "_Tried | ConvoscopeError":
    try:
        if wishes.order:
            reading = in_order(reading, wishes.order)
        found = guess(architecture, reading)
        card = _with_settings(blank_card(name, architecture, found), found, wishes)
        return _Tried(reading, found, card, fit(skeleton(card).state_dict(), reading, every))
    except ZeroDivisionError:
        return BadCheckpoint("A layer of the file has no outputs: choose another checkpoint.")
    except ConvoscopeError as error:
        return error


def _with_settings(card: ModelCard, found: Guess, wishes: Wishes) -> ModelCard:
    chosen = {**card.settings, **wishes.settings}
    size = wishes.input_size or found.input_size
    if min(size) < 1:
        raise SettingError(
            "No square image has as many pixels as the first layer has inputs: give the image size."
        )
    return dataclasses.replace(
        card,
        settings=check_settings(models[card.architecture].settings, chosen),
        preprocessing=dataclasses.replace(card.preprocessing, input_size=size),
    )


def _best_explanation(
    tried: "Sequence[_Tried | ConvoscopeError]", every: Sequence[Reading], architecture: str
) -> ConvoscopeError:
    """The error of the reading that comes closest, and the architectures that would fit."""
    pairs = [(error, reading) for error, reading in zip(tried, every, strict=True)
             if isinstance(error, ConvoscopeError)]  # fmt: skip
    error, _ = min(
        pairs,
        key=lambda pair: (not isinstance(pair[0], NearMiss), pair[1].layers_outside, -len(pair[1].prefix)),
    )
    if "do not fit" not in str(error):
        return error
    others = [name for name in recognize(every) if name != architecture][:4]
    hint = f" By their shapes they fit {' or '.join(others)}." if others else ""
    return type(error)(f"{error}{hint}")


def _card_as_wished(found: _Tried, name: str, architecture: str, wishes: Wishes) -> ModelCard:
    card, outputs, channels = found.card, found.guess.outputs, found.guess.channels
    expected = card.number_of_classes
    names = tuple(wishes.class_names)
    if names and len(names) != expected:
        raise SettingError(
            f"{len(names)} class names are given ({', '.join(names[:6])}{', …' if len(names) > 6 else ''}), "
            f"but the last layer has {outputs} output{'s' * (outputs > 1)}: give {expected}."
        )
    if len({n.lower() for n in names}) < len(names):
        if len(names) != IMAGENET_CLASSES:  # ImageNet itself has two cranes
            raise SettingError("Two classes have the same name: give each its own.")
        names = unique_names(names)
    mean, std = wishes.mean or found.fit.mean, wishes.std or found.fit.std
    preprocessing = Preprocessing(
        card.preprocessing.input_size, _per_channel("mean", mean, channels, 0.0),
        _per_channel("std", std, channels, 1.0), channels=channels, resize=wishes.resize,
    )  # fmt: skip
    return dataclasses.replace(
        card, class_names=names or card.class_names, preprocessing=preprocessing,
        title=f"{name} ({architecture})",
    )  # fmt: skip


def _per_channel(name: str, values: Sequence[float], channels: int, default: float) -> tuple[float, ...]:
    values = tuple(float(v) for v in values) or (default,)
    if len(values) == 1:
        values *= channels
    if len(values) != channels:
        raise SettingError(
            f"{name} has {len(values)} numbers, and the first layer takes {channels} "
            f"channel{'s' * (channels > 1)}: give one number, or {channels}."
        )
    return values


def _notes(found: _Tried, card: ModelCard, labels: Sequence[str], wishes: Wishes) -> list[str]:
    """What was taken for what, in sentences."""
    reading, left_out = found.reading, found.fit.left_out
    notes = list(reading.weights.notes)
    if reading.prefix:
        notes.append(f"The prefix {reading.prefix!r} was taken off every name.")
    if labels:
        kept = ", ".join(repr(label) for label in dict.fromkeys(labels))
        notes.append(f"{reading.label!r} was taken; the file also holds weights that fit under {kept}.")
    elif reading.is_average:
        notes.append(f"{reading.label!r} are weights averaged over the training; there are no others.")
    if left_out:
        some = ", ".join(left_out[:4]) + (", …" if len(left_out) > 4 else "")
        notes.append(f"Left out, since they play no part in an answer: {some} ({len(left_out)} in all).")
    if found.fit.mean and not (wishes.mean or wishes.std):
        notes.append(
            f"Mean {_listed(found.fit.mean)} and std {_listed(found.fit.std)} were read from the normalizer "
            "in the file."
        )
    if found.fit.in_order:
        first = next(iter(found.fit.names.items()))
        how = "order and shapes" if reading.weights.ordered else "shapes and the numbers in the names"
        notes.append(
            f"The names in the file are different (first {first[1]!r} for {first[0]!r}), but number, {how} "
            "agree: the weights were matched by them."
        )
    notes += [f"{words}." for name, words in found.guess.assumed.items() if name not in wishes.settings]
    return notes


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def fill(plan: Plan) -> nn.Module:
    """The plan's network with its weights, in evaluation mode. Call it where the models are.

    Raises:
        BadCheckpoint: The weights hold values that are no numbers.
        OutOfMemory: The network is too large for this machine.
    """
    given = {name: plan.reading.tensors[theirs] for name, theirs in plan.fit.names.items()}
    broken = not_finite(given)
    if broken:
        raise BadCheckpoint(
            f"{len(broken)} of {len(given)} tensors hold values that are not numbers, first {broken[0]!r}: "
            "the training had failed when they were saved. Choose an earlier checkpoint."
        )
    module = build(plan.card)
    counters = {k: v for k, v in module.state_dict().items() if k.endswith(COUNTER)}
    versions = {} if plan.fit.in_order else plan.reading.versions
    load_tensors(module, counters | given, plan.card.name, versions)
    return module.eval()


def free_folder(name: str) -> Path:
    """A folder below imported/ that is not taken, named after `name`.

    Raises:
        SettingError: The name has no letter or digit.
    """
    slug = re.sub(r"[^\w.-]+", "_", name).strip("._-")[:60]
    if not slug:
        raise SettingError(f"The name {name!r} cannot be that of a folder: use letters and digits.")
    folder = home("imported") / slug
    number = 2
    while folder.exists():
        folder = home("imported") / f"{slug}_{number}"
        number += 1
    return folder


def keep(folder: Path, module: nn.Module, card: ModelCard) -> Classifier:
    """Write the checkpoint folder and load it back, as every page will.

    Raises:
        NoRoom: The imported checkpoints have reached their limit, or the disk is full.
        NotAllowed: In a class, by anyone but the teacher.
    """
    roles.visitor().require_teacher("import a checkpoint")
    size = sum(value.numel() * value.element_size() for value in module.state_dict().values())
    require_room("imported", size, f"The checkpoint {folder.name!r}")
    save_checkpoint(folder, module, dataclasses.replace(card, name=folder.name))
    return load_checkpoint(folder)
