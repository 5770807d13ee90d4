"""Which layers everything goes through: the image reaches the answer only by way of their output."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn


class TrunkObserver:
    """Follows what depends on what during `trace_layers`.

    The output of a residual block is on the trunk, what is inside the block is not: the image gets past it.
    """

    def __init__(self) -> None:
        self._operations: list[tuple[list[int], list[int]]] = []  # numbers of values: read, made
        # The tensors are kept, so that none gets the identity of one that is gone.
        self._values: dict[int, tuple[Tensor, int]] = {}
        self._left: dict[str, tuple[int, int]] = {}  # layer → operations before it answered, its value
        self._image = -1
        self._answer = -1
        self._count = 0

    def begin(self, inputs: Tensor) -> None:
        self._image = self._new(inputs)

    def operation(self, function: Any, arguments: tuple, settings: dict, output: Any, layer: str) -> None:
        read = [self._values[id(t)][1] for t in _tensors((arguments, settings)) if id(t) in self._values]
        # What is overwritten is a new value.
        self._operations.append((read, [self._new(tensor) for tensor in _tensors(output)]))

    def leave(self, layer: str, module: nn.Module, output: Any) -> None:
        value = next((self._values[id(t)][1] for t in _tensors(output) if id(t) in self._values), -1)
        if layer:
            self._left[layer] = len(self._operations), value
        else:
            self._answer = value

    def trunk(self) -> frozenset[str]:
        """The layers on it."""
        reached, needed = {self._image}, {self._answer}
        for read, made in self._operations:
            if reached.intersection(read):
                reached.update(made)
        for read, made in reversed(self._operations):
            if needed.intersection(made):
                needed.update(read)
        on_the_way = reached & needed
        made_at, last_read = {self._image: 0}, {self._answer: len(self._operations)}
        for i, (read, made) in enumerate(self._operations):
            made_at.update(dict.fromkeys(made, i + 1))
            last_read.update({value: i for value in read if value != self._answer})
        alive = [0] * (len(self._operations) + 2)  # how many values wait to be read after so many operations
        for value in on_the_way:
            alive[made_at[value]] += 1
            alive[last_read.get(value, -1) + 1] -= 1
        for i in range(1, len(alive)):
            alive[i] += alive[i - 1]
        return frozenset(
            layer for layer, (i, value) in self._left.items() if value in on_the_way and alive[i] == 1
        )

    def _new(self, tensor: Tensor) -> int:
        self._count += 1
        self._values[id(tensor)] = tensor, self._count
        return self._count


def _tensors(values: Any) -> Iterable[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, dict):
        yield from _tensors(list(values.values()))
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _tensors(value)
