"""Which layers of a network answer with a map of the image's places, and how they hold it."""

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from core.errors import ConvoscopeError, SettingError, UnknownName
from core.models.classifier import Classifier
from core.network.place_rules import NOWHERE, Places, arrangement, follow_places, of_image
from core.network.trace import trace_layers
from core.network.trunk import TrunkObserver


class NoFeatureMap(ConvoscopeError):
    """A network without any layer that is a map, such as a multilayer perceptron."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__(
            f"{classifier.card.name} has no layer whose output has rows and columns, so there is no feature "
            "map to weigh: choose a method that works on pixels, or a network with convolutions."
        )


@dataclass(frozen=True)
class FeatureMap:
    """How a layer's output holds its map: channels first, channels last, or tokens.

    Attributes:
        layer: Its name in `named_modules()`.
        channels: How many values each place has.
        size: (height, width), the places of the map.
        rows: The dimension of the output that counts the rows, from 0 for the batch.
        columns: The dimension that counts the columns; the same as `rows` where the places are tokens.
        tokens: Which tokens are the places, row by row; None where the output has rows and columns. Tokens
            that stand for no place (a class token) are not among them.
    """

    layer: str
    channels: int
    size: tuple[int, int]
    rows: int = 2
    columns: int = 3
    tokens: tuple[int, ...] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)"""
        return self.channels, *self.size

    @property
    def channel_dim(self) -> int:
        """The dimension of the output that counts the channels."""
        return 3 - self.rows if self.tokens is not None else 6 - self.rows - self.columns

    def of(self, output: Tensor) -> Tensor:
        """The map as (N, channels, height, width), differentiable.

        Args:
            output: What the layer answers with. Where it has rows and columns, any number of them will do.
        Raises:
            SettingError: It is not what the layer was seen to answer with.
        """
        if self.tokens is None:
            if output.ndim != 4:
                raise self._another(output)
            return output.permute(0, self.channel_dim, self.rows, self.columns)
        if output.ndim != 3 or output.shape[self.rows] <= max(self.tokens):
            raise self._another(output)
        values = output.movedim(self.channel_dim, 1)
        first, last = self.tokens[0], self.tokens[-1]
        if self.tokens == tuple(range(first, last + 1)):
            values = values[:, :, first : last + 1]
        else:
            values = values.index_select(2, torch.tensor(self.tokens, device=output.device))
        return values.unflatten(2, self.size)

    def _another(self, output: Tensor) -> SettingError:
        return SettingError(
            f"The layer {self.layer!r} answers with the shape {tuple(output.shape)}, but it was seen to have "
            f"a map of {self.size[0]} × {self.size[1]}: give it images of the size of the model's card."
        )


@dataclass(frozen=True)
class LayerOutputs:
    """What the layers of a network answer with, in the order of execution.

    Attributes:
        maps: The layers with a map; after a global pool it has one place.
        shapes: (channels, height, width) of the layers with a map and (features,) of those with a vector.
        trunk: The layers that everything goes through (`core.network.trunk`).
    """

    maps: dict[str, FeatureMap]
    shapes: dict[str, tuple[int, ...]]
    trunk: frozenset[str]


