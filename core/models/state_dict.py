"""Reading weights that people bring: tensors by name, from a state dict or safetensors.

A `.pth` file is a pickle, which can run code when it is read. PyTorch's restricted reader takes tensors and
plain containers only; what needs more is refused with the reason.
"""

import io
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from core.errors import BadCheckpoint
from core.models.checkpoint import tensors_of

MAXIMUM_BYTES = 2 * 2**30
# Under which name people keep the weights beside the epoch, the optimizer and so on.
WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params", "ema", "module")
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")


def read_state_dict(data: bytes, name: str) -> tuple[dict[str, Tensor], list[str]]:
    """Tensors by name in 32-bit floats, and what had to be done to get at them, in words.

    Raises:
        BadCheckpoint: It is no file of weights, is damaged, or holds more than tensors.
    """
    if not data:
        raise BadCheckpoint(
            f"{name!r} is empty (0 bytes): choose a file of weights (.pth, .pt, .safetensors)."
        )
    if len(data) > MAXIMUM_BYTES:
        raise BadCheckpoint(
            f"{name!r} has {len(data) / 2**30:.1f} GB; up to {MAXIMUM_BYTES // 2**30} GB are read. Save the "
            "weights alone, without the optimizer, as 16-bit floats."
        )
    held: Any = _in_order(tensors_of(data, name)) if _is_safetensors(data) else _unpickle(data, name)
    notes: list[str] = []
    while isinstance(held, Mapping):
        inner = next((key for key in WRAPPERS if isinstance(held.get(key), Mapping) and held[key]), None)
        if inner is None or any(isinstance(value, Tensor) for value in held.values()):
            break
        notes.append(f"The weights were under {inner!r}.")
        held = held[inner]
    if not isinstance(held, Mapping):
        raise BadCheckpoint(
            f"{name!r} holds a {type(held).__name__}, not weights by name. Save a model's weights with "
            "torch.save(model.state_dict(), file)."
        )
    tensors = {str(key): value for key, value in held.items() if isinstance(value, Tensor)}
    if not tensors:
        keys = ", ".join(map(str, list(held)[:8])) or "nothing"
        raise BadCheckpoint(
            f"{name!r} holds no tensors by name, but {keys}. Save a model's weights with "
            "torch.save(model.state_dict(), file)."
        )
    if len(tensors) < len(held):
        notes.append(f"{len(held) - len(tensors)} entries that are no tensors were left out.")
    tensors, removed = _without_prefixes(tensors)
    notes += [f"The prefix {prefix!r} was taken off every name." for prefix in removed]
    return {key: _plain(value, key, name) for key, value in tensors.items()}, notes


def _is_safetensors(data: bytes) -> bool:
    length = int.from_bytes(data[:8], "little")
    return data[8:9] == b"{" and length <= len(data) - 8


# A safetensors file forgets in which order the layers stand; names and these words tell.
_FIRST = {"stem", "whiten", "patch_embed", "conv_stem"}
_LAST = {"output", "head", "fc", "classifier", "logits", "last_linear", "linear"}
_OF_A_LAYER = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def _in_order(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors in the order of the layers, as far as names tell: conv2 before conv10, the head last."""

    def place(name: str) -> tuple[int, list[tuple[bool, int, str]], int]:
        path, _, leaf = name.rpartition(".")
        parts = [part for part in path.split(".") if f"{part}." not in PREFIXES]
        top = parts[0] if parts else ""
        rank = -1 if top in _FIRST else 1 if top in _LAST else 0
        words = [(word.isdecimal(), int(word) if word.isdecimal() else 0, word)
                 for part in parts for word in re.findall(r"\d+|\D+", part)]  # fmt: skip
        return rank, words, _OF_A_LAYER.index(leaf) if leaf in _OF_A_LAYER else len(_OF_A_LAYER)

    return {name: tensors[name] for name in sorted(tensors, key=place)}


def _unpickle(data: bytes, name: str) -> Any:
    if data[:2] == b"PK":
        _check_archive(data, name)
    try:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - the restricted reader raises whatever the file leads it to
        text = str(error)
        found = re.search(r"GLOBAL ([\w.]+)", text)
        is_pickle = data[:2] == b"PK" or data[:1] == b"\x80"
        if found or (is_pickle and "Weights only load failed" in text) or "TorchScript" in text:
            what = f"Python objects ({found.group(1)})" if found else "more than weights"
            raise BadCheckpoint(
                f"{name!r} holds {what}. Reading them could run a stranger's code, so only tensors are "
                "read: load the model where it was made and save torch.save(model.state_dict(), file)."
            ) from None
        raise BadCheckpoint(
            f"{name!r} is no file of weights, or is cut short. Choose a .pth or .pt "
            "file of torch.save, or a .safetensors file."
        ) from None


def _check_archive(data: bytes, name: str) -> None:
    """PyTorch stores tensors uncompressed: whatever would grow when it is read was not made by it."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            total = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        raise BadCheckpoint(f"{name!r} is cut short or damaged. Copy it again.") from None
    if total > 2 * len(data) + 2**20:
        raise BadCheckpoint(
            f"{name!r} has {len(data) / 2**20:.1f} MB and would grow to {total / 2**20:.0f} MB: PyTorch "
            "saves no such files. Save the weights again with torch.save."
        )


def _without_prefixes(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    removed = []
    while prefix := next((p for p in PREFIXES if all(key.startswith(p) for key in tensors)), None):
        tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
        removed.append(prefix)
    # nn.DataParallel around a part of the network.
    if any(".module." in key for key in tensors):
        tensors = {key.replace(".module.", "."): value for key, value in tensors.items()}
        removed.append(".module.")
    return tensors, removed


def _plain(value: Tensor, key: str, name: str) -> Tensor:
    if value.is_sparse or value.is_quantized or value.is_complex():
        raise BadCheckpoint(
            f"The tensor {key!r} of {name!r} is sparse, quantised or complex: save the weights as "
            "plain floats."
        )
    value = value.detach()
    return value.float() if value.is_floating_point() else value


def not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of tensors with a NaN or an infinity in them."""
    return [key for key, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()]
