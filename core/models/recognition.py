"""What the names and shapes of tensors tell about the network they belong to."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from torch import Tensor

from core.data.preprocessing import Preprocessing
from core.errors import BadCheckpoint, ConvoscopeError, UnknownName
from core.models.architectures import models
from core.models.architectures.published import SCALES_INPUT
from core.models.card import ModelCard
from core.models.checkpoint import skeleton
from core.models.pretrained import usual_size
from core.models.weight_fit import COUNTER, Reading, fit
from core.settings import Settings, SettingValue

# Made by `python -m core.models.recognition`.
KNOWN_NETWORKS_FILE = Path(__file__).with_name("known_networks.json")
UNLIKELY_CLASSES = 1009  # no layer of a published network has so many outputs but its last
TRIED_SIDES = (32, 48, 64, 96, 112, 128, 160, 192, 224, 240, 256, 288, 299, 320, 336, 384, 448, 512)


@dataclass(frozen=True)
class Guess:
    """What the shapes of the tensors tell about a network.

    Attributes:
        settings: Of the architecture, as far as shapes decide them, and `assumed` where they do not.
        outputs: Rows of the last layer.
        channels: Of the input image.
        input_size: (height, width); the network's usual one where any would do.
        assumed: The settings that were chosen since they are usual, with the reason.
    """

    settings: Settings
    outputs: int
    channels: int
    input_size: tuple[int, int]
    assumed: dict[str, str]


def architecture_names() -> list[str]:
    """What can be imported: our architectures, besides torchvision/<name> and timm/<name>."""
    return [m.name for m in models if m.name not in ("published", "transfer")]


def resolve(architecture: str) -> tuple[str, Settings]:
    """The member of `core.models.architectures` and the settings that a name stands for.

    Raises:
        UnknownName: It is not an architecture.
    """
    if architecture.startswith(("torchvision/", "timm/")):
        return "published", {"network": architecture}
    if architecture not in models:
        raise UnknownName("architecture", architecture, [*architecture_names(), "torchvision/…", "timm/…"])
    return architecture, {}


def guess(architecture: str, reading: Reading) -> Guess:
    """Read settings, classes, channels and image size from the shapes, as far as they decide them.

    Raises:
        BadCheckpoint: There is no layer with weights in it.
        UnknownName: There is no such architecture.
    """
    member, fixed = resolve(architecture)
    tensors = reading.layers
    kernels = [t for t in tensors.values() if t.ndim == 4]
    matrices = [t for t in tensors.values() if t.ndim == 2]
    if not kernels and not matrices:
        raise BadCheckpoint(
            "The file has no weights of a convolution or a linear layer, so it is not an image classifier: "
            "choose another file."
        )
    outputs = len((matrices or kernels)[-1])
    channels = kernels[0].shape[1] if kernels else 1
    if member == "published":
        return _guess_published(str(fixed["network"]), reading, outputs, channels)
    if member == "mlp" and matrices:
        channels, size = _image_of(matrices[0].shape[1])
    settings, side = _own_settings(member, kernels, matrices, any("running_mean" in name for name in tensors))
    if member == "mlp":
        side = size if matrices else 0
    if outputs == 1 and any(s.name == "single_logit" for s in models[member].settings):
        settings = {**settings, "single_logit": True}
    return Guess(settings, outputs, channels, (side, side), {})


def _own_settings(
    member: str, kernels: Sequence[Tensor], matrices: Sequence[Tensor], norm: bool
) -> tuple[Settings, int]:
    """Settings of an architecture of ours, and the side of its image."""
    if member == "mlp" and matrices:
        return {"widths": ",".join(str(len(m)) for m in matrices[:-1])}, 0
    if member == "small_cnn" and kernels and len(matrices) > 1:
        widths = ",".join(str(len(k)) for k in kernels)
        side = math.isqrt(matrices[0].shape[1] // len(kernels[-1])) * 2 ** min(len(kernels), 12)
        return {"widths": widths, "hidden": len(matrices[0]), "batch_norm": norm}, side
    if member == "wide_cnn" and len(kernels) == 4 and matrices:
        places = math.isqrt(matrices[0].shape[1] // len(kernels[-1]))
        return {"width": len(kernels[0]) / 256, "batch_norm": norm}, 32 if places == 1 else 16 * places + 16
    if member == "vgg" and kernels and matrices:
        large = matrices[0].shape[1] > len(kernels[-1])
        settings = {"width": len(kernels[0]) / 64, "batch_norm": norm,
                    "layout": "imagenet" if large else "small"}  # fmt: skip
        depth = str(len(kernels) + len(matrices))
        settings |= {"depth": depth} if depth in ("11", "13", "16", "19") else {}
        return settings, 224 if large else 32
    if member == "resnet18" and kernels:
        large = kernels[0].shape[-1] == 7
        stem = "imagenet" if large else "small"
        width = len(kernels[0]) / 64
        return {"width": width, "stem": stem}, 224 if large else 32
    if member == "speed_cnn" and len(kernels) > 1:
        return {"widths": ",".join(str(len(k)) for k in kernels[1::2])}, 32
    return {}, 224


def _image_of(inputs: int) -> tuple[int, int]:
    """(channels, side) of the square image with so many numbers: 784 is 28×28 gray, 3072 is 32×32 color."""
    for channels in (1, 3):
        side = math.isqrt(inputs // channels)
        if side * side * channels == inputs:
            return channels, side
    return 1, 0


def _guess_published(network: str, reading: Reading, outputs: int, channels: int) -> Guess:
    size = usual_size(network)
    expected = published_shapes(network, size)
    given = {name: tuple(value.shape) for name, value in reading.tensors.items()}
    known = [(shape, given[n]) for n, shape in expected.items() if n in given]
    known = [(ours, theirs) for ours, theirs in known if len(ours) == len(theirs)]
    rows = [theirs[0] for ours, theirs in known if ours and ours[0] == UNLIKELY_CLASSES]
    inputs = [theirs[1] for ours, theirs in known if len(ours) == 4 and ours[1] == 3]
    outputs, channels = (rows or [outputs])[0], (inputs or [channels])[0]
    size = _size_that_fits(network, size, given)
    settings: dict[str, SettingValue] = {"network": network}
    assumed = {}
    if network in SCALES_INPUT and channels == 3:
        settings["transform_input"] = True
        assumed["transform_input"] = (
            "transform_input=true was taken, as for every network that was trained from published weights; "
            "weights trained from nothing need transform_input=false, and weights do not tell which"
        )
    if outputs == 1:
        settings["single_logit"] = True
    return Guess(settings, outputs, channels, size, assumed)


def _size_that_fits(
    network: str, size: tuple[int, int], given: Mapping[str, tuple[int, ...]]
) -> tuple[int, int]:
    """The image size with which tables of positions have the shapes in the file."""

    def differing(shapes: Mapping[str, tuple[int, ...]]) -> int:
        return sum(
            name in given and given[name] != shape and UNLIKELY_CLASSES not in shape and 3 not in shape[1:2]
            for name, shape in shapes.items()
        )

    best, fewest = size, differing(published_shapes(network, size))
    for side in TRIED_SIDES if fewest else ():
        try:
            n = differing(published_shapes(network, (side, side)))
        except ConvoscopeError:
            continue
        if n < fewest:
            best, fewest = (side, side), n
        elif n == fewest and best == size and side == TRIED_SIDES[0] and not _depends_on_size(network, size):
            break
        if not fewest:
            break
    return best


def _depends_on_size(network: str, size: tuple[int, int]) -> bool:
    return published_shapes(network, (TRIED_SIDES[0], TRIED_SIDES[0])) != published_shapes(network, size)


@lru_cache(maxsize=64)
def published_shapes(network: str, size: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a network of torchvision or timm with `UNLIKELY_CLASSES` classes."""
    card = ModelCard(
        network, "published", tuple(map(str, range(UNLIKELY_CLASSES))),
        Preprocessing(size, (0.0,) * 3, (1.0,) * 3), settings={"network": network},
    )  # fmt: skip
    return {name: tuple(value.shape) for name, value in skeleton(card).state_dict().items()}


