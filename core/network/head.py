"""Where a network turns features into logits: its head, and what goes into it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from core.compute.torch_internals import operation_name
from core.errors import ConvoscopeError
from core.models.classifier import Classifier
from core.network.trace import trace_layers

# The operations that weigh features.
_PRODUCTS = {"addmm", "mm", "mv", "addmv", "bmm", "baddbmm", "convolution"}
# What comes out is what went in, held in another way.
_SAME = {
    "view", "_unsafe_view", "reshape", "flatten", "squeeze", "unsqueeze", "clone", "alias", "detach",
    "contiguous", "_to_copy", "dropout", "_reshape_alias",
}  # fmt: skip


class NoHead(ConvoscopeError):
    """A network whose logits are not made from features by weights."""


@dataclass(frozen=True)
class Head:
    """The layer that makes the logits.

    Attributes:
        layer: Its name in `named_modules()`. Of several heads whose logits are used together, the first.
        features: The layer whose output goes into it as it is, but for dimensions of size 1; None where it is
            given something that no layer answers with, such as the class token alone.
        shape: What it is given for one image.
    """

    layer: str
    features: str | None
    shape: tuple[int, ...]


def head_of(classifier: Classifier) -> Head:
    """The head whose logits the classifier answers with.

    It is found by going back from the logits to the first product with weights: a second head that takes no
    part, or one for other answers, is not reached.

    Raises:
        NoHead: There is none, or its product stands in no layer of its own.
    """
    preprocessing = classifier.card.preprocessing
    observer = _Products()
    trace_layers(classifier.module, preprocessing.input_size, preprocessing.channels, [observer])
    found = observer.head()
    if found is None:
        raise NoHead(
            f"{classifier.card.name} has no layer that makes its logits from features by weights: choose a "
            "layer to take features from."
        )
    return found


@dataclass(frozen=True)
class _Operation:
    name: str
    layer: str
    read: tuple[int, ...]  # numbers of the values that depend on the image
    made: tuple[int, ...]


class _Products:
    """Follows what is made of what during `trace_layers`."""

    def __init__(self) -> None:
        self._operations: list[_Operation] = []
        # The tensors are kept, so that none gets the identity of one that is gone.
        self._values: dict[int, tuple[Tensor, int]] = {}
        self._shapes: dict[int, tuple[int, ...]] = {}
        self._left: dict[str, tuple[int, int]] = {}  # layer → operations before it answered, its value
        self._answer = -1

    def begin(self, inputs: Tensor) -> None:
        self._new(inputs)

    def operation(self, function: Any, arguments: tuple, settings: dict, output: Any, layer: str) -> None:
        given = _tensors((arguments, settings))
        read = tuple(self._values[id(tensor)][1] for tensor in given if id(tensor) in self._values)
        if read:  # what depends on the image is a value; an overwritten one is a new one
            name = operation_name(function)
            made = tuple(self._new(tensor) for tensor in _tensors(output))
            self._operations.append(_Operation(name, layer, read, made))

    def leave(self, layer: str, module: nn.Module, output: Any) -> None:
        value = next((self._values[id(t)][1] for t in _tensors(output) if id(t) in self._values), -1)
        if not layer:
            self._answer = value
            return
        self._left.pop(layer, None)
        self._left[layer] = len(self._operations), value

    def head(self) -> Head | None:
        needed, products = {self._answer}, []
        for number, operation in reversed(list(enumerate(self._operations))):
            if not needed.intersection(operation.made):
                continue
            if operation.name in _PRODUCTS and len(set(operation.read)) == 1:
                products.append(number)  # what is before it is features
            else:
                needed.update(operation.read)
        if not products or not self._operations[products[-1]].layer:
            return None
        number = products[-1]
        product = self._operations[number]
        same = self._held_otherwise(product.read[0], number)
        layers = [name for name, (before, value) in self._left.items() if before <= number and value in same]
        return Head(product.layer, layers[-1] if layers else None, self._shapes[product.read[0]][1:])

    def _held_otherwise(self, value: int, before: int) -> set[int]:
        """The value, and those that hold the same numbers but for dimensions of size 1."""
        same = {value}
        for operation in reversed(self._operations[:before]):
            if operation.name in _SAME and same.intersection(operation.made):
                same.update(
                    v for v in operation.read if _squeezed(self._shapes[v]) == _squeezed(self._shapes[value])
                )
        return same

    def _new(self, tensor: Tensor) -> int:
        number = len(self._shapes)
        self._shapes[number] = tuple(tensor.shape)
        self._values[id(tensor)] = tensor, number
        return number


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size > 1)


def _tensors(values: Any) -> Iterable[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, dict):
        yield from _tensors(list(values.values()))
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _tensors(value)
