"""What is used of PyTorch without a promise is still there, and what stands in for it works."""

from torch import nn

from core.compute.torch_internals import set_state_versions, state_versions

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
