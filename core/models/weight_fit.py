"""Which tensors of a file are which of a network: by name under the prefix that fits, else by order or shape.

What stands around a network in a file (a wrapper's prefix, the states of a criterion or of metrics, counters,
auxiliary heads, a normalizer) is told from its own layers, so that nothing that would change its answers is
left out in silence.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from core.errors import BadCheckpoint
from core.models.checkpoint import difference
from core.models.state_dict import WeightSet, is_average

COUNTER = "num_batches_tracked"  # old and converted files lack it; it plays no part in an answer
DEEPEST_PREFIX = 6  # parts of a name that may stand before the network's own
SMALLEST_SHARE = 0.2  # of all tensors that stand under a prefix which may be the network's

# Wrappers in the middle of a name: nn.DataParallel and torch.compile around a part of the network.
_INSIDE = re.compile(r"(?<=\.)(module|_orig_mod)\.")
# Parts that serve training only, by the first part of their name.
_OF_TRAINING = re.compile(
    r"(^|_)(criterion|loss(es|_fn)?|metrics?|acc|accuracy|auroc|confusion(_matrix)?|queue|teacher|ema)(_|$)",
    re.IGNORECASE,
)
_AUXILIARY = ("AuxLogits.", "aux1.", "aux2.", "aux_logits.")
_COUNTERS = ("total_ops", "total_params", "n_averaged", COUNTER)
_MEANS, _STDS = ("mean", "mu", "_mean", "pixel_mean"), ("std", "sigma", "sd", "_std", "pixel_std")


@dataclass(frozen=True, eq=False)
class Reading:
    """A set of weights with a prefix taken off.

    Attributes:
        tensors: Those under the prefix, by their name without it.
        outside: Those that do not stand under it, by their whole name.
    """

    weights: WeightSet
    prefix: str
    tensors: dict[str, Tensor]
    outside: dict[str, Tensor] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What this reading is called where there are several."""
        return ": ".join(part for part in (self.weights.place, self.prefix.rstrip(".")) if part) or "the file"

    @property
    def is_average(self) -> bool:
        return is_average(self.label)

    def is_called(self, name: str) -> bool:
        """Whether people may mean this reading by that name: its label, or the place before its prefix."""
        return name in ("", self.label) or self.label.startswith(f"{name}: ")

    @property
    def layers_outside(self) -> int:
        """How many tensors stand outside that may be layers."""
        return sum(not serves_training(k) and not _is_counter(k) for k in self.outside)

    @cached_property
    def layers(self) -> dict[str, Tensor]:
        """Without what counts and what serves training only."""
        kept = [k for k in self.tensors if not serves_training(k) and not _is_counter(k)]
        return {k: self.tensors[k] for k in (kept if self.weights.ordered else sorted(kept, key=_place))}

    @cached_property
    def versions(self) -> dict[str, int]:
        """Of the modules, by their name without the prefix."""
        found = {}
        for path, version in self.weights.versions.items():
            if f"{path}.".startswith(self.prefix):
                found[_INSIDE.sub("", f"{path}."[len(self.prefix) :]).rstrip(".")] = version
        return found


@dataclass(frozen=True, eq=False)
class Fit:
    """How a reading fills a network.

    Attributes:
        names: The name in the reading for each name in the network; counters may lack one.
        in_order: Whether the names differ and the weights were matched by order and shape.
        left_out: Whole names of the tensors that play no part.
        mean: Of a normalizer that stands in the file, on pixels of 0…1; empty where there is none.
    """

    names: dict[str, str]
    in_order: bool
    left_out: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


class NearMiss(BadCheckpoint):
    """Weights that all but fit: a layer too many, or layers whose order is not known."""


def readings(sets: Sequence[WeightSet], leave_out: Sequence[str] = ()) -> list[Reading]:
    """Every way of taking a prefix off every set of weights, the whole set first.

    Args:
        leave_out: Tensors with one of these words in their name are not looked at.
    """
    found = []
    for weights in sets:
        tensors = {k: v for k, v in weights.tensors.items() if not any(word in k for word in leave_out)}
        for prefix in _prefixes(tensors):
            under = {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}
            inside = {_INSIDE.sub("", k): v for k, v in under.items()}
            outside = {k: v for k, v in tensors.items() if not k.startswith(prefix)}
            found.append(Reading(weights, prefix, inside, outside))
    return found


