"""The rest of a network after one layer, run again and again without what came before."""

from typing import Any

import torch
from torch import Tensor, fx, nn

# How far the rest may be from the whole network before it is not used: (absolute, relative).
CLOSE = (1e-5, 1e-4)


class NetworkSuffix:
    """A network cut behind a layer: what does not depend on the layer is computed once a batch.

        suffix = cut_behind(module, "conv3")
        maps = suffix.begin(inputs)      # the layer's output
        output = suffix.go_on(changed)   # the network's output with `changed` in its place

    Skip connections around the layer are among what is computed once.
    """

    def __init__(self, graph: fx.GraphModule, cut: fx.Node) -> None:
        self._graph, self._cut = graph, cut
        behind = {cut}
        for node in graph.graph.nodes:
            if any(source in behind for source in node.all_input_nodes):
                behind.add(node)
        self._behind = behind
        self._known: dict[fx.Node, Any] = {}

    def begin(self, inputs: Tensor) -> Tensor:
        """Run everything up to the layer, and return its output."""
        run = _UpTo(self._graph, self._behind, self._cut)
        run.run(inputs)
        self._known = {node: value for node, value in run.env.items() if node not in self._behind}
        assert run.kept is not None
        return run.kept

    def go_on(self, maps: Tensor) -> Any:
        """The network's output with this in the place of the layer's. `maps` may be overwritten."""
        run = fx.Interpreter(self._graph, garbage_collect_values=False)
        return run.run(initial_env={**self._known, self._cut: maps})


class _UpTo(fx.Interpreter):
    """Runs a graph without the nodes behind the cut."""

    def __init__(self, graph: fx.GraphModule, behind: set[fx.Node], cut: fx.Node) -> None:
        super().__init__(graph, garbage_collect_values=False)
        self._behind, self._cut = behind, cut
        self.kept: Tensor | None = None

    def run_node(self, n: fx.Node) -> Any:
        if n is self._cut:
            self.kept = super().run_node(n)
            return self.kept
        return None if n in self._behind else super().run_node(n)


class _Tracer(fx.Tracer):
    """Every module without children is one step, whoever wrote it."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not any(True for _ in m.children())


@torch.inference_mode()
def cut_behind(module: nn.Module, layer: str, inputs: Tensor) -> NetworkSuffix | None:
    """Cut a network behind a layer; None where that is not possible or does not give the same answers.

    It is tried on `inputs` twice: a step that overwrites what was computed once shows in the second.

    Args:
        inputs: (N, C, H, W), a few images.
    """
    try:
        graph = _Tracer().trace(module)
        cuts = [n for n in graph.nodes if n.op == "call_module" and n.target == layer]
        if len(cuts) != 1:
            return None
        suffix = NetworkSuffix(fx.GraphModule(module, graph), cuts[0])
        expected = module(inputs)
        maps = suffix.begin(inputs)
        absolute, relative = CLOSE
        for _ in range(2):
            if not torch.allclose(suffix.go_on(maps.clone()), expected, atol=absolute, rtol=relative):
                return None
    except (fx.proxy.TraceError, TypeError, ValueError, RuntimeError, AttributeError, NameError):
        return None  # its code decides by what it computes, so that it cannot be followed in advance
    return suffix
