"""A forward for one module alone: called, copied, pickled, traced and freed as any other."""

import copy
import gc
import pickle
import weakref

import pytest
import torch
from torch import Tensor, nn

from core.compute.own_forward import own_forward, set_forward
from core.compute.tracing import Tracer
from core.network.hooks import captured, replaced


def doubled(layer: nn.Linear, x: Tensor) -> Tensor:
    return 2 * nn.Linear.forward(layer, x)


@pytest.fixture
def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 2), nn.ReLU())


def test_it_runs_and_everything_else_stays(network: nn.Sequential) -> None:
    x, keys, text = torch.randn(4, 3), list(network.state_dict()), repr(network)
    before = network[0](x)
    set_forward(network[0], doubled)
    with captured(network, ["0"]) as seen:
        network(x)
    torch.testing.assert_close(seen["0"], 2 * before)
    assert own_forward(network[0]) is doubled
    assert own_forward(network[1]) is None
    assert (list(network.state_dict()), repr(network), type(network[0])) == (keys, text, nn.Linear)


def test_a_copy_runs_it_on_its_own_weights(network: nn.Sequential) -> None:
    x = torch.randn(4, 3)
    set_forward(network[0], doubled)
    twin = copy.deepcopy(network)
    assert own_forward(twin[0]) is doubled
    with torch.no_grad():
        network[0].weight.zero_()
        network[0].bias.zero_()
    assert twin(x).abs().sum() > 0
    assert network(x).abs().sum() == 0


def test_a_pickle_has_the_forward_of_the_class(network: nn.Sequential) -> None:
    x = torch.randn(4, 3)
    expected = network(x)
    set_forward(network[0], doubled)
    restored = pickle.loads(pickle.dumps(network))
    assert own_forward(restored[0]) is None
    assert torch.equal(restored(x), expected)
    assert torch.equal(copy.deepcopy(restored)(x), expected)


def test_a_network_that_is_no_longer_used_is_freed_at_once(network: nn.Sequential) -> None:
    set_forward(network[0], doubled)
    weight = weakref.ref(network[0].weight)
    network(torch.randn(1, 3))
    gc.disable()
    try:
        del network[0]
        assert weight() is None
    finally:
        gc.enable()


def test_it_is_there_again_after_another_stood_in(network: nn.Sequential) -> None:
    set_forward(network[0], doubled)
    with replaced(network, {"0": lambda x: x[:, :2]}):
        assert own_forward(network[0]) is None
    assert own_forward(network[0]) is doubled


def test_a_trace_of_the_module_itself_follows_it(network: nn.Sequential) -> None:
    def twice(module: nn.Sequential, input: Tensor) -> Tensor:
        return module[1](module[0](input)) + 1

    set_forward(network, twice)
    graph = Tracer().trace(network)
    assert [str(node.target) for node in graph.nodes if node.op == "call_module"] == ["0", "1"]
    assert [node.op for node in graph.nodes].count("call_function") == 1
