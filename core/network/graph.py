"""A network as a list of steps that change nothing but their own output, run one at a time.

Whoever wants to run a part of a network again and again (the rest behind a layer, one channel at a time)
needs steps that leave what was computed before alone. Here nothing works in place: an activation that would
overwrite its input runs as one that does not, and `x += y` as `x + y`.

`torch.fx.Interpreter` would do most of this, but every run of it takes a lock that all processes share (that
of tqdm's progress bars) and starts a thread of its own: too much for a server's only thread with models.
"""

import copy
import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

_IN_PLACE: dict[Any, Any] = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}


class NetworkGraph:
    """The steps of a network in their order.

    Args:
        module: The network, which is left as it is.
        as_one: Kinds of modules that are one step although they hold others.
    Attributes:
        nodes: Of the traced graph; every module without children is one step, whoever wrote it.
        from_input: Those whose output depends on the images.
        output: The last of them: what the network returns.
    Raises:
        ValueError, and what `torch.fx` raises: The network's code decides by what it computes, so that it
            cannot be followed in advance.
    """

    def __init__(self, module: nn.Module, as_one: tuple[type[nn.Module], ...] = ()) -> None:
        self.nodes: list[fx.Node] = list(_Tracer(as_one).trace(module).nodes)
        # Of the network itself nothing is kept: whoever remembers the graph by it would never let it go.
        self._parts = {name: _not_in_place(part) for name, part in module.named_modules() if name}
        self._attributes = {
            node: operator.attrgetter(str(node.target))(module)
            for node in self.nodes
            if node.op == "get_attr"
        }
        places = [node for node in self.nodes if node.op == "placeholder"]
        if not places:
            raise ValueError("the network takes no input")
        self.from_input = self.behind(places[0])
        self.output = self.nodes[-1]

    def behind(self, node: fx.Node) -> set[fx.Node]:
        """The node, and every node whose output depends on its."""
        found = {node}
        for other in self.nodes:
            if any(source in found for source in other.all_input_nodes):
                found.add(other)
        return found

    def part(self, node: fx.Node) -> nn.Module | None:
        """The module that a node calls, if it calls one."""
        return self._parts.get(str(node.target)) if node.op == "call_module" else None

    def run(self, node: fx.Node, known: Mapping[fx.Node, Any], inputs: Tensor | None = None) -> Any:
        """The output of one step.

        Args:
            known: The outputs of the steps that it needs.
            inputs: What the network is given; for its first step.
        """
        if node.op == "placeholder":
            return inputs if node in self.from_input else next(iter(node.args), None)
        arguments = fx.node.map_arg(node.args, known.__getitem__)
        return self.call(node, arguments, fx.node.map_arg(node.kwargs, known.__getitem__))

    def call(self, node: fx.Node, arguments: Any, settings: Any) -> Any:
        """The output of one step for these arguments, by place and by name."""
        match node.op:
            case "get_attr":
                return self._attributes[node]
            case "call_module":
                return self._parts[str(node.target)](*arguments, **settings)
            case "call_method":
                name = str(node.target)
                plain = name[:-1] if name.endswith("_") and not name.endswith("__") else name
                return getattr(arguments[0], plain)(*arguments[1:], **settings)
            case "call_function":
                if settings.get("inplace"):
                    settings = {**settings, "inplace": False}
                function: Any = _IN_PLACE.get(node.target, node.target)
                return function(*arguments, **settings)
        return arguments[0]  # the output


class _Tracer(fx.Tracer):
    def __init__(self, as_one: tuple[type[nn.Module], ...]) -> None:
        super().__init__()
        self._as_one = as_one

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, self._as_one) or not any(True for _ in m.children())


def _not_in_place(part: nn.Module) -> nn.Module:
    """The same module with the same weights, without working in place; the module itself is left alone."""
    if getattr(part, "inplace", False) is not True:
        return part
    other = copy.copy(part)
    other.inplace = False  # type: ignore[assignment]
    return other


CANNOT_FOLLOW = (
    fx.proxy.TraceError, TypeError, ValueError, RuntimeError, AttributeError, NameError, KeyError, IndexError,
)  # fmt: skip


def traced(module: nn.Module, as_one: tuple[type[nn.Module], ...] = ()) -> NetworkGraph | None:
    """The graph of a network; None where its code cannot be followed in advance."""
    try:
        return NetworkGraph(module, as_one)
    except CANNOT_FOLLOW as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        return None