def check_channels(found: Guess) -> None:
    """Refuse a network that takes no pictures.

    Raises:
        BadCheckpoint: Its first layer takes another number of channels than one or three.
    """
    if found.channels not in (1, 3):
        raise BadCheckpoint(
            f"The first layer takes {found.channels} channels, and pictures have three (color) or one "
            "(gray): choose another checkpoint."
        )


def blank_card(name: str, architecture: str, found: Guess) -> ModelCard:
    """The card of a guess, with numbered classes and pixels of 0 to 1."""
    check_channels(found)
    expected = 2 if found.outputs == 1 else found.outputs
    member, fixed = resolve(architecture)
    known = {setting.name for setting in models[member].settings}
    size = (max(1, found.input_size[0]), max(1, found.input_size[1]))
    return ModelCard(
        name=name,
        architecture=member,
        settings={k: v for k, v in {**fixed, **found.settings}.items() if k in known},
        class_names=tuple(f"class {index}" for index in range(expected)),
        preprocessing=Preprocessing(
            size, (0.0,) * found.channels, (1.0,) * found.channels, channels=found.channels
        ),
        source="imported",
    )


def recognize(readings: Sequence[Reading]) -> list[str]:
    """Names of the architectures that the tensors fit, the likeliest first: ours, torchvision's, timm's."""
    by_name: list[str] = []
    by_order: list[str] = []
    for reading in readings:
        for architecture in [*architecture_names(), *networks_with(reading.layers)]:
            try:
                card = blank_card("trial", architecture, guess(architecture, reading))
                found = fit(skeleton(card).state_dict(), reading, readings)
            except (ConvoscopeError, ZeroDivisionError):
                continue
            (by_order if found.in_order else by_name).append(architecture)
    return list(dict.fromkeys([*by_name, *by_order]))


