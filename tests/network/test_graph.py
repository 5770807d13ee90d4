"""The graph gives what the network gives, follows what it can, and leaves the network alone."""

import numpy as np
import pytest
import timm
import torch
from torch import nn

from core.network.graph import NetworkGraph, traced
from tests.attribution.methods.classifiers import NETWORKS, classifier, photo
from tests.network.module_state import state_of


def run(graph, inputs):
    known = {}
    for node in graph.nodes:
        known[node] = graph.run(node, known, inputs)
    return known


@pytest.mark.parametrize("name", NETWORKS)
def test_steps_give_what_the_network_gives(name):
    c = classifier(name)
    inputs = c.inputs(np.stack([photo(0), photo(1)]))
    graph = NetworkGraph(c.module)
    with torch.no_grad():
        expected, found = c.module(inputs), run(graph, inputs)[graph.output]
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


class Optional(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x, mask=None, scale: float = 2.0, flag: bool = False):
        x = self.norm(self.conv(x)) * scale
        if flag or mask is not None:
            x = x * mask
        return x.mean((2, 3))


def test_optional_arguments_stay_at_their_defaults():
    module = Optional().eval()
    graph, x = NetworkGraph(module), torch.rand(2, 3, 6, 6)
    assert [node.op for node in graph.nodes].count("placeholder") == 1
    assert torch.allclose(run(graph, x)[graph.output], module(x))


class Decides(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


def test_what_decides_by_values_is_not_followed():
    assert traced(Decides()) is None


def test_a_fault_of_the_device_is_raised():
    class Fails(nn.Module):
        def forward(self, x):
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(RuntimeError, match="illegal memory"):
        traced(Fails())


def test_the_activation_inside_a_batch_norm_stands_for_the_norm():
    module = timm.create_model("tf_efficientnet_lite0", num_classes=5).eval()
    graph = traced(module)
    assert graph is not None
    for layer in ("bn1.act", "bn2.act", "blocks.1.0.bn2.act"):
        (step,) = graph.steps_of(layer)
        assert step.target == layer.removesuffix(".act")
        seen: list[torch.Tensor] = []
        handle = module.get_submodule(layer).register_forward_hook(
            lambda *found, seen=seen: seen.append(found[2])
        )
        x = torch.rand(1, 3, 48, 48)
        with torch.no_grad():
            module(x)
            handle.remove()
            assert torch.equal(run(graph, x)[step], seen[0])
    assert [str(step.target) for step in graph.steps_of("conv_head")] == ["conv_head"]
    assert graph.steps_of("no such layer") == []


@pytest.mark.parametrize("name", ["levit_128s", "efficientformer_l1", "tf_efficientnet_lite0", "resnet18"])
def test_tracing_leaves_a_network_as_it_was(name):
    size = 224 if name in ("levit_128s", "efficientformer_l1") else 64
    module = timm.create_model(name, num_classes=5).eval()
    with torch.no_grad():
        expected = module(torch.ones(1, 3, size, size))
    before = state_of(module)
    traced(module)
    assert state_of(module) == before
    with torch.no_grad():
        assert torch.equal(module(torch.ones(1, 3, size, size)), expected)


class DecidesBySize(nn.Module):
    """Pads small maps, splits channels, and goes through a tuple."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        if x.shape[-1] < 20:
            x = nn.functional.pad(x, (2, 2, 2, 2))
        first, second = self.conv(x).chunk(2, 1)
        for part in torch.split(second, 1, 1):
            first = first + part
        return first.flatten(2).mean(2)


def test_code_that_decides_by_sizes_is_followed_on_one_run():
    module, x = DecidesBySize().eval(), torch.rand(5, 3, 9, 9)
    assert traced(module) is None
    graph = traced(module, example=x[:1])
    assert graph is not None
    with torch.no_grad():
        assert torch.equal(run(graph, x)[graph.output], module(x))


class DecidesByBatch(nn.Module):
    def forward(self, x):
        return x.mean((2, 3)) * (2 if x.shape[0] > 2 else 1)


def test_what_holds_for_one_size_of_batch_only_or_depends_on_the_colors_is_not_followed():
    example = torch.rand(1, 3, 6, 6)
    assert traced(DecidesByBatch(), example=example) is None
    assert traced(Decides(), example=example) is None
