"""What is used of PyTorch without a promise is still there, and what stands in for it works."""

import torch
from torch import nn
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode

from core.compute import torch_internals
from core.compute.torch_internals import (
    NO_DEFAULT,
    base_written_by,
    declared_defaults,
    forget_hooks,
    has_hooks,
    is_watched,
    operation_name,
    set_state_versions,
    state_versions,
    version_of,
)

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


MEND = "Mend core/compute/torch_internals.py."


class _WithoutSchema:
    """An operation as an upgrade may leave it."""

    def __init__(self, function):
        self.name = function.name


def test_operations_tell_their_names() -> None:
    assert operation_name(torch.ops.aten.add.Tensor) == "add", f"Operations are named in another way. {MEND}"
    assert operation_name(torch.ops.aten.relu_.default) == "relu_"


def test_operations_declare_their_arguments(monkeypatch) -> None:
    add = torch.ops.aten.add.Tensor
    assert hasattr(add, "_schema"), f"PyTorch has no _schema any more; torch.fx reads declarations. {MEND}"
    expected = {"self": NO_DEFAULT, "other": NO_DEFAULT, "alpha": 1}
    assert declared_defaults(add) == expected
    signatures = torch_internals.get_signature_for_torch_op(add)
    monkeypatch.setattr(torch_internals, "get_signature_for_torch_op", lambda _: signatures)
    assert declared_defaults(_WithoutSchema(add)) == expected


def test_what_is_written_into_a_part_is_known() -> None:
    whole = torch.zeros(3, 3)
    writes, reads = torch.ops.aten.relu_.default, torch.ops.aten.relu.default
    assert base_written_by(writes, whole[0]) is whole, f"PyTorch has no _base any more. {MEND}"
    for read in (reads, _WithoutSchema(reads)):
        assert base_written_by(read, whole[0]) is None
    assert base_written_by(_WithoutSchema(writes), whole[0]) is whole


def test_hooks_are_seen_and_forgotten() -> None:
    for register in ("register_forward_hook", "register_forward_pre_hook"):
        network = nn.Sequential(nn.ReLU())
        assert not has_hooks(network)
        getattr(network[0], register)(lambda *_: None)
        assert has_hooks(network), f"PyTorch keeps hooks elsewhere. {MEND}"
        forget_hooks(network)
        assert not has_hooks(network)
