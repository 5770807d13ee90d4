"""A checkpoint folder: the whole truth about a model.

<folder>/card.json            what it is (core/models/card.py)
         weights.safetensors  its tensors by name; 16-bit floats where the card's folder should stay small
         history.jsonl        how it was trained, one record a line; missing for what was imported
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from core.compute.torch_internals import set_state_versions, state_versions
from core.errors import BadCheckpoint
from core.models.architectures import models
from core.models.card import CARD, WEIGHTS, ModelCard, load_card
from core.models.classifier import Classifier, best_device
from core.models.skeleton import check_memory, without_numbers
from core.paths import from_json, write_whole
from core.settings import check_settings


def build(card: ModelCard) -> nn.Module:
    """The architecture of a card, with fresh weights. Its size is looked at before anything is made.

    Raises:
        UnknownName: There is no such architecture.
        SettingError: A setting of the card is none of the architecture's, or has a value that is not allowed.
        OutOfMemory: The machine has not the memory for it.
    """
    check_memory(skeleton(card), card.name)
    return _made(card)


def skeleton(card: ModelCard) -> nn.Module:
    """The architecture of a card on the device "meta": every name and shape, and not one number."""
    return without_numbers(lambda: _made(card))


def _made(card: ModelCard) -> nn.Module:
    member = models[card.architecture]
    module: nn.Module = member(
        channels=card.preprocessing.channels,
        number_of_classes=card.number_of_classes,
        input_size=tuple(card.preprocessing.input_size),
        **check_settings(member.settings, card.settings),
    )
    return module


def save_checkpoint(
    folder: Path, module: nn.Module, card: ModelCard, *, half: bool = False, file: str = WEIGHTS
) -> ModelCard:
    """Write card and weights; a crash in the middle leaves the old ones or the new ones, never half of them.

    Args:
        half: Store floats in 16 bits.
        file: Name of the weights file in the folder.
    Returns:
        The card as it was written, with the hash of the weights.
    """
    from safetensors.torch import save

    tensors = {}
    for name, value in module.state_dict().items():
        value = value.detach().cpu()
        if half and value.is_floating_point():
            value = value.half()
        # A copy of its own: safetensors refuses tensors that share memory, and wants them row by row.
        tensors[name] = value.clone(memory_format=torch.contiguous_format)
    versions = json.dumps(module_versions(module), sort_keys=True)
    data = save(tensors, metadata={"versions": versions})
    card = dataclasses.replace(card, weights_sha256=hashlib.sha256(data).hexdigest())
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / file, data)
    write_whole(folder / CARD, card.to_json().encode())
    return card


def load_checkpoint(folder: Path, device: torch.device | None = None, *, file: str = WEIGHTS) -> Classifier:
    """The classifier of a checkpoint folder, in evaluation mode, in 32-bit floats.

    Raises:
        BadCheckpoint: Something is missing, does not fit the architecture, or was changed since it was saved.
    """
    card = load_card(folder)
    try:
        data = (folder / file).read_bytes()
    except OSError:
        raise BadCheckpoint(
            f"The checkpoint {folder.name!r} has no {file}. Train it to the end of its first epoch, or copy "
            "the file there."
        ) from None
    digest = hashlib.sha256(data).hexdigest()
    if file == WEIGHTS and card.weights_sha256 and digest != card.weights_sha256:
        raise BadCheckpoint(
            f"The weights of {folder.name!r} are not those of its card (sha256 {digest[:12]}… instead of "
            f"{card.weights_sha256[:12]}…): the file was changed or cut short. Copy the checkpoint again."
        )
    tensors = tensors_of(data, f"{folder.name}/{file}")
    plan = skeleton(card)  # compared before anything is made: a card can name a network of any size
    differs = difference(plan.state_dict(), tensors)
    if differs:
        raise BadCheckpoint(
            f"The weights of {folder.name!r} do not fit the architecture: {differs}. Choose the architecture "
            "and the settings that the weights were trained with."
        )
    module = build(card)
    load_tensors(module, tensors, folder.name, versions_in(header_of(data)))
    fingerprint = hashlib.sha256((digest + card.to_json()).encode()).hexdigest()
    return Classifier(module, card, device or best_device(), fingerprint=fingerprint)


def tensors_of(data: bytes, where: str) -> dict[str, torch.Tensor]:
    """The tensors in the bytes of a safetensors file.

    Raises:
        BadCheckpoint: They are no such file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError, OverflowError) as error:
        raise BadCheckpoint(
            f"{where} is not a whole safetensors file: {str(error)[:200]}. Copy or make it again."
        ) from None


def header_of(data: bytes) -> dict[str, str]:
    """The words that stand beside the tensors of a safetensors file; empty where there are none."""
    length = int.from_bytes(data[:8], "little")
    try:
        header = from_json(data[8 : 8 + length])
    except ValueError:
        return {}
    words = header.get("__metadata__") if isinstance(header, dict) else None
    return {k: v for k, v in words.items() if isinstance(v, str)} if isinstance(words, dict) else {}


def versions_in(header: Mapping[str, str]) -> dict[str, int]:
    """The version of each module's format in such words, as `save_checkpoint` writes them."""
    try:
        held = from_json(header.get("versions", "{}"))
    except ValueError:
        return {}
    items = held.items() if isinstance(held, dict) else ()
    return {str(path): version for path, version in items if type(version) is int}


def module_versions(module: nn.Module) -> dict[str, int]:
    """The version of each module's format, by the module's name."""
    return state_versions(module.state_dict())


def difference(expected: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor]) -> str:
    """The first name or shape that differs, and how many do, in words; empty where all agree."""
    missing = [key for key in expected if key not in given]
    extra = [key for key in given if key not in expected]
    shapes = [key for key in expected if key in given and expected[key].shape != given[key].shape]
    if not (missing or extra or shapes):
        return ""
    if shapes:
        key = shapes[0]
        first = (
            f"{key} has the shape {tuple(given[key].shape)} in the file and "
            f"{tuple(expected[key].shape)} in the network"
        )
    elif missing:
        first = f"{missing[0]} is not in the file"
    else:
        first = f"the network has no {extra[0][:80]}"
    return (
        f"{first} ({len(shapes)} shapes differ, {len(missing)} tensors are missing, "
        f"{len(extra)} are left over)"
    )


def load_tensors(
    module: nn.Module,
    tensors: Mapping[str, torch.Tensor],
    name: str,
    versions: Mapping[str, int] | None = None,
) -> None:
    """Put tensors into a module; every name and shape must be the module's.

    Args:
        versions: The version of the format of some modules, where the file says it; otherwise the module's
            own, since all shapes are its own.
    Raises:
        BadCheckpoint: The first name or shape that differs, and how many do.
    """
    expected = module.state_dict()
    differs = difference(expected, tensors)
    if differs:
        raise BadCheckpoint(
            f"The weights of {name!r} do not fit the architecture: {differs}. Choose the architecture and "
            "the settings that the weights were trained with."
        )
    for key, value in tensors.items():
        expected[key] = value.to(expected[key].dtype)
    # Some modules read their state by the version of its format (torchvision's MNASNet needs one).
    set_state_versions(expected, versions or {})
    try:
        module.load_state_dict(expected, strict=True, assign=False)
    except (RuntimeError, ValueError) as error:
        raise BadCheckpoint(
            f"The weights of {name!r} do not fit the architecture: {str(error).splitlines()[-1].strip()}. "
            "Choose the architecture and the settings that the weights were trained with."
        ) from None
