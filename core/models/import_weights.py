"""Bring your own checkpoint: weights of a known architecture become a checkpoint folder like any other."""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from core import roles
from core.data.preprocessing import Preprocessing
from core.disk import require_room
from core.errors import BadCheckpoint, ConvoscopeError, SettingError, UnknownName
from core.models.architectures import models
from core.models.card import ModelCard
from core.models.checkpoint import build, load_checkpoint, load_tensors, save_checkpoint
from core.models.classifier import Classifier
from core.models.state_dict import not_finite
from core.paths import home
from core.settings import check_settings


@dataclass(frozen=True)
class Guess:
    """What the shapes of the tensors tell about a network.

    Attributes:
        settings: Of the architecture, as far as shapes decide them.
        outputs: Rows of the last layer.
        channels: Of the input image.
        input_size: (height, width); the network's usual one where any would do.
    """

    settings: dict[str, Any]
    outputs: int
    channels: int
    input_size: tuple[int, int]


def architecture_names() -> list[str]:
    """What can be imported: our architectures, besides torchvision/<name> and timm/<name>."""
    return [m.name for m in models if m.name not in ("published", "transfer")]


def resolve(architecture: str) -> tuple[str, dict[str, Any]]:
    """The member of `core.models.architectures` and the settings that a name stands for.

    Raises:
        UnknownName: It is no architecture.
    """
    if architecture.startswith(("torchvision/", "timm/")):
        return "published", {"network": architecture}
    if architecture not in models:
        raise UnknownName("architecture", architecture, [*architecture_names(), "torchvision/…", "timm/…"])
    return architecture, {}


