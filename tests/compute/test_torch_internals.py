"""What is used of PyTorch without a promise is still there, and what stands in for it works."""

import torch
from torch import nn
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode

from core.compute import torch_internals
from core.compute.torch_internals import is_watched, set_state_versions, state_versions, version_of

WHY = (
    "PyTorch no longer keeps the versions of modules in the attribute _metadata of a state dict: see whether "
    "networks such as torchvision's MNASNet are still loaded, and mend core/compute/torch_internals.py."
)


def test_the_versions_of_modules_stand_beside_a_state_dict() -> None:
    state = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)).state_dict()
    assert state_versions(state)["1"] == 2, WHY
    set_state_versions(state, {"1": 1, "more": 3})
    assert state_versions(state)["1"] == 1, WHY
    assert state_versions(state)["more"] == 3, WHY


def test_without_them_nothing_is_known() -> None:
    state = dict(nn.BatchNorm2d(1).state_dict())
    assert state_versions(state) == {}
    set_state_versions(state, {"": 1})
    assert state_versions(state) == {}


GONE = (
    "PyTorch no longer says so; is_watched in core/compute/torch_internals.py takes it for nobody: mend it."
)


class _Silent(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


def test_whoever_follows_the_operations_is_seen() -> None:
    assert not is_watched()
    with _Silent():
        assert is_watched(), GONE
    with forward_ad.dual_level():
        assert is_watched(), GONE
    seen = []
    torch.func.vmap(lambda x: (seen.append(is_watched()), x)[1])(torch.zeros(2))
    assert seen == [True], GONE
    assert not is_watched()


def test_a_tensor_that_is_overwritten_has_another_version() -> None:
    tensor = torch.zeros(3)
    assert hasattr(tensor, "_version"), (
        "PyTorch no longer counts versions: version_of hashes contents, slower."
    )
    before = version_of(tensor)
    assert version_of(tensor) == before
    tensor.add_(1)
    assert version_of(tensor) != before


def test_the_contents_stand_in_for_the_version() -> None:
    with torch.inference_mode():  # such tensors have none
        tensor = torch.zeros(3)
        before = version_of(tensor)
        assert version_of(torch.zeros(3)) == before
        tensor.add_(1)
        assert version_of(tensor) != before


def test_without_the_internals_nobody_is_taken_to_watch(monkeypatch) -> None:
    monkeypatch.setattr(torch._C, "_functorch", None)
    monkeypatch.delattr(forward_ad, "_current_level")
    assert not torch_internals._is_transformed()
    assert not torch_internals._has_duals()
