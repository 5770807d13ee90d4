"""Networks of others: after the surgery every activation is seen, and nothing else has changed."""

import copy
import pickle
from collections import Counter
from collections.abc import Callable

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from core.compute.tracing import Tracer, copy_for_tracing
from core.models.surgery import not_rewritten, prepare_for_analysis, stop_in_place

NETWORKS = {
    "resnet18": torchvision.models.resnet18,
    "resnet50": torchvision.models.resnet50,
    "vgg11_bn": torchvision.models.vgg11_bn,
    "mobilenet_v3_small": torchvision.models.mobilenet_v3_small,
    "efficientnet_b0": torchvision.models.efficientnet_b0,
    "densenet121": torchvision.models.densenet121,
    "timm/tf_efficientnet_lite0": lambda: timm.create_model("tf_efficientnet_lite0"),
    "timm/dla34": lambda: timm.create_model("dla34"),  # its blocks are called in several ways
}


def watch(module: nn.Module, image: Tensor) -> tuple[Counter[str], list[str]]:
    """How often every leaf is called, and the leaves whose output is overwritten afterwards."""
    calls: Counter[str] = Counter()
    outputs: dict[str, tuple[Tensor, Tensor]] = {}

    def seen(name: str) -> Callable[..., None]:
        def hook(part: nn.Module, inputs: object, output: Tensor) -> None:
            calls[name] += 1
            outputs[name] = (output, output.clone())

        return hook

    handles = [
        part.register_forward_hook(seen(name))
        for name, part in module.named_modules()
        if not any(True for _ in part.children())
    ]
    module(image)
    for handle in handles:
        handle.remove()
    return calls, [name for name, (now, then) in outputs.items() if not torch.equal(now, then)]


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_every_activation_has_a_module_of_its_own_and_outputs_stay_to_the_bit(name: str) -> None:
    torch.manual_seed(0)
    module = NETWORKS[name]().eval()
    image = torch.randn(1, 3, 64, 64)
    before, keys = module(image.clone()), list(module.state_dict())
    assert watch(module, image)[1], "a network without anything in place tests nothing"

    assert prepare_for_analysis(module) is module
    assert not not_rewritten(module)
    assert torch.equal(module(image), before)
    assert list(module.state_dict()) == keys
    calls, overwritten = watch(module, image)
    assert set(calls.values()) == {1}
    assert not overwritten
    twin = copy.deepcopy(module)
    assert torch.equal(twin(image), before)
    assert torch.equal(prepare_for_analysis(module)(image), before), "a second time changes nothing"


def test_blocks_stay_what_they_were_for_isinstance_hooks_and_training() -> None:
    module = prepare_for_analysis(torchvision.models.resnet18())
    block = module.layer1[0]
    assert type(block) is torchvision.models.resnet.BasicBlock
    assert isinstance(block.relu_2, nn.ReLU)
    image = torch.randn(2, 3, 64, 64)
    module.train()
    module(image).sum().backward()
    assert block.conv1.weight.grad is not None


def test_a_rewritten_network_is_pickled_as_what_it_was() -> None:
    torch.manual_seed(0)
    module = prepare_for_analysis(torchvision.models.resnet18())
    image = torch.randn(1, 3, 64, 64)
    restored = pickle.loads(pickle.dumps(module))
    assert torch.equal(restored(image), module(image))


def test_a_trace_of_a_rewritten_network_sees_its_new_modules() -> None:
    module = prepare_for_analysis(Twice().eval())
    graph = Tracer().trace(copy_for_tracing(module), {"shortcut": None})
    called = [str(node.target) for node in graph.nodes if node.op == "call_module"]
    assert called == ["first", "act", "act_2", "second", "leaky_relu"]


def test_guided_backprop_agrees_with_a_network_written_with_separate_modules() -> None:
    """The reason for it all: a rule on ReLU modules must act on every ReLU of a torchvision ResNet."""
    captum = pytest.importorskip("captum.attr")
    from core.models.architectures import models

    torch.manual_seed(0)
    theirs = torchvision.models.resnet18().eval()
    ours = models["resnet18"](channels=3, number_of_classes=1000, input_size=(96, 96)).eval()
    ours.load_state_dict(theirs.state_dict())
    prepare_for_analysis(theirs)
    image = torch.randn(1, 3, 96, 96, requires_grad=True)
    a = captum.GuidedBackprop(ours).attribute(image, target=3)
    b = captum.GuidedBackprop(theirs).attribute(image, target=3)
    torch.testing.assert_close(a, b)


class Twice(nn.Module):
    """One activation at two places, a function, an addition in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 1)
        self.act = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        x = self.act(self.first(x))
        y = F.leaky_relu(self.second(self.act(x - 0.5)), 0.3, inplace=True)
        if shortcut is not None:
            y += shortcut
        y += x
        return y


def test_functions_become_modules_and_optional_arguments_keep_their_meaning() -> None:
    torch.manual_seed(0)
    module = Twice().eval()
    image, shortcut = torch.randn(2, 3, 5, 5), torch.randn(2, 4, 5, 5)
    before = module(image), module(image, shortcut=shortcut)
    prepare_for_analysis(module)
    assert torch.equal(module(image), before[0])
    assert torch.equal(module(image, shortcut), before[1])
    assert {name for name, _ in module.named_children()} == {"first", "act", "second", "act_2", "leaky_relu"}
    assert module.leaky_relu.negative_slope == 0.3


def test_one_module_under_two_names_becomes_two_but_weights_stay_shared() -> None:
    relu, linear = nn.ReLU(), nn.Linear(3, 3)
    module = prepare_for_analysis(nn.Sequential(linear, relu, linear, relu))
    assert module[1] is not module[3]
    assert module[0] is module[2]


class Dependent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(x)
        return self.act(x - 1) if x.sum() > 0 else x


def test_a_forward_that_depends_on_values_is_kept_and_reported() -> None:
    module = prepare_for_analysis(nn.Sequential(Dependent()))
    assert list(not_rewritten(module)) == ["0"]
    assert "control flow" in not_rewritten(module)["0"]
    assert torch.equal(module(torch.full((2,), 3.0)), torch.full((2,), 2.0))


def test_stop_in_place_reaches_every_depth() -> None:
    module = nn.Sequential(nn.Sequential(nn.ReLU(inplace=True), nn.Dropout(inplace=True)))
    stop_in_place(module)
    assert not any(part.inplace for part in module[0])
