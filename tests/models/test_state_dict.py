"""Files of weights as people save them, and files that are none."""

import io
import pickle
import zipfile
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save as save_safetensors
from torch import nn

from core.errors import BadCheckpoint
from core.models.state_dict import not_finite, read_state_dict


def saved(value: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


MODEL = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
STATE = MODEL.state_dict()


@pytest.mark.parametrize(
    ("value", "note"),
    [
        (STATE, None),
        ({"state_dict": STATE, "epoch": 3, "optimizer": {"lr": 0.1}}, "under 'state_dict'"),
        ({"model": STATE, "args": {"lr": 0.1}}, "under 'model'"),
        ({"epoch": 1, "model_state_dict": dict(STATE)}, "under 'model_state_dict'"),
        ({f"module.{k}": v for k, v in STATE.items()}, "prefix 'module.' was taken off"),
        ({"state_dict": {f"model.{k}": v for k, v in STATE.items()}}, "prefix 'model.'"),
        ({f"_orig_mod.module.{k}": v for k, v in STATE.items()}, "prefix '_orig_mod.'"),
        ({**STATE, "epoch": 7}, "1 entries that are no tensors"),
        ({k: v.half() if v.is_floating_point() else v for k, v in STATE.items()}, None),
    ],
)
def test_what_people_save_gives_the_same_tensors(value: Any, note: str | None) -> None:
    tensors, notes = read_state_dict(saved(value), "weights.pth")
    assert list(tensors) == list(STATE)
    for name, tensor in tensors.items():
        assert tensor.dtype == STATE[name].dtype
        torch.testing.assert_close(tensor, STATE[name], atol=1e-3, rtol=1e-3)
    assert notes == [] if note is None else any(note in text for text in notes)


def test_old_pickles_and_safetensors_are_read_too() -> None:
    for data in (
        saved(STATE, _use_new_zipfile_serialization=False),
        save_safetensors({k: v.contiguous() for k, v in STATE.items()}),
    ):
        tensors, _ = read_state_dict(data, "w")
        assert set(tensors) == set(STATE)
        assert all(torch.equal(tensors[name], STATE[name]) for name in STATE)


def test_data_parallel_inside_a_network_is_seen_through() -> None:
    tensors, notes = read_state_dict(saved({"features.module.0.weight": torch.ones(2)}), "w")
    assert list(tensors) == ["features.0.weight"]
    assert notes == ["The prefix '.module.' was taken off every name."]


class Evil:
    def __reduce__(self) -> Any:
        return (print, ("THIS RAN",))


def test_nothing_in_a_file_runs(capsys: pytest.CaptureFixture[str]) -> None:
    for data in (saved({"weight": Evil()}), pickle.dumps(Evil()), saved(Evil())):
        with pytest.raises(BadCheckpoint, match=r"Python objects|more than weights|no file of weights"):
            read_state_dict(data, "evil.pth")
    assert "THIS RAN" not in capsys.readouterr().out


def test_a_whole_pickled_model_is_refused_with_what_to_do() -> None:
    with pytest.raises(
        BadCheckpoint, match=r"Python objects \(torchvision.models.alexnet.AlexNet\).*state_dict\(\)"
    ):
        read_state_dict(saved(
                              torchvision.models.alexnet(num_classes=2)), "whole.pt")  # fmt: skip


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"'w' is empty"),
        (b"not weights at all", r"no file of weights"),
        (saved(STATE)[:-200], r"cut short|damaged"),
        (saved([1, 2, 3]), r"holds a list, not weights by name"),
        (saved(torch.zeros(3)), r"holds a Tensor, not weights by name"),
        (saved({"lr": 0.1, "epoch": 3}), r"no tensors by name, but lr, epoch"),
        (saved({"w": torch.zeros(2, 2).to_sparse()}), r"'w' of 'w' is sparse"),
        (save_safetensors({"a": torch.zeros(4)})[:-3], r"no file of weights|whole safetensors"),
    ],
)
def test_other_files_are_refused_in_words(data: bytes, message: str) -> None:
    with pytest.raises(BadCheckpoint, match=message):
        read_state_dict(data, "w")


def test_a_zip_that_would_grow_is_refused_before_it_is_read() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 30_000_000)
    with pytest.raises(BadCheckpoint, match=r"would grow to 29 MB"):
        read_state_dict(buffer.getvalue(), "bomb.pth")


def test_numbers_that_are_none_are_found() -> None:
    assert not_finite(
        {"a": torch.ones(2), "b": torch.tensor([1.0, float("nan")]), "c": torch.tensor([1])}
    ) == ["b"]
