"""Tracing disturbs neither the network that is traced nor another thread that computes meanwhile."""

import threading

import torch
from torch import fx, nn

from core.compute.tracing import Tracer, copy_for_tracing, settings_left_alone


class Remembers(nn.Module):
    """Keeps what it was last given, as timm's LeViT keeps its attention biases."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.register_buffer("count", torch.zeros(()))
        self.seen = {}

    def forward(self, x, mask=None):
        self.seen["x"] = x
        self.count += 1
        x = self.conv(x)
        return x if mask is None else x * mask


def test_a_copy_keeps_the_proxies_and_shares_the_parameters():
    module = Remembers().eval()
    twin = copy_for_tracing(module)
    graph = Tracer().trace(twin, settings_left_alone(Remembers.forward))
    assert module.seen == {}
    assert float(module.count) == 0
    assert isinstance(twin.seen["x"], fx.Proxy)
    assert twin.conv.weight is module.conv.weight
    assert [node.target for node in graph.nodes if node.op == "call_module"] == ["conv"]


def test_hooks_of_the_original_do_not_hear_of_the_copy():
    module, heard = Remembers(), []
    handle = module.register_forward_hook(lambda *_: heard.append(1))
    copy_for_tracing(module)(torch.zeros(1, 3, 5, 5))
    assert heard == []
    module(torch.zeros(1, 3, 5, 5))
    assert heard == [1]
    handle.remove()


class Slow(nn.Module):
    """Waits in the middle of being traced until another thread has computed."""

    def __init__(self, inside, done):
        super().__init__()
        self.conv, self.inside, self.done = nn.Conv2d(3, 4, 3), inside, done

    def forward(self, x):
        x = self.conv(x)
        self.inside.set()
        assert self.done.wait(20)
        return self.conv(x)


def test_another_thread_computes_while_a_network_is_traced():
    inside, done = threading.Event(), threading.Event()
    other, results = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten()).eval(), []

    def compute():
        assert inside.wait(20)
        try:
            results.append(other(torch.zeros(1, 3, 5, 5)))
            results.append(other[0].weight)
        except BaseException as error:  # noqa: BLE001 -- shown by the assertion below
            results.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=compute)
    thread.start()
    graph = Tracer().trace(Slow(inside, done))
    thread.join()
    assert [type(found) for found in results] == [torch.Tensor, nn.Parameter], results
    assert [node.op for node in graph.nodes].count("call_module") == 2


def test_two_traces_leave_torch_as_it_was():
    call, attribute = nn.Module.__call__, nn.Module.__getattr__
    modules = [nn.Sequential(*(nn.Conv2d(3, 3, 3) for _ in range(20))) for _ in range(4)]
    threads = [threading.Thread(target=Tracer().trace, args=(module,)) for module in modules]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert nn.Module.__call__ is call
    assert nn.Module.__getattr__ is attribute