class _Maps:
    """Follows the places of the image during `trace_layers`."""

    def __init__(self, input_size: tuple[int, int]) -> None:
        self._input_size = input_size
        # The tensors are kept, so that none gets the identity of one that is gone.
        self._known: dict[int, tuple[Tensor, Places]] = {}
        self._outputs: dict[str, tuple[Tensor, Places]] = {}

    def begin(self, inputs: Tensor) -> None:
        self._known[id(inputs)] = inputs, of_image(*self._input_size)

    def operation(self, function: Any, arguments: tuple, settings: dict, output: Any, layer: str) -> None:
        for position, tensor in enumerate(output if isinstance(output, list | tuple) else (output,)):
            if isinstance(tensor, Tensor):
                places = follow_places(function, arguments, settings, tensor, position, self._look_up)
                self._known[id(tensor)] = tensor, places

    def leave(self, layer: str, module: nn.Module, output: Any) -> None:
        if not layer or not isinstance(output, Tensor):
            return
        self._outputs.pop(layer, None)  # a layer that runs again stands where it ran last
        self._outputs[layer] = output, self._look_up(output)

    def found(self, trunk: frozenset[str]) -> LayerOutputs:
        """What was seen. To be asked after the run, where nobody watches the operations any more."""
        maps: dict[str, FeatureMap] = {}
        shapes: dict[str, tuple[int, ...]] = {}
        for layer, (output, places) in self._outputs.items():
            described = _described(layer, output, places)
            if described is not None:
                maps[layer], shapes[layer] = described, described.shape
            elif output.ndim == 2:
                shapes[layer] = tuple(output.shape[1:])
        return LayerOutputs(maps, shapes, trunk)

    def _look_up(self, tensor: Tensor) -> Places:
        found = self._known.get(id(tensor))
        return found[1] if found else NOWHERE


def _described(layer: str, output: Tensor, places: Places) -> FeatureMap | None:
    shape = tuple(output.shape)
    if len(shape) == 4 and 1 in shape[1:] and sorted(shape[1:])[1] == 1:  # a map of one place
        channels = max(range(1, 4), key=lambda dim: shape[dim])
        rows, columns = (dim for dim in (1, 2, 3) if dim != channels)
        return FeatureMap(layer, shape[channels], (1, 1), rows, columns)
    found = arrangement(places, shape)
    if found is None:
        return None
    (rows, columns), tokens = found
    height, width = (1 if index is None else int(index.max()) + 1 for index in places)
    channels = 3 - rows if tokens is not None else 6 - rows - columns
    return FeatureMap(layer, shape[channels], (height, width), rows, columns, tokens)


_known: WeakKeyDictionary[nn.Module, tuple[Any, LayerOutputs]] = WeakKeyDictionary()


def layer_outputs(classifier: Classifier) -> LayerOutputs:
    """What the layers of a classifier answer with. The network is not run, and looked at only once.

    Raises:
        BadNetwork: It does not take images of its card's size.
    """
    preprocessing = classifier.card.preprocessing
    size, channels = preprocessing.input_size, preprocessing.channels
    state = (size, channels, tuple(id(part) for part in classifier.module.modules()))
    known = _known.get(classifier.module)
    if known is None or known[0] != state:
        seen, trunk = _Maps(size), TrunkObserver()
        trace_layers(classifier.module, size, channels, [seen, trunk])
        known = _known[classifier.module] = state, seen.found(trunk.trunk())
    return known[1]


def layer_shapes(classifier: Classifier) -> dict[str, tuple[int, ...]]:
    """(channels, height, width) or (features,) of the layers' outputs, in the order of execution.

    Layers whose output is neither a map of the image's places nor a vector are left out. Of layers that end
    together the outer comes last.
    """
    return dict(layer_outputs(classifier).shapes)


def feature_maps(classifier: Classifier) -> dict[str, FeatureMap]:
    """Every layer with a map of more than one place, in the order of execution, without running the network.

    Of layers that end together (the last block and the last layer in it) the outer comes last.

    Raises:
        NoFeatureMap: There is none.
    """
    maps = layer_outputs(classifier).maps
    found = {name: one for name, one in maps.items() if one.size[0] * one.size[1] > 1}
    if not found:
        raise NoFeatureMap(classifier)
    return found


def feature_map(classifier: Classifier, layer: str) -> FeatureMap:
    """How that layer's output holds its map.

    Raises:
        UnknownName: It has no map; the message lists the nearest layers that have one.
        NoFeatureMap: No layer has.
    """
    known = feature_maps(classifier)
    if layer not in known:
        raise UnknownName("layer with a feature map", layer, reversed(known))
    return known[layer]
