"""Where the channels of each convolution are looked at: after the activation, where one follows."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from torch import Tensor, nn

from core.compute.torch_internals import operation_name
from core.errors import ConvoscopeError, SettingError, UnknownName
from core.models.classifier import Classifier
from core.network.receptive_field import Axis, FootprintObserver, ReceptiveField
from core.network.trace import trace_layers

# Operations that leave channel c where it was: what comes out is still that channel.
_NORMS = {
    "native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training",
    "cudnn_batch_norm", "_batch_norm_with_update", "batch_norm", "native_group_norm",
}  # fmt: skip
_POOLS = {"max_pool2d_with_indices", "max_pool2d", "avg_pool2d", "adaptive_max_pool2d"}
_SAME = {"clone", "alias", "detach", "contiguous", "_to_copy", "dropout", "view"}
_ACTIVATIONS = {
    "relu", "gelu", "silu", "elu", "leaky_relu", "hardtanh", "hardswish", "hardsigmoid", "mish", "sigmoid",
    "tanh", "softplus", "_prelu_kernel", "clamp_min", "clamp", "threshold", "log_sigmoid_forward",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class SeenBoxes:
    """The parts of the image that the places of a map see.

    Attributes:
        rows: (height, 4) int64: of every row of the map the first and the last row of pixels that it sees,
            and the first and how many they would be if the image had no border.
        columns: (width, 4) int64: the same for its columns.
        whole_image: Whether every place sees the whole image.
    """

    rows: np.ndarray
    columns: np.ndarray
    whole_image: bool

    @classmethod
    def of(cls, field: ReceptiveField) -> "SeenBoxes":
        height, width = field.map_size
        return cls(_intervals(field.rows, height), _intervals(field.columns, width), field.is_whole_image)

    def box(self, place: int) -> tuple[int, int, int, int]:
        """(top, left, height, width) of what a place (y · width + x) sees, as if there were no border."""
        y, x = divmod(int(place), len(self.columns))
        rows, columns = self.rows[y], self.columns[x]
        return int(rows[2]), int(columns[2]), int(rows[3]), int(columns[3])


def _intervals(axis: Axis, size: int) -> np.ndarray:
    at = np.arange(size) if axis.dim is not None else np.zeros(size, int)
    low, high = axis.low[at], axis.high[at]
    begin, length = low.copy(), high - low + 1
    if axis.grid is not None and axis.dim is not None:
        place = at if axis.place is None else axis.place[at]
        begin = np.floor(axis.grid.first + place * axis.grid.jump).astype(int)
        length = np.full(size, int(np.ceil(axis.grid.size)))
    return np.stack([low, high, begin, length], axis=1)


@dataclass(frozen=True, eq=False)
class ChannelLayer:
    """A convolution, and the layer at whose output its channels are measured and switched off.

    Attributes:
        name: The convolution's name in `named_modules()`.
        site: The layer whose output counts; its channel c is the convolution's.
        place: What the site is, in words for people: "at the output of relu1, after its activation (ReLU)".
        activated: Whether the site's output is after the activation.
        channels: How many filters it has.
        map_size: (height, width) of the site's output.
        kernel_size: (height, width) of the convolution.
        in_channels: Channels that one filter looks at.
        seen: What the site's places see of the image; None where it is not known.
    """

    name: str
    site: str
    place: str
    activated: bool
    channels: int
    map_size: tuple[int, int]
    kernel_size: tuple[int, int]
    in_channels: int
    seen: SeenBoxes | None = None

    def box(self, place: int) -> tuple[int, int, int, int] | None:
        """As `SeenBoxes.box`; None where it is not known what the places see."""
        return None if self.seen is None else self.seen.box(place)

    def facts(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "name": self.name,
            "site": self.site,
            "place": self.place,
            "activated": self.activated,
            "channels": self.channels,
            "map_size": list(self.map_size),
            "kernel_size": list(self.kernel_size),
            "in_channels": self.in_channels,
            "whole_image": self.seen is not None and self.seen.whole_image,
        }


class NoConvolution(ConvoscopeError):
    """A network without any channel to look at."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} has no convolution, so there are no filters to look at: choose a convolutional network."
        )


def channel_layers(module: nn.Module, input_size: tuple[int, int], channels: int) -> list[ChannelLayer]:
    """Every convolution of a network in the order of execution, with the place where its channels count.

    From the convolution on, normalization and pooling are followed up to its activation, whether a norm is a
    layer without others inside or, as timm's, holds its activation or an `Identity`. Where something else
    comes first (a sum with a skip connection), or where the activation is no layer of its own or a layer that
    is used several times, the place is the last layer before.

    Raises:
        NoConvolution: There is none.
        BadNetwork: The network takes no such image.
    """
    watcher, footprints = _Watcher(), FootprintObserver(input_size)
    trace_layers(module, input_size, channels, [watcher, footprints])
    parts = dict(module.named_modules())
    found = []
    for name, (site, activation, shape) in watcher.sites().items():
        part = parts[name]
        assert isinstance(part, nn.Conv2d)
        field = footprints.fields.get(site)
        seen = None
        if isinstance(field, ReceptiveField) and field.map_size == shape:
            seen = SeenBoxes.of(field)
        found.append(
            ChannelLayer(
                name=name,
                site=site,
                place=_in_words(name, site, activation),
                activated=bool(activation),
                channels=part.out_channels,
                map_size=shape,
                kernel_size=(int(part.kernel_size[0]), int(part.kernel_size[1])),
                in_channels=part.in_channels // part.groups,
                seen=seen,
            )
        )
    if not found:
        raise NoConvolution(type(module).__name__)
    return found


