"""A checkpoint folder: the whole truth about a model.

<folder>/card.json            what it is (core/models/card.py)
         weights.safetensors  its tensors by name; 16-bit floats where the card's folder should stay small
         history.jsonl        how it was trained, one record a line; missing for what was imported
"""

import dataclasses
import hashlib
from pathlib import Path

import torch
from torch import nn

from core.errors import BadCheckpoint
from core.models.architectures import models
from core.models.card import CARD, WEIGHTS, ModelCard, load_card
from core.models.classifier import Classifier
from core.paths import write_whole
from core.settings import check_settings


def build(card: ModelCard) -> nn.Module:
    """The architecture of a card, with fresh weights.

    Raises:
        UnknownName: There is no such architecture.
        SettingError: A setting of the card is none of the architecture's, or has a value that is not allowed.
    """
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
    data = save(tensors)
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
    module = build(card)
    load_tensors(module, tensors_of(data, f"{folder.name}/{file}"), folder.name)
    fingerprint = hashlib.sha256((digest + card.to_json()).encode()).hexdigest()
    return Classifier(module, card, **({"device": device} if device else {}), fingerprint=fingerprint)


def tensors_of(data: bytes, where: str) -> dict[str, torch.Tensor]:
    """The tensors in the bytes of a safetensors file.

    Raises:
        BadCheckpoint: They are no such file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise BadCheckpoint(
            f"{where} is not a whole safetensors file: {error}. Copy or make it again."
        ) from None


def load_tensors(module: nn.Module, tensors: dict[str, torch.Tensor], name: str) -> None:
    """Put tensors into a module; every name and shape must be the module's.

    Raises:
        BadCheckpoint: The first name or shape that differs, and how many do.
    """
    expected = module.state_dict()
    missing = [key for key in expected if key not in tensors]
    extra = [key for key in tensors if key not in expected]
    shapes = [key for key in expected if key in tensors and expected[key].shape != tensors[key].shape]
    if missing or extra or shapes:
        if shapes:
            key = shapes[0]
            first = (
                f"{key} has the shape {tuple(tensors[key].shape)} in the file and "
                f"{tuple(expected[key].shape)} in the network"
            )
        elif missing:
            first = f"{missing[0]} is not in the file"
        else:
            first = f"the network has no {extra[0]}"
        raise BadCheckpoint(
            f"The weights of {name!r} do not fit the architecture: {first} ({len(shapes)} shapes differ, "
            f"{len(missing)} tensors are missing, {len(extra)} are left over). Choose the architecture and "
            "the settings that the weights were trained with."
        )
    module.load_state_dict(
        {key: value.to(expected[key].dtype) for key, value in tensors.items()}, strict=True, assign=False
    )
