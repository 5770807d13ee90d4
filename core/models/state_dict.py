"""Reading weights that people bring: every set of tensors by name in a file of PyTorch or safetensors.

A `.pth` file is a pickle, which can run code when it is read. PyTorch's restricted reader takes tensors and
plain containers only. Other Python objects beside the weights (a NumPy number, a namespace of options) are
stood in for by an inert `PythonObject`, so that nothing of a stranger's ever runs.
"""

import io
import re
import threading
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from core.compute.torch_internals import state_versions
from core.errors import BadCheckpoint
from core.models.checkpoint import header_of, tensors_of, versions_in

MAXIMUM_BYTES = 2 * 2**30
MOST_TENSORS = 20_000
MOST_BYTES_OF_A_PICKLE = 16 * 2**20  # names, shapes and containers, without the numbers themselves
MOST_WRAPPERS = 4  # mappings inside each other that are opened
MOST_PYTHON_OBJECTS = 40  # kinds of objects that are stood in for

# Names under which an average of the weights over the training is kept, beside the weights themselves.
_AVERAGE = re.compile(r"(^|[._])(ema|swa|avg|averaged?|shadow|teacher|momentum|target)([._]|\d|$)|encoder_k")


@dataclass(frozen=True, eq=False)
class WeightSet:
    """The tensors of one network, as they stand in a file.

    Attributes:
        place: Where in the file they are, such as "state_dict" or "model_ema"; empty for the file itself.
        tensors: By name, in the order of the file.
        ordered: Whether that order is the order of the layers; safetensors forgets it.
        versions: The version of the format of each module, by the module's name, where the file says it.
        notes: What was left out, in sentences.
    """

    place: str
    tensors: dict[str, Tensor]
    ordered: bool = True
    versions: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def is_average(self) -> bool:
        return is_average(self.place)


def is_average(label: str) -> bool:
    """Whether weights of that name are an average over the training, such as EMA, or a slow copy."""
    return _AVERAGE.search(label.lower()) is not None


class PythonObject:
    """Stands for an object of any Python class in a pickle. It keeps nothing and does nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> "PythonObject":
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def read_weights(data: bytes, name: str) -> tuple[WeightSet, ...]:
    """Every set of weights in a file: the plain one first, averages such as EMA after it.

    Raises:
        BadCheckpoint: It is not a file of weights, is damaged, or holds no tensors by name.
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
    found = _safetensors(data, name) if _is_safetensors(data) else _pickled(data, name)
    _check_sizes(found, data, name)
    return found


def _is_safetensors(data: bytes) -> bool:
    length = int.from_bytes(data[:8], "little")
    return data[8:9] == b"{" and length <= len(data) - 8


def _safetensors(data: bytes, name: str) -> tuple[WeightSet, ...]:
    length = int.from_bytes(data[:8], "little")
    if data.count(b'"data_offsets"', 8, 8 + length) > MOST_TENSORS:
        raise _too_many(name)
    tensors = tensors_of(data, repr(name))
    if not tensors:
        raise _no_tensors(name, [])
    return (WeightSet("", tensors, ordered=False, versions=versions_in(header_of(data))),)


def _pickled(data: bytes, name: str) -> tuple[WeightSet, ...]:
    held, objects = _unpickle(data, name)
    if not isinstance(held, Mapping):
        what = "a Tensor" if isinstance(held, Tensor) else f"a {type(held).__name__}"
        raise BadCheckpoint(
            f"{name!r} holds {what}, not weights by name. Save a model's weights with "
            "torch.save(model.state_dict(), file)."
        )
    found: list[WeightSet] = []
    _look(held, "", found, set(), name)
    # A table of figures beside the weights is a matrix too, but nothing in it is called a weight.
    named = [s for s in found if any(key.endswith("weight") for key in s.tensors)]
    if not found and any(isinstance(value, PythonObject) for value in held.values()):
        raise _python_objects(name, objects)
    if not found:
        raise _no_tensors(name, [key for key in held if isinstance(key, str)])
    return tuple(sorted(named or found, key=lambda s: s.is_average))


def _look(held: Mapping[Any, Any], place: str, found: list[WeightSet], seen: set[int], name: str) -> None:
    """Collect the sets of weights in a mapping and in those inside it, each of them once."""
    if id(held) in seen or "optim" in place.lower() or place.count(".") >= MOST_WRAPPERS:
        return
    seen.add(id(held))
    tensors = {key: v for key, v in held.items() if isinstance(key, str) and isinstance(v, Tensor)}
    if len(tensors) > MOST_TENSORS or len(seen) > MOST_TENSORS:
        raise _too_many(name)
    if any(value.ndim >= 2 for value in tensors.values()):
        others = sum(not isinstance(v, Tensor | Mapping) for v in held.values())
        notes = [f"The weights were under {place!r}."] if place else []
        notes += [f"{others} entries that are not tensors were left out."] if others else []
        found.append(WeightSet(place, tensors, _keeps_order(tensors), state_versions(held), tuple(notes)))
    for key, value in held.items():
        if isinstance(key, str) and isinstance(value, Mapping):
            _look(value, f"{place}.{key}" if place else key, found, seen, name)