# --- Names of published networks --------------------------------------------------------------------------


def networks_with(names: Iterable[str]) -> list[str]:
    """The networks of torchvision and timm whose tensors have these names."""
    return list(_known().get(names_key(names), ()))


def names_key(names: Iterable[str]) -> str:
    """A short hash of the names of a network's tensors."""
    kept = sorted(name for name in names if not name.endswith(COUNTER))
    return hashlib.sha256("\n".join(kept).encode(errors="replace")).hexdigest()[:12]


@lru_cache(maxsize=1)
def _known() -> dict[str, list[str]]:
    found: dict[str, list[str]] = (
        json.loads(KNOWN_NETWORKS_FILE.read_text(encoding="utf-8")) if KNOWN_NETWORKS_FILE.is_file() else {}
    )
    return found


def known_networks() -> dict[str, list[str]]:
    """Every network of torchvision and timm under the hash of its tensors' names; takes minutes."""
    import timm
    import torchvision

    names = [f"torchvision/{name}" for name in torchvision.models.list_models(module=torchvision.models)]
    found: dict[str, list[str]] = {}
    for network in [*names, *(f"timm/{name}" for name in timm.list_models())]:
        try:
            shapes = published_shapes.__wrapped__(network, usual_size(network))
        except (ConvoscopeError, RuntimeError):
            continue
        found.setdefault(names_key(shapes), []).append(network)
    return found


if __name__ == "__main__":
    lines = [f"{json.dumps(key)}: {json.dumps(known)}" for key, known in sorted(known_networks().items())]
    KNOWN_NETWORKS_FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print(f"{KNOWN_NETWORKS_FILE.name}: {len(lines)} sets of names")