def _prefixes(tensors: Mapping[str, Tensor]) -> list[str]:
    counts: Counter[str] = Counter()
    with_matrix = set()
    for name, value in tensors.items():
        parts = name.split(".")[:-1][:DEEPEST_PREFIX]
        for depth in range(1, len(parts) + 1):
            prefix = ".".join(parts[:depth]) + "."
            counts[prefix] += 1
            if value.ndim >= 2:
                with_matrix.add(prefix)
    enough = SMALLEST_SHARE * len(tensors)
    return ["", *(p for p, n in counts.items() if n >= enough and p in with_matrix)]


_FIRST = {"stem", "whiten", "patch_embed", "conv_stem"}
_LAST = {"output", "head", "fc", "classifier", "logits", "last_linear", "linear"}
_LEAVES = ("weight", "bias", "running_mean", "running_var")


def _place(name: str) -> tuple[int, list[tuple[bool, int, str]], int]:
    """Where a tensor is likely to stand, as far as its name tells: conv2 before conv10, the head last."""
    path, _, leaf = name.rpartition(".")
    top = path.partition(".")[0]
    rank = -1 if top in _FIRST else 1 if top in _LAST else 0
    words = [(word.isdecimal(), int(word) if word.isdecimal() else 0, word)
             for part in path.split(".") for word in re.findall(r"\d+|\D+", part)]  # fmt: skip
    return rank, words, _LEAVES.index(leaf) if leaf in _LEAVES else len(_LEAVES)


def serves_training(name: str) -> bool:
    """Whether a tensor of that name plays a part in training only: auxiliary heads, losses, metrics."""
    return name.startswith(_AUXILIARY) or _OF_TRAINING.search(name.partition(".")[0]) is not None


def _is_counter(name: str) -> bool:
    return name.rpartition(".")[2] in _COUNTERS


def fit(expected: Mapping[str, Tensor], reading: Reading, others: Sequence[Reading] = ()) -> Fit:
    """Match a reading with a network's names and shapes.

    Args:
        expected: The network's state, on any device.
        others: Readings of the same file: layers that belong to one of them are no part of this network.
    Raises:
        BadCheckpoint: They do not fit; the message has the first difference and the counts.
    """
    required = {name: value for name, value in expected.items() if not name.endswith(COUNTER)}
    by_name = all(
        name in reading.tensors and reading.tensors[name].shape == value.shape
        for name, value in required.items()
    )
    if by_name:
        names = {name: name for name in expected if name in reading.tensors}
    else:
        names = _by_order(required, reading)
    used = set(names.values())
    extra = {f"{reading.prefix}{k}": v for k, v in reading.tensors.items() if k not in used} | reading.outside
    mean, std, of_normalizer = _normalizer(extra)
    rest = {k: v for k, v in extra.items() if k not in of_normalizer}
    _check_left_over(rest, expected, reading, others)
    left_out = tuple(k for k in rest if not k.endswith(COUNTER))
    return Fit(names, not by_name, left_out, mean, std)


def _check_left_over(
    rest: Mapping[str, Tensor], expected: Mapping[str, Tensor], reading: Reading, others: Sequence[Reading]
) -> None:
    """Refuse what is left over where it may be a layer of the network, which would change the answers."""
    twins = {
        f"{other.prefix}{name}"
        for other in others
        if other.weights is reading.weights and other is not reading and _holds(other, expected)
        for name in other.tensors
    }
    layers = [
        name for name, value in rest.items()
        if name not in twins and not _is_counter(name) and not _trains(name, reading) and _acts(name, value)
    ]  # fmt: skip
    if layers:
        raise NearMiss(
            f"The file also holds {layers[0]} ({_shape(rest[layers[0]])}), which the architecture lacks "
            f"({len(layers)} such tensors). If it was a part of the network, choose another architecture; if "
            "it served training only, leave it out by its name."
        )


def _holds(reading: Reading, expected: Mapping[str, Tensor]) -> bool:
    return all(
        name in reading.tensors and reading.tensors[name].shape == value.shape
        for name, value in expected.items()
        if not name.endswith(COUNTER)
    )


def _trains(name: str, reading: Reading) -> bool:
    """Whether a left over tensor serves training only, with the prefix or parts of it taken off."""
    parts = name.removeprefix(reading.prefix).split(".")
    return any(serves_training(".".join(parts[i:])) for i in range(len(parts)))


def _acts(name: str, value: Tensor) -> bool:
    """Whether a tensor may change the answer: all but single whole numbers may."""
    return value.is_floating_point() or value.numel() > 1


def _shape(value: Tensor) -> str:
    return " × ".join(map(str, value.shape)) or "a single number"


