"""A classifier that gives the same logits with fewer steps: for work that runs a network many times.

It is made once for a network and kept with it, as long as its weights stay what they are. Layers cannot be
watched in it: whoever wants to see what happens inside takes the classifier itself.
"""

import copy
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, fx, nn

from core.compute.device_faults import is_device_fault
from core.compute.own_forward import own_forward
from core.compute.torch_internals import has_hooks
from core.models.classifier import Classifier
from core.network.fused_graph import fuse, weights_state
from core.network.graph import CANNOT_FOLLOW, NetworkGraph, traced

FUSED_TOLERANCE = 1e-5  # of the largest logit: what the fused network and the network may be apart


@dataclass(eq=False)
class FusedNetwork:
    """A network as few steps.

    Attributes:
        graph: Its steps, fused.
        outputs: What each gave in the run that they were found with; empty once that is over.
        classifiers: Made of the steps when they are asked for, by the order of channels in memory.
    """

    graph: NetworkGraph
    outputs: dict[fx.Node, Any]
    classifiers: dict[torch.memory_format, Classifier] = field(default_factory=dict)


_known: WeakKeyDictionary[nn.Module, tuple[Any, FusedNetwork | None]] = WeakKeyDictionary()


def fused_network(module: nn.Module, inputs: Tensor) -> FusedNetwork | None:
    """The fused steps of a network in evaluation mode; None where its code cannot be followed.

    Nor is a network fused that someone watches or changes: by hooks, or by a forward of its own.

    Args:
        inputs: (1, C, H, W), on the network's device, of the size that it is going to be given.
    """
    if is_watched(module) or module.training:
        return None
    parts = tuple(id(part) for part in module.modules())
    state = (tuple(inputs.shape), inputs.device, parts, weights_state(module))
    known = _known.get(module)
    if known is None or known[0] != state:
        with torch.inference_mode(False), torch.no_grad():
            known = _known[module] = (state, _fused(module, inputs.clone()))
    return known[1]


def known_network(module: nn.Module) -> FusedNetwork | None:
    """What was found out about a network before; None where nothing was."""
    known = _known.get(module)
    return None if known is None else known[1]


def fused_classifier(classifier: Classifier, layout: torch.memory_format | None = None) -> Classifier | None:
    """The classifier made of the fused steps; None where there are none, and on a GPU.

    Args:
        layout: Of maps in memory, by default the classifier's: which is faster depends on the network and the
            machine.
    """
    network = network_of(classifier)
    if network is None:
        return None
    layout = layout or classifier.layout or torch.channels_last
    if layout not in network.classifiers:
        module = network.graph.as_module()
        if layout is not classifier.layout:
            module = copy.deepcopy(module)  # what it shares with the network stays in the network's order
        network.classifiers[layout] = Classifier(module, classifier.card, classifier.device, layout=layout)
    return network.classifiers[layout]


def network_of(classifier: Classifier) -> FusedNetwork | None:
    """The fused steps of a classifier's network; None where there are none, and on a GPU."""
    if classifier.device.type != "cpu":
        return None
    preprocessing = classifier.card.preprocessing
    example = torch.rand(
        1, preprocessing.channels, *preprocessing.input_size, generator=torch.Generator().manual_seed(0)
    )
    layout = classifier.layout or torch.channels_last
    return fused_network(classifier.module, example.contiguous(memory_format=layout))


def is_watched(module: nn.Module) -> bool:
    """Whether someone is told of what happens inside, or changes it."""
    return has_hooks(module) or any(
        "forward" in vars(part) and own_forward(part) is None for part in module.modules()
    )


def _fused(module: nn.Module, inputs: Tensor) -> FusedNetwork | None:
    graph = traced(module, example=inputs)
    if graph is None or not isinstance(graph.output.args[0], fx.Node):  # several answers, or none
        return None
    try:
        expected = outputs_of(graph, inputs)
        outputs = dict(expected)
        fuse(graph, outputs)
        outputs = outputs_of(graph, inputs)
    except CANNOT_FOLLOW as error:
        if is_device_fault(error):
            raise
        return None
    found, answer = outputs[graph.output], expected[graph.output]
    if not isinstance(answer, Tensor):
        return None
    near = FUSED_TOLERANCE * max(1e-6, float(answer.abs().max()))
    return FusedNetwork(graph, {}) if torch.allclose(found, answer, rtol=0, atol=near) else None


def outputs_of(graph: NetworkGraph, inputs: Tensor) -> dict[fx.Node, Any]:
    """The output of every step."""
    outputs: dict[fx.Node, Any] = {}
    for node in graph.nodes:
        outputs[node] = graph.run(node, outputs, inputs)
    return outputs