def guess(architecture: str, tensors: Mapping[str, Tensor]) -> Guess:
    """Read settings, classes, channels and image size from the shapes, as far as they decide them.

    Raises:
        BadCheckpoint: There is no layer with weights in it.
    """
    kernels = [t for t in tensors.values() if t.ndim == 4]
    matrices = [t for t in tensors.values() if t.ndim == 2]
    if not kernels and not matrices:
        raise BadCheckpoint(
            "The file has no weights of a convolution or a linear layer, so it is no image classifier: "
            "choose another file."
        )
    outputs = len((matrices or kernels)[-1])
    channels = kernels[0].shape[1] if kernels else 1
    norm = any(name.endswith("running_mean") for name in tensors)
    settings: dict[str, Any] = {}
    size = 224
    if architecture == "mlp" and matrices:
        settings = {"widths": ",".join(str(len(m)) for m in matrices[:-1])}
        channels, size = _image_of(matrices[0].shape[1])
    elif architecture == "small_cnn" and kernels and len(matrices) > 1:
        settings = {
            "widths": ",".join(str(len(k)) for k in kernels),
            "hidden": len(matrices[0]),
            "batch_norm": norm,
        }
        size = math.isqrt(matrices[0].shape[1] // len(kernels[-1])) * 2 ** len(kernels)
    elif architecture == "wide_cnn" and len(kernels) == 4 and matrices:
        settings = {"width": len(kernels[0]) / 256, "batch_norm": norm}
        places = math.isqrt(matrices[0].shape[1] // len(kernels[-1]))
        size = 32 if places == 1 else 16 * places + 16
    elif architecture == "vgg" and kernels and matrices:
        depth = str(len(kernels) + len(matrices))
        large = matrices[0].shape[1] > len(kernels[-1])
        settings = {
            "width": len(kernels[0]) / 64, "batch_norm": norm, "layout": "imagenet" if large else "small",
            "single_logit": outputs == 1,
        }  # fmt: skip
        settings |= {"depth": depth} if depth in ("11", "13", "16", "19") else {}
        size = 224 if large else 32
    elif architecture == "resnet18" and kernels:
        large = kernels[0].shape[-1] == 7
        settings = {"width": len(kernels[0]) / 64, "stem": "imagenet" if large else "small"}
        size = 224 if large else 32
    elif architecture == "speed_cnn" and len(kernels) > 1:
        settings = {"widths": ",".join(str(len(k)) for k in kernels[1::2])}
        size = 32
    return Guess(settings, outputs, channels, (size, size))


def _image_of(inputs: int) -> tuple[int, int]:
    """(channels, side) of the square image with so many numbers: 784 is 28×28 gray, 3072 is 32×32 color."""
    for channels in (1, 3):
        side = math.isqrt(inputs // channels)
        if side * side * channels == inputs:
            return channels, side
    return 1, 0


def make_card(
    name: str,
    architecture: str,
    tensors: Mapping[str, Tensor],
    *,
    class_names: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    input_size: tuple[int, int] | None = None,
    resize: int | None = None,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
) -> ModelCard:
    """The card of weights that are brought: what is not given is guessed from their shapes.

    Args:
        architecture: A name in `core.models.architectures`, torchvision/<name> or timm/<name>.
        class_names: One for each output, or two for a single output; without them classes are numbered.
        mean: Subtracted from pixels of 0…1, one number or one a channel; 0 without it. `std` likewise.
        resize: Shorter side before the middle is cut out; without it the photo is squeezed.
    Raises:
        UnknownName: There is no such architecture.
        SettingError: Names, mean, std or settings do not fit the tensors; the message says the right number.
    """
    member_name, fixed = resolve(architecture)
    found = guess(member_name, tensors)
    member = models[member_name]
    known = {setting.name for setting in member.settings}
    chosen = {k: v for k, v in found.settings.items() if k in known} | fixed | dict(settings or {})
    names = tuple(class_names)
    expected = 2 if found.outputs == 1 else found.outputs
    if names and len(names) != expected:
        raise SettingError(
            f"{len(names)} class names are given ({', '.join(names[:6])}{', …' if len(names) > 6 else ''}), "
            f"but the last layer has {found.outputs} output{'s' * (found.outputs > 1)}: give {expected}."
        )
    if len({name.lower() for name in names}) < len(names):
        raise SettingError("Two classes have the same name: give each its own.")
    if found.outputs == 1 and "single_logit" not in known:
        raise SettingError(
            f"The last layer has one output, and {architecture} is built for one a class. Networks with a "
            "single output can be imported as vgg or transfer."
        )
    names = names or tuple(f"class {index}" for index in range(expected))
    size = input_size or found.input_size
    if min(size) < 1:
        raise SettingError(
            "The number of inputs of the first layer is that of no square image: say the image size."
        )
    preprocessing = Preprocessing(
        size, _per_channel("mean", mean, found.channels, 0.0), _per_channel("std", std, found.channels, 1.0),
        channels=found.channels, resize=resize,
    )  # fmt: skip
    return ModelCard(
        name=name,
        architecture=member_name,
        settings=check_settings(member.settings, chosen),
        class_names=names,
        preprocessing=preprocessing,
        title=f"{name} ({architecture})",
        source="imported",
    )


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


def fill(card: ModelCard, tensors: Mapping[str, Tensor]) -> tuple[nn.Module, list[str]]:
    """The card's network with these weights, and what had to be assumed, in words.

    Where the names differ throughout but number, order and shapes agree, weights are taken in order.

    Raises:
        BadCheckpoint: They do not fit; the message has the first that differs, the counts, and an
            architecture that would fit where there is one.
    """
    module = build(card)
    notes = []
    broken = not_finite(tensors)
    if broken:
        raise BadCheckpoint(
            f"{len(broken)} of {len(tensors)} tensors hold values that are no numbers, first {broken[0]!r}: "
            "the training had failed when they were saved. Choose an earlier checkpoint."
        )
    expected = module.state_dict()
    given = dict(tensors)
    counters = [key for key in expected if key.endswith("num_batches_tracked")]
    for key in counters:  # old and converted files lack them; they play no part in an answer
        given.setdefault(key, expected[key])
    if set(given) != set(expected):
        ordered = _in_order(expected, tensors)
        if ordered is not None:
            given = ordered
            notes.append(
                f"The names in the file are others (first {next(iter(tensors))!r} for "
                f"{next(iter(expected))!r}), but number, order and shapes agree: the weights were taken in "
                "order."
            )
    try:
        load_tensors(module, given, card.name)
    except BadCheckpoint as error:
        other = [name for name in architecture_names() if name != card.architecture and _fits(name, tensors)]
        hint = f" By their shapes they fit {' or '.join(other)}." if other else ""
        raise BadCheckpoint(f"{error}{hint}") from None
    return module.eval(), notes


def _in_order(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """The tensors under the expected names, if they agree one by one in shape."""
    ours = [key for key in expected if not key.endswith("num_batches_tracked")]
    theirs = [key for key in tensors if not key.endswith("num_batches_tracked")]
    if len(ours) != len(theirs) or any(
        expected[a].shape != tensors[b].shape for a, b in zip(ours, theirs, strict=True)
    ):
        return None
    counters = {key: value for key, value in expected.items() if key.endswith("num_batches_tracked")}
    return counters | {a: tensors[b] for a, b in zip(ours, theirs, strict=True)}


def _fits(architecture: str, tensors: Mapping[str, Tensor]) -> bool:
    try:
        card = make_card("trial", architecture, tensors)
        with torch.device("meta"):
            expected = build(card).state_dict()
    except (ConvoscopeError, RuntimeError, ValueError, NotImplementedError):
        return False
    return _in_order(expected, tensors) is not None


def free_folder(name: str) -> Path:
    """A folder below imported/ that is not taken, named after `name`.

    Raises:
        SettingError: The name has no letter or digit.
    """
    slug = re.sub(r"[^\w.-]+", "_", name).strip("._-")[:60]
    if not slug:
        raise SettingError(f"The name {name!r} makes no folder: use letters and digits.")
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


def share(text: str) -> float:
    """A claimed accuracy as people write it: 0.91, 91 and "91 %" are the same.

    Raises:
        SettingError: It is no accuracy.
    """
    try:
        value = float(text.strip().rstrip("%").replace(",", "."))
    except ValueError:
        value = -1.0
    value = value / 100 if "%" in text or value > 1 else value
    if not 0 < value <= 1:
        raise SettingError(f"The claimed accuracy is {text!r}: write it like 0.91 or 91 %.")
    return value


def names_in(text: str) -> list[str]:
    """Class names, separated by commas or each in a line of its own."""
    return [name.strip() for name in re.split("[,\n]", text) if name.strip()]


def values_in(text: str, what: str) -> list[float]:
    """Numbers separated by commas or spaces.

    Raises:
        SettingError: One of them is no number.
    """
    try:
        return [float(part) for part in re.split(r"[,\s]+", text.strip()) if part]
    except ValueError:
        raise SettingError(f"{what} is {text!r}: write numbers like 0.485, 0.456, 0.406.") from None


def size_in(text: str) -> tuple[int, int] | None:
    """An image size as people write it: "224" or "height × width"; empty for none.

    Raises:
        SettingError: It is no size.
    """
    if not text.strip():
        return None
    parts = re.split(r"[x×,\s]+", text.strip().lower())
    if len(parts) > 2 or not all(part.isdigit() and 1 <= int(part) <= 2048 for part in parts):
        raise SettingError(f"The image size is {text!r}: write it like 224 or 240x320, up to 2048 pixels.")
    return int(parts[0]), int(parts[-1])
