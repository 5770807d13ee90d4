"""Which steps of a network are local, and what they look at: compared with what PyTorch changes."""

import pytest
import torch
from torch import nn

from core.occlusion.local_layers import Reach, describe, padded

LAYERS = {
    "convolution": nn.Conv2d(3, 4, 3, stride=2, padding=1),
    "dilated": nn.Conv2d(3, 4, 3, dilation=2, padding=2),
    "max pooling": nn.MaxPool2d(3, 2, 1),
    "average pooling": nn.AvgPool2d(2, 2),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_local_layer_gives_what_the_module_gives(name):
    torch.manual_seed(0)
    module = nn.Sequential(LAYERS[name], nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    x = torch.randn(1, 3, 12, 12)
    with torch.no_grad():
        found = describe(module, x)
        (layer,) = found.layers.values()
        torch.testing.assert_close(layer.run(padded(x, layer)), LAYERS[name](x))
        inputs = x.clone()
        inputs[0, :, 5, 7] += 100  # one place: what changes lies where the reach says
        changed = (LAYERS[name](inputs) != LAYERS[name](x))[0].any(0)
    for axis, at in ((0, 5), (1, 7)):
        first, last = layer.reach[axis].touched(torch.tensor([at]), torch.tensor([at]))
        places = torch.nonzero(changed.any(1 - axis)).flatten()
        assert int(first) <= int(places.min())
        assert int(places.max()) <= int(last)


def test_how_many_inputs_outputs_look_at():
    reach = Reach(kernel=3, stride=2, dilation=2, before=1, size_in=11, size_out=5)
    assert reach.inputs(1) == 5
    assert reach.inputs(4) == 11
    assert not reach.place_by_place
    assert Reach(1, 1, 1, 0, 7, 7).place_by_place


def test_batch_norm_and_activations_work_place_by_place_and_pooling_over_everything_does_not():
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.GELU(), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    with torch.no_grad():
        found = describe(module.eval(), torch.randn(1, 3, 9, 9))
        again = describe(module, torch.randn(1, 3, 9, 9))
    kinds = {type(found.graph.part(node)).__name__ for node in found.pointwise if node.op == "call_module"}
    assert kinds == {"BatchNorm2d", "GELU"}
    assert again.layers is found.layers  # what was found out about a network is kept


def test_a_network_that_someone_watches_or_that_decides_by_values_is_not_described():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
    handle = module[0].register_forward_hook(lambda *_: None)
    with torch.no_grad():
        assert describe(module, torch.randn(1, 3, 9, 9)) is None
        handle.remove()
        assert describe(module, torch.randn(1, 3, 9, 9)) is not None

    class Deciding(nn.Module):
        def forward(self, x):
            return x * 2 if x.sum() > 0 else x

    assert describe(Deciding().eval(), torch.randn(1, 3, 9, 9)) is None