def _in_words(name: str, site: str, activation: str) -> str:
    if activation:
        return f"at the output of {site}, after the activation ({activation})"
    where = "its own output" if site == name else f"the output of {site}"
    return f"at {where}, since no layer with an activation follows directly"


_known: WeakKeyDictionary[Classifier, list[ChannelLayer]] = WeakKeyDictionary()


def layers_of(classifier: Classifier) -> list[ChannelLayer]:
    """The convolutions of a classifier, found out once.

    Raises:
        NoConvolution: It has none.
    """
    if classifier not in _known:
        preprocessing = classifier.card.preprocessing
        _known[classifier] = channel_layers(
            classifier.module, preprocessing.input_size, preprocessing.channels
        )
    return list(_known[classifier])


def find_layer(layers: Iterable[ChannelLayer], name: str) -> ChannelLayer:
    """The layer of that convolution.

    Raises:
        UnknownName: There is none.
    """
    layers = list(layers)
    for layer in layers:
        if layer.name == name:
            return layer
    raise UnknownName("convolution", name, [layer.name for layer in layers])


def check_channels(layer: ChannelLayer, channels: Sequence[int] | np.ndarray) -> np.ndarray:
    """These channels, ascending, each once.

    Raises:
        SettingError: The layer has no such channel.
    """
    for channel in channels:
        if not 0 <= channel < layer.channels:
            raise SettingError(
                f"Channel {channel} of {layer.name!r} does not exist: it has {layer.channels}, "
                f"from 0 to {layer.channels - 1}."
            )
    return np.unique(np.asarray(channels, np.int64))


@dataclass
class _Chain:
    """A channel on its way.

    Attributes:
        convolution: What it is a channel of.
        activation: The activation behind it; "" as long as there is none.
        counts: Whether the last operation was the convolution, a norm or the activation. What else leaves a
            channel where it was (pooling, dropout) is no place to look at it.
        seen: Whether a layer with this output is known. The layers around it that pass the output on are not
            places of their own. A norm that holds an `Identity` or an activation is one with its output.
    """

    convolution: str
    activation: str = ""
    counts: bool = True
    seen: bool = False


def _convolves(module: nn.Module) -> bool:
    """A block with convolutions of its own: steps inside it that are no layers are not its own output's."""
    return any(isinstance(part, nn.Conv2d | nn.Linear) for part in module.modules())


class _Watcher:
    """Follows what becomes of each convolution's output."""

    def __init__(self) -> None:
        # The tensors are kept, so that none gets the identity of one that is gone.
        self._chains: dict[int, tuple[Tensor, _Chain]] = {}
        self._runs: Counter[str] = Counter()
        self._order: list[str] = []
        self._steps: dict[str, list[tuple[str, str, tuple[int, ...]]]] = {}
        self._kinds: dict[str, str] = {}

    def begin(self, inputs: Tensor) -> None:
        pass

    def operation(self, function: Any, arguments: tuple, settings: dict, output: Any, layer: str) -> None:
        result = output[0] if isinstance(output, list | tuple) and output else output
        if not isinstance(result, Tensor) or not arguments or not isinstance(arguments[0], Tensor):
            return
        name = operation_name(function).rstrip("_")
        known = self._chains.get(id(arguments[0]))
        if known is None:
            return
        chain = known[1]
        if name in _ACTIVATIONS and not chain.activation:
            chain = _Chain(chain.convolution, name)
        elif name in _NORMS and not chain.activation and result.shape[:2] == known[0].shape[:2]:
            chain = _Chain(chain.convolution)
        elif name not in _POOLS | _SAME or chain.activation or result.shape[:2] != known[0].shape[:2]:
            if result is arguments[0]:  # an in-place sum: the tensor is something else from here on
                del self._chains[id(result)]
            return
        else:
            chain = _Chain(chain.convolution, counts=False)
        self._chains[id(result)] = (result, chain)

    def leave(self, layer: str, module: nn.Module, output: Any) -> None:
        self._runs[layer] += 1
        if not isinstance(output, Tensor) or output.ndim != 4:
            return
        if isinstance(module, nn.Conv2d):
            self._chains[id(output)] = (output, _Chain(layer, seen=True))
            self._steps[layer] = [(layer, "", tuple(output.shape[2:]))]
            return
        known = self._chains.get(id(output))
        if known is None or not known[1].counts or isinstance(module, nn.Identity) or _convolves(module):
            return
        chain = known[1]
        if not chain.seen:  # else a layer inside has this very output
            chain.seen = True
            leaf = not any(True for _ in module.children())
            activation = (type(module).__name__ if leaf else chain.activation) if chain.activation else ""
            self._steps[chain.convolution].append((layer, activation, tuple(output.shape[2:])))

    def sites(self) -> dict[str, tuple[str, str, tuple[int, int]]]:
        found = {}
        for name, steps in self._steps.items():
            usable = [step for step in steps if self._runs[step[0]] == 1] or steps[:1]
            # The first layer after the activation, else the last before it.
            site, activation, shape = next((s for s in usable if s[1]), usable[-1])
            found[name] = (site, activation, (shape[0], shape[1]))
        return found
