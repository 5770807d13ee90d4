"""A network as a list of steps that change nothing but their own output, run one at a time.

Whoever wants to run a part of a network again and again (the rest behind a layer, one channel at a time)
needs steps that leave what was computed before alone. Here nothing works in place: an activation that would
overwrite its input runs as one that does not, and `x += y` as `x + y`.

`torch.fx.Interpreter` would do most of this, but every run of it takes a lock that all processes share (that
of tqdm's progress bars) and starts a thread of its own: too much for a server's only thread with models.
"""

import copy
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from core.compute.device_faults import is_device_fault
from core.compute.tracing import Tracer, copy_for_tracing, settings_left_alone

_IN_PLACE: dict[Any, Any] = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}


class NetworkGraph:
    """The steps of a network in their order.

    The network itself is left as it is: what is traced is a copy.

    Args:
        module: The network.
        as_one: Kinds of modules that are one step although they hold others. By default these are batch
            norms, since timm's hold their activation.
        example: (N, C, H, W), N above 1, to follow one run on where the code cannot be followed in advance.
    Attributes:
        nodes: The nodes of the traced graph; every module without children is one step, whoever wrote it.
        images: The first of them, which stands for the images.
        from_input: The nodes whose output depends on the images.
        output: The last of them: what the network returns.
    Raises:
        ValueError, and what `torch.fx` raises: The network's code decides by what it computes, so that it
            cannot be followed in advance.
    """

    def __init__(
        self,
        module: nn.Module,
        as_one: tuple[type[nn.Module], ...] = (nn.BatchNorm2d,),
        example: Tensor | None = None,
    ) -> None:
        twin = copy_for_tracing(module)
        settings = settings_left_alone(type(module).forward)
        tracer = _StepTracer(as_one)
        graph = (tracer if example is None else tracer.watch(twin, example)).trace(twin, settings or None)
        places = [node for node in graph.nodes if node.op == "placeholder"]
        if not places or places[0].target in settings:
            raise ValueError("the network takes no input")
        self.images: fx.Node = places[0]
        self.nodes: list[fx.Node] = _without_checks(list(graph.nodes), places[1:])
        # Of the network itself nothing is kept: whoever remembers the graph by it would never let it go.
        self._parts = {name: _not_in_place(part) for name, part in module.named_modules() if name}
        self._attributes = {
            node: _attribute(str(node.target), module, twin) for node in self.nodes if node.op == "get_attr"
        }
        self._ends = _ends_of(twin, as_one)
        self.from_input = self.behind(self.images)
        self.output = self.nodes[-1]

    def steps_of(self, layer: str) -> list[fx.Node]:
        """The steps whose output is the output of a layer: one for each time it runs; empty where none is.

        The activation inside a batch norm is not a step of its own: the norm ends with it and stands for it.

        Args:
            layer: A name in `named_modules()`.
        """
        name = self._ends.get(layer, layer)
        return [node for node in self.nodes if node.op == "call_module" and node.target == name]

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

    def put(self, node: fx.Node, parts: Sequence[nn.Module], source: fx.Node) -> list[fx.Node]:
        """Put modules in a row in the place of a step, on what `source` gives; the network stays as it is.

        Steps that nobody needs any more go. Without any module the step's readers read `source`.
        """
        made: list[fx.Node] = []
        last = source
        for number, part in enumerate(parts):
            name = f"in_place_of_{node.name}_{number}"
            self._parts[name] = part
            with node.graph.inserting_before(node):
                last = node.graph.call_module(name, (last,))
            self.nodes.insert(self.nodes.index(node), last)
            made.append(last)
        if source in self.from_input:
            self.from_input.update(made)
        node.replace_all_uses_with(last)
        self._remove(node)
        return made

    def _remove(self, node: fx.Node) -> None:
        if node.users or node.op in ("placeholder", "output"):
            return
        sources = node.all_input_nodes
        node.graph.erase_node(node)
        self.from_input.discard(node)
        if node in self.nodes:
            self.nodes.remove(node)
        for source in sources:
            self._remove(source)

    def as_module(self) -> fx.GraphModule:
        """The steps as one module, which runs them in a row as fast as code that was written by hand.

        Activations overwrite what a convolution or a sum gave, where nobody else reads it.
        """
        graph = fx.Graph()
        held: dict[str, Any] = {}
        twins: dict[fx.Node, Any] = {}
        for node in self.nodes:
            if node.op == "placeholder" and node is not self.images:
                twins[node] = next(iter(node.args), None)
                continue
            twin = twins[node] = graph.node_copy(node, twins.__getitem__)
            if node.op == "get_attr":
                held[str(node.target)] = self._attributes[node]
            elif node.op == "call_module":
                held[str(node.target)] = self._overwriting(node)
            elif node.target == "view" and not isinstance(node.args[1], torch.dtype):
                twin.target = "reshape"  # the same, also where the channels come last in memory
        return fx.GraphModule(held, graph).eval()

    def _overwriting(self, node: fx.Node) -> nn.Module:
        part, source = self._parts[str(node.target)], node.all_input_nodes[0]
        made_for_it = isinstance(self.part(source), nn.Conv2d) or source.target is operator.add
        if getattr(part, "inplace", None) is not False or len(source.users) > 1 or not made_for_it:
            return part
        other = copy.copy(part)
        other.inplace = True  # type: ignore[assignment]
        return other

    def run(self, node: fx.Node, known: Mapping[fx.Node, Any], inputs: Tensor | None = None) -> Any:
        """The output of one step.

        Args:
            known: The outputs of the steps that it needs.
            inputs: What the network is given; for its first step.
        """
        if node.op == "placeholder":
            return inputs if node is self.images else next(iter(node.args), None)
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
                if plain == "view" and not isinstance(arguments[1], torch.dtype):
                    plain = "reshape"  # the same, also where the channels come last in memory
                return getattr(arguments[0], plain)(*arguments[1:], **settings)
            case "call_function":
                if settings.get("inplace"):
                    settings = {**settings, "inplace": False}
                function: Any = _IN_PLACE.get(node.target, node.target)
                return function(*arguments, **settings)
        return arguments[0]  # the output