def _normalizer(extra: Mapping[str, Tensor]) -> tuple[tuple[float, ...], tuple[float, ...], set[str]]:
    """Mean and std of a normalizer among what is left over, on pixels of 0…1, and their names."""
    for name, value in extra.items():
        path, _, leaf = name.rpartition(".")
        if leaf not in _MEANS or value.numel() not in (1, 3):
            continue
        partner = next((n for s in _STDS if (n := f"{path}.{s}".lstrip(".")) in extra), None)
        if partner is None or extra[partner].numel() != value.numel():
            continue
        mean, std = value.double().flatten(), extra[partner].double().flatten()
        if not (mean.isfinite().all() and std.isfinite().all() and (std > 0).all()):
            continue
        if float(std.max()) > 2:  # of pixels of 0 to 255
            mean, std = mean / 255, std / 255
        rounded = [tuple(round(float(n), 6) for n in values) for values in (mean, std)]
        return rounded[0], rounded[1], {name, partner}
    return (), (), set()


# --- Other names -----------------------------------------------------------------------------------------


def _by_order(required: Mapping[str, Tensor], reading: Reading) -> dict[str, str]:
    theirs = reading.layers
    if reading.weights.ordered:
        if [value.shape for value in theirs.values()] == [value.shape for value in required.values()]:
            return dict(zip(required, theirs, strict=True))
    else:
        matched = _by_shape(required, theirs)
        if matched is not None:
            return matched
    raise BadCheckpoint(
        f"The weights do not fit the architecture: {difference(required, theirs)}. Choose the architecture "
        "and the settings that the weights were trained with."
    )


def in_order(reading: Reading, order: Sequence[str]) -> Reading:
    """A reading whose layers are in the given order, named as they are in the reading.

    Raises:
        BadCheckpoint: A layer is missing, or there is none of that name.
    """
    layers = _layers(reading.layers)
    unknown = [name for name in order if name not in layers] or [n for n in layers if n not in order]
    if unknown or len(order) > len(layers):
        raise BadCheckpoint(
            f"The order of the layers has {len(order)} names, and the file {len(layers)} layers; "
            f"{(unknown or list(order))[0][:80]!r} is not in both once. Name each layer once: "
            f"{', '.join(list(layers)[:12])}."
        )
    tensors = {f"{n}.{leaf}".lstrip("."): v for n in order for leaf, v in _sorted_leaves(layers[n]).items()}
    return Reading(replace(reading.weights, ordered=True), reading.prefix, tensors, reading.outside)


def _layers(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    found: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        path, _, leaf = name.rpartition(".")
        found.setdefault(path, {})[leaf] = value
    return found


def _sorted_leaves(leaves: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return dict(sorted(leaves.items(), key=lambda item: _LEAVES.index(item[0]) if item[0] in _LEAVES else 9))


def _by_shape(required: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> dict[str, str] | None:
    """Match layers by their shapes, and those of one shape by the numbers in their names.

    Raises:
        BadCheckpoint: Several layers have one shape, and their names do not say which comes first.
    """
    ours_by, theirs_by = _grouped(required), _grouped(theirs)
    if {k: len(v) for k, v in ours_by.items()} != {k: len(v) for k, v in theirs_by.items()}:
        return None
    names: dict[str, str] = {}
    for shapes, paths in ours_by.items():
        for path, other in zip(paths, _by_number(theirs_by[shapes], theirs), strict=True):
            for leaf, _ in shapes:
                names[f"{path}.{leaf}".lstrip(".")] = f"{other}.{leaf}".lstrip(".")
    return names


def _grouped(tensors: Mapping[str, Tensor]) -> dict[tuple[tuple[str, torch.Size], ...], list[str]]:
    found: dict[tuple[tuple[str, torch.Size], ...], list[str]] = {}
    for path, leaves in _layers(tensors).items():
        shapes = tuple((leaf, value.shape) for leaf, value in _sorted_leaves(leaves).items())
        found.setdefault(shapes, []).append(path)
    return found


def _by_number(paths: list[str], theirs: Mapping[str, Tensor]) -> list[str]:
    """Layers of one shape in the order of the numbers in their names, such as conv2 before conv10."""
    if len(paths) == 1:
        return paths
    words = {path: re.findall(r"\d+|\D+", path) for path in paths}
    # Names that differ in their numbers alone, each number at the same place.
    patterns = {tuple("#" if w.isdecimal() else w for w in parts) for parts in words.values()}
    if len(patterns) > 1:
        raise NearMiss(
            f"The layers {', '.join(map(repr, paths[:6]))} have the same shapes, and neither their names nor "
            "the file say which comes first. Save the weights as .pth, which keeps the order, or give the "
            f"order of all layers, such as {', '.join(list(_layers(theirs))[:12])}."
        )
    return sorted(paths, key=lambda path: [int(w) for w in words[path] if w.isdecimal()])