def _keeps_order(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the order is that of the layers: in the alphabet's, biases stand before weights."""
    paths = {name.removesuffix(".bias") for name in tensors if name.endswith(".bias")}
    return list(tensors) != sorted(tensors) or not any(f"{path}.weight" in tensors for path in paths)


_standing_in = threading.Lock()  # PyTorch keeps what its reader may take in one place for all threads


def _unpickle(data: bytes, name: str) -> tuple[Any, list[str]]:
    """What the pickle holds, and the names of the Python objects that were stood in for."""
    if data[:2] == b"PK":
        _check_archive(data, name)
    objects: list[str] = []
    while True:
        stand_ins: Any = [(PythonObject, full_name) for full_name in objects]
        try:
            with _standing_in, torch.serialization.safe_globals(stand_ins):
                held = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
            break
        except Exception as error:  # noqa: BLE001 - the restricted reader raises whatever the file leads it to
            text = str(error)
        unknown = re.search(r"Unsupported global: GLOBAL ([\w.]+) was", text)
        if unknown is None or unknown[1] in objects or len(objects) == MOST_PYTHON_OBJECTS:
            raise _unreadable(data, name, text, objects)
        # The message leaves "builtins." out of the name that the reader looks for.
        objects += [unknown[1]] if "." in unknown[1] else [f"builtins.{unknown[1]}", unknown[1]]
    if isinstance(held, PythonObject):
        raise _python_objects(name, objects)
    return held, objects


def _unreadable(data: bytes, name: str, text: str, objects: list[str]) -> BadCheckpoint:
    found = re.search(r"GLOBAL ([\w.]+)", text)
    is_pickle = data[:2] == b"PK" or data[:1] == b"\x80"
    if found or objects or (is_pickle and "Weights only load failed" in text) or "TorchScript" in text:
        return _python_objects(name, [found[1]] if found else objects)
    return BadCheckpoint(
        f"{name!r} is not a file of weights, or is cut short. Choose a .pth or .pt "
        "file of torch.save, or a .safetensors file."
    )


def _python_objects(name: str, objects: list[str]) -> BadCheckpoint:
    what = f"Python objects ({objects[0][:80]})" if objects else "more than weights"
    return BadCheckpoint(
        f"{name!r} holds {what}. Reading them could run a stranger's code, so only tensors are "
        "read: load the model where it was made and save torch.save(model.state_dict(), file)."
    )


def _check_archive(data: bytes, name: str) -> None:
    """PyTorch stores tensors uncompressed: whatever would grow when it is read was not made by it."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError, EOFError):
        raise BadCheckpoint(f"{name!r} is cut short or damaged. Copy it again.") from None
    total = sum(entry.file_size for entry in entries)
    if total > 2 * len(data) + 2**20:
        raise BadCheckpoint(
            f"{name!r} has {len(data) / 2**20:.1f} MB and would grow to {total / 2**20:.0f} MB: PyTorch "
            "saves no such files. Save the weights again with torch.save."
        )
    pickled = sum(entry.file_size for entry in entries if entry.filename.endswith("data.pkl"))
    if len(entries) > MOST_TENSORS + 100 or pickled > MOST_BYTES_OF_A_PICKLE:
        raise _too_many(name)


def _check_sizes(sets: tuple[WeightSet, ...], data: bytes, name: str) -> None:
    """Refuse tensors that would grow when they are used: views that repeat the numbers of the file."""
    held = 0
    for weights in sets:
        for key, value in weights.tensors.items():
            _check_tensor(value, f"The tensor {key[:80]!r} of {name!r}")
            held += value.numel() * value.element_size()
    if held > 4 * len(data) + 2**20 or held > 2 * MAXIMUM_BYTES:
        raise BadCheckpoint(
            f"The tensors of {name!r} would take {held / 2**20:,.0f} MB, and the file has "
            f"{len(data) / 2**20:,.1f} MB: they repeat its numbers. Save copies of them "
            "(tensor.clone()) without the optimizer."
        )


def _check_tensor(value: Tensor, what: str) -> None:
    if value.layout != torch.strided or value.is_quantized or value.is_complex() or value.is_nested:
        raise BadCheckpoint(f"{what} is sparse, quantized or complex: save the weights as plain floats.")
    if value.is_meta:
        raise BadCheckpoint(
            f"{what} is on the device 'meta': it has a shape and no numbers. Load the weights into the "
            "model before you save them."
        )
    if value.ndim >= 2 and not value.numel():
        raise BadCheckpoint(
            f"{what} has the shape {' × '.join(map(str, value.shape))} and so holds no numbers: choose "
            "another checkpoint."
        )
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise BadCheckpoint(
            f"{what} has the shape {' × '.join(map(str, value.shape))}, but the file holds numbers for "
            "only a part of it. Save the weights again, with tensor.contiguous()."
        )


def _too_many(name: str) -> BadCheckpoint:
    return BadCheckpoint(
        f"{name!r} holds more than {MOST_TENSORS:,} tensors: no classifier has so many. Save the weights "
        "alone, without the optimizer."
    )


def _no_tensors(name: str, keys: list[str]) -> BadCheckpoint:
    shown = ", ".join(key[:60] for key in keys[:8]) or "nothing"
    return BadCheckpoint(
        f"{name!r} holds no tensors by name, but {shown}. Save a model's weights with "
        "torch.save(model.state_dict(), file)."
    )


LARGEST_NORMALIZER = 16  # numbers; what a normalizer holds


def shapes_only(sets: tuple[WeightSet, ...]) -> tuple[WeightSet, ...]:
    """The same names and shapes without the numbers, but for those of small tensors: light enough to keep."""
    return tuple(
        replace(weights, tensors={
            key: value.clone()
            if value.numel() <= LARGEST_NORMALIZER
            else torch.empty_like(value, device="meta")
            for key, value in weights.tensors.items()
        })
        for weights in sets
    )  # fmt: skip


def not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of tensors with a NaN or an infinity in them."""
    return [key for key, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()]