class _StepTracer(Tracer):
    def __init__(self, as_one: tuple[type[nn.Module], ...]) -> None:
        super().__init__()
        self._as_one = as_one

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, self._as_one) or not any(True for _ in m.children())


def _without_checks(nodes: list[fx.Node], settings: list[fx.Node]) -> list[fx.Node]:
    """The nodes without the optional arguments, and without what `torch.fx` adds to check that they are left.

    An argument that the network passes on after all is kept.
    """
    from_settings = set(settings)
    for node in nodes:
        if any(source in from_settings for source in node.all_input_nodes):
            from_settings.add(node)
    needed = {nodes[-1]}
    for node in reversed(nodes):
        if node in needed:
            needed.update(node.all_input_nodes)
    return [node for node in nodes if node in needed or node not in from_settings]


def _attribute(name: str, module: nn.Module, twin: nn.Module) -> Any:
    """An attribute of the network; of its copy where it is a constant that tracing has put there."""
    try:
        return operator.attrgetter(name)(module)
    except AttributeError:
        return operator.attrgetter(name)(twin)


def _ends_of(module: nn.Module, as_one: tuple[type[nn.Module], ...]) -> dict[str, str]:
    """The module that is one step, by the name of the layer inside with which it ends: its last child."""
    found = {}
    for name, part in module.named_modules():
        children = [inner for inner, _ in part.named_children()]
        if name and children and isinstance(part, as_one):
            found[f"{name}.{children[-1]}"] = name
    return found


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


def traced(
    module: nn.Module,
    as_one: tuple[type[nn.Module], ...] = (nn.BatchNorm2d,),
    example: Tensor | None = None,
) -> NetworkGraph | None:
    """The graph of a network; None where its code cannot be followed.

    A fault of the device is raised (`core.compute.device_faults`), and not taken for code that cannot be
    followed.

    Args:
        example: (1, C, H, W). With it, code that decides by the sizes of its maps is followed on one run.
    """
    try:
        return NetworkGraph(module, as_one)
    except CANNOT_FOLLOW as error:
        if is_device_fault(error):
            raise
    if example is None:
        return None
    try:
        graph = NetworkGraph(module, as_one, example.repeat(3, 1, 1, 1))
        return graph if _serves_any_batch(graph, module, example) else None
    except CANNOT_FOLLOW as error:
        if is_device_fault(error):
            raise
        return None


@torch.no_grad()
def _serves_any_batch(graph: NetworkGraph, module: nn.Module, example: Tensor) -> bool:
    """Whether what was seen on one batch holds for one of another size and with other images."""
    inputs = torch.cat([example, example.flip(-1)])
    known: dict[fx.Node, Any] = {}
    for node in graph.nodes:
        known[node] = graph.run(node, known, inputs)
    found, expected = known[graph.output], module(inputs)
    if not (isinstance(found, Tensor) and isinstance(expected, Tensor) and found.shape == expected.shape):
        return False
    return torch.allclose(found, expected, rtol=1e-4, atol=1e-4 * max(1e-3, float(expected.abs().max())))
