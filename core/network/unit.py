"""A unit of a network: a channel of a layer, one place of a channel, or a class."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from core.errors import SettingError, TargetOutOfRange, UnknownName
from core.models.classifier import Classifier
from core.network.feature_maps import layer_outputs, layer_shapes
from core.network.hooks import captured


@dataclass(frozen=True)
class Unit:
    """What is looked at, or made to answer.

    Attributes:
        layer: A name in `named_modules()`; None for the logits, whose channels are the classes.
        channel: Index of the channel, or of the class.
        place: (row, column) on the channel's map; None for the whole map.
    """

    layer: str | None
    channel: int
    place: tuple[int, int] | None = None

    def objective(self, output: Tensor) -> Tensor:
        """What gradient ascent raises: the value at the place, else the mean of the map. Differentiable.

        Shape:
            output: (N, C, H, W) or (N, C), as `outputs` returns it
            returns: (N,)
        """
        one = output[:, self.channel]
        if one.ndim == 1:
            return one
        return one.mean((1, 2)) if self.place is None else one[:, self.place[0], self.place[1]]

    def activation(self, output: Tensor) -> Tensor:
        """How strongly it answers: the value at the place, else the largest of the map. (N,)"""
        one = output[:, self.channel]
        if one.ndim == 1:
            return one
        return one.amax((1, 2)) if self.place is None else one[:, self.place[0], self.place[1]]

    def title(self, class_names: tuple[str, ...]) -> str:
        """What it is called on pages and in files."""
        if self.layer is None:
            return f"class {class_names[self.channel]}"
        where = "" if self.place is None else f", row {self.place[0]}, column {self.place[1]}"
        return f"{self.layer}, channel {self.channel}{where}"


def outputs(classifier: Classifier, layer: str | None, inputs: Tensor) -> Tensor:
    """A layer's output for normalized inputs, or the logits. Differentiable, and no hook is left.

    A map is returned with its channels first, however the layer holds it.

    Shape:
        inputs: (N, C, H, W) float32
        returns: (N, C, H, W) or (N, C)
    Raises:
        UnknownName: There is no such layer.
        NoTensor: Its output is not one tensor.
    """
    if layer is None:
        return classifier.logits(inputs)
    with captured(classifier.module, [layer]) as found:
        classifier.module(inputs)
    described = layer_outputs(classifier).maps.get(layer)
    return found[layer] if described is None else described.of(found[layer])


def check_unit(
    classifier: Classifier, unit: Unit, shapes: Mapping[str, tuple[int, ...]] | None = None
) -> Unit:
    """The unit, if the network has it.

    Args:
        shapes: What `layer_shapes` returns, where it is known already.
    Raises:
        UnknownName: There is no such layer with channels.
        SettingError: The layer has no such channel or place.
        TargetOutOfRange: There is no such class.
    """
    if unit.layer is None:
        if not 0 <= unit.channel < classifier.number_of_classes:
            raise TargetOutOfRange(unit.channel, classifier.number_of_classes)
        return unit
    shapes = layer_shapes(classifier) if shapes is None else shapes
    if unit.layer not in shapes:
        raise UnknownName("layer with channels", unit.layer, shapes)
    channels, *size = shapes[unit.layer]
    if not 0 <= unit.channel < channels:
        raise SettingError(
            f"Channel {unit.channel} of {unit.layer!r} does not exist: it has {channels}, "
            f"from 0 to {channels - 1}."
        )
    if unit.place is not None and not (
        size and 0 <= unit.place[0] < size[0] and 0 <= unit.place[1] < size[1]
    ):
        allowed = (
            f"choose a row from 0 to {size[0] - 1} and a column from 0 to {size[1] - 1}"
            if size
            else "its output has no rows and columns, so leave the place out"
        )
        raise SettingError(f"{unit.layer!r} has no place {unit.place[0]}, {unit.place[1]}: {allowed}.")
    return unit
