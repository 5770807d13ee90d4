"""Which layers of a network answer with a map that still has rows and columns."""

from typing import Any

from torch import Tensor, nn

from core.errors import ConvoscopeError, UnknownName
from core.models.classifier import Classifier
from core.network.trace import trace_layers


class NoFeatureMap(ConvoscopeError):
    """A network without any layer that is a map, such as a multilayer perceptron."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__(
            f"{classifier.card.name} has no layer whose output has rows and columns, so there is no feature "
            "map to weigh: choose a method that works on pixels, or a network with convolutions."
        )


class _Maps:
    def __init__(self) -> None:
        self.shapes: dict[str, tuple[int, ...]] = {}

    def begin(self, inputs: Tensor) -> None:
        pass

    def operation(self, function: Any, arguments: tuple, settings: dict, output: Any, layer: str) -> None:
        pass

    def leave(self, layer: str, module: nn.Module, output: Any) -> None:
        if layer and isinstance(output, Tensor) and output.ndim in (2, 4):
            self.shapes.pop(layer, None)  # a layer that runs again stands where it ran last
            self.shapes[layer] = tuple(int(n) for n in output.shape[1:])


def layer_shapes(classifier: Classifier) -> dict[str, tuple[int, ...]]:
    """(channels, height, width) or (channels,) of every layer's output, in the order of execution.

    The network is not run. Of layers that end together the outer comes last.
    """
    found = _Maps()
    preprocessing = classifier.card.preprocessing
    trace_layers(classifier.module, preprocessing.input_size, preprocessing.channels, [found])
    return found.shapes


def feature_maps(classifier: Classifier) -> dict[str, tuple[int, int, int]]:
    """(channels, height, width) of every layer with a map, in the order of execution, without running it.

    Of layers that end together (the last block and the last layer in it) the outer comes last.

    Raises:
        NoFeatureMap: There is none.
    """
    shapes = layer_shapes(classifier).items()
    found = {name: (s[0], s[1], s[2]) for name, s in shapes if len(s) == 3 and s[1] * s[2] > 1}
    if not found:
        raise NoFeatureMap(classifier)
    return found


def check_feature_map(classifier: Classifier, layer: str) -> str:
    """The layer's name, if it is one with a map.

    Raises:
        UnknownName: It is not; the message lists the nearest.
    """
    known = feature_maps(classifier)
    if layer not in known:
        raise UnknownName("layer with a feature map", layer, reversed(known))
    return layer
