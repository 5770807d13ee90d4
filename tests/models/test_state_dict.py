"""Files of weights as people save them, and files that are none."""

import io
import pickle
import zipfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save as save_safetensors
from torch import nn

from core.errors import BadCheckpoint
from core.models.state_dict import MOST_TENSORS, WeightSet, not_finite, read_weights
from core.models.weight_fit import readings


def saved(value: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def read(data: bytes, name: str) -> tuple[dict[str, torch.Tensor], list[str]]:
    """The first set of weights, with the prefix that all names share taken off."""
    sets = read_weights(data, name)
    reading = max(readings(sets[:1]), key=lambda r: (-len(r.outside), len(r.prefix)))
    return reading.tensors, [*reading.weights.notes, reading.prefix]


MODEL = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
STATE = MODEL.state_dict()


@pytest.mark.parametrize(
    ("value", "note"),
    [
        (STATE, None),
        ({"state_dict": STATE, "epoch": 3, "optimizer": {"lr": 0.1}}, "under 'state_dict'"),
        ({"model": STATE, "args": {"lr": 0.1}}, "under 'model'"),
        ({"epoch": 1, "model_state_dict": dict(STATE)}, "under 'model_state_dict'"),
        ({f"module.{k}": v for k, v in STATE.items()}, "module."),
        ({"state_dict": {f"model.{k}": v for k, v in STATE.items()}}, "model."),
        ({f"_orig_mod.module.{k}": v for k, v in STATE.items()}, "_orig_mod.module."),
        ({"net_state_dict": STATE, "val_acc": 0.9}, "under 'net_state_dict'"),
        ({"weights_dict": STATE}, "under 'weights_dict'"),
        ({"epoch": 1, "model_state": STATE}, "under 'model_state'"),
        ({"arch": "resnet18", "state_dict": STATE, "best_acc1": torch.tensor(69.7)}, "under 'state_dict'"),
        ({"state_dict": STATE, "confusion": torch.zeros(2, 2)}, "under 'state_dict'"),
        ({"state_dict": STATE, "best_acc": np.float64(0.9), "curve": np.arange(3.0)}, "under 'state_dict'"),
        ({"model": STATE, "args": Namespace(lr=0.1, out=Path("x"))}, "under 'model'"),
        ({"a": {"b": {"state_dict": STATE}}}, "under 'a.b.state_dict'"),
        ({**STATE, "epoch": 7}, "1 entries that are not tensors"),
        ({k: v.half() if v.is_floating_point() else v for k, v in STATE.items()}, None),
    ],
)
def test_what_people_save_gives_the_same_tensors(value: Any, note: str | None) -> None:
    tensors, notes = read(saved(value), "weights.pth")
    assert list(tensors) == list(STATE)
    for name, tensor in tensors.items():
        torch.testing.assert_close(tensor.to(STATE[name].dtype), STATE[name], atol=1e-3, rtol=1e-3)
    assert notes == [""] if note is None else any(note in text for text in notes)


def test_old_pickles_and_safetensors_are_read_too() -> None:
    for data in (
        saved(STATE, _use_new_zipfile_serialization=False),
        save_safetensors({k: v.contiguous() for k, v in STATE.items()}),
    ):
        tensors, _ = read(data, "w")
        assert set(tensors) == set(STATE)
        assert all(torch.equal(tensors[name], STATE[name]) for name in STATE)


def test_data_parallel_inside_a_network_is_seen_through() -> None:
    (first, *_) = readings(read_weights(saved({"features.module.0.weight": torch.ones(2, 2)}), "w"))
    assert list(first.tensors) == ["features.0.weight"]


class Evil:
    def __reduce__(self) -> Any:
        return (print, ("THIS RAN",))


def test_nothing_in_a_file_runs(capsys: pytest.CaptureFixture[str]) -> None:
    for data in (saved({"weight": Evil()}), pickle.dumps(Evil()), saved(Evil())):
        with pytest.raises(BadCheckpoint, match=r"Python objects|more than weights|not a file of weights"):
            read_weights(data, "evil.pth")
    assert "THIS RAN" not in capsys.readouterr().out


def test_a_whole_pickled_model_is_refused_with_what_to_do() -> None:
    with pytest.raises(
        BadCheckpoint, match=r"Python objects \(torchvision.models.alexnet.AlexNet\).*state_dict\(\)"
    ):
        read_weights(saved(
                              torchvision.models.alexnet(num_classes=2)), "whole.pt")  # fmt: skip


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"'w' is empty"),
        (b"not weights at all", r"not a file of weights"),
        (saved(STATE)[:-200], r"cut short|damaged"),
        (saved([1, 2, 3]), r"holds a list, not weights by name"),
        (saved(torch.zeros(3)), r"holds a Tensor, not weights by name"),
        (saved({"lr": 0.1, "epoch": 3}), r"no tensors by name, but lr, epoch"),
        (saved({"w": torch.zeros(2, 2).to_sparse()}), r"'w' of 'w' is sparse"),
        (
            saved({"w": torch.zeros(2, 2, dtype=torch.complex64)}),
            r"'w' of 'w' is sparse, quantized or complex",
        ),
        (saved({"w": torch.zeros(2, 2, device="meta")}), r"'w' of 'w' is on the device 'meta'"),
        (saved({"w": torch.zeros(0, 4)}), r"has the shape 0 × 4 and so holds no numbers"),
        (saved({"w": torch.zeros(4, 0, 3, 3)}), r"has the shape 4 × 0 × 3 × 3"),
        (saved({"w": torch.zeros(1, dtype=torch.half).expand(30_000, 30_000)}), r"only a part of it"),
        (saved({"w": torch.zeros(1).expand(100_000, 100_000)}), r"only a part of it"),
        (save_safetensors({"a": torch.zeros(0, 4)}), r"holds no numbers"),
        (save_safetensors({}), r"holds no tensors by name"),
        (save_safetensors({"a": torch.zeros(4)})[:-3], r"not a file of weights|whole safetensors"),
    ],
)
def test_other_files_are_refused_in_words(data: bytes, message: str) -> None:
    with pytest.raises(BadCheckpoint, match=message):
        read_weights(data, "w")


def test_a_zip_that_would_grow_is_refused_before_it_is_read() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 30_000_000)
    with pytest.raises(BadCheckpoint, match=r"would grow to 29 MB"):
        read_weights(buffer.getvalue(), "bomb.pth")


def test_numbers_that_are_none_are_found() -> None:
    assert not_finite(
        {"a": torch.ones(2), "b": torch.tensor([1.0, float("nan")]), "c": torch.tensor([1])}
    ) == ["b"]


def test_a_file_that_holds_itself_is_refused_at_once() -> None:
    held: dict[str, Any] = {}
    held["state_dict"] = held
    with pytest.raises(BadCheckpoint, match="no tensors by name, but state_dict"):
        read_weights(saved(held), "loop.pth")
    deep: dict[str, Any] = {"model": STATE}
    for _ in range(5):
        deep = {"model": deep}
    with pytest.raises(BadCheckpoint, match="no tensors by name"):
        read_weights(saved(deep), "deep.pth")


def test_views_that_repeat_the_numbers_of_a_file_are_refused() -> None:
    whole = torch.zeros(600, 600)
    views = {f"{i}.weight": whole[:] for i in range(20)}
    with pytest.raises(BadCheckpoint, match=r"would take 27 MB, and the file has 1\.4 MB"):
        read_weights(saved(views), "views.pth")


def test_too_many_tensors_are_refused() -> None:
    names = [f"{i}.weight" for i in range(MOST_TENSORS + 1)]
    with pytest.raises(BadCheckpoint, match="more than 20,000 tensors"):
        read_weights(save_safetensors({name: torch.zeros(1) for name in names}), "many.safetensors")
    one = torch.zeros(1, 1)
    with pytest.raises(BadCheckpoint, match="more than 20,000 tensors"):
        read_weights(saved(dict.fromkeys(names, one)), "many.pth")


def test_every_set_of_weights_is_found_the_plain_one_first() -> None:
    optimizer = {"state": {0: {"exp_avg": torch.zeros(4, 3, 3, 3)}}, "param_groups": [{"lr": 0.1}]}
    average = {f"module.{k}": v for k, v in STATE.items()}
    sets = read_weights(saved({"model_ema": average, "optimizer": optimizer, "model": STATE}), "w.pth")
    assert [(s.place, s.is_average) for s in sets] == [("model", False), ("model_ema", True)]


def test_the_order_of_the_layers_is_known_unless_names_were_sorted() -> None:
    def ordered(value: Any) -> bool:
        return read_weights(saved(value), "w.pth")[0].ordered

    assert ordered(STATE)
    assert ordered({f"layers.{i}": value for i, value in enumerate(STATE.values())})
    assert not ordered({key: STATE[key] for key in sorted(STATE)})
    assert not read_weights(save_safetensors(dict(STATE)), "w")[0].ordered


def test_versions_of_modules_are_read() -> None:
    assert read_weights(saved(STATE), "w.pth")[0].versions["1"] == 2  # batch norm's format


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """The bytes with some flipped, cut out, doubled or cut off."""
    held = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        if not held:
            break
        # Headers and pickles stand at the beginning and the end of a file.
        at = int(rng.integers(len(held)) if rng.random() < 0.5 else rng.integers(min(len(held), 600)))
        match rng.integers(5):
            case 0:
                held[at] = int(rng.integers(256))
            case 1:
                held[at] ^= 1 << int(rng.integers(8))
            case 2:
                del held[at : at + int(rng.integers(1, 40))]
            case 3:
                held[at:at] = held[at : at + int(rng.integers(1, 40))]
            case 4:
                del held[at:]
    return bytes(held)


FUZZED = 50  # damaged files of each format; 2,000 were tried once
SMALL = {"conv.weight": torch.ones(2, 1, 3, 3), "fc.weight": torch.ones(2, 2), "fc.bias": torch.ones(2)}
FILES = [
    saved({"state_dict": SMALL, "best": np.float64(0.5)}),
    saved(SMALL, _use_new_zipfile_serialization=False),
    save_safetensors(SMALL, metadata={"versions": "{}"}),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("data", FILES, ids=["zip", "legacy", "safetensors"])
def test_damaged_files_give_weights_or_a_sentence(data: bytes) -> None:
    for seed in range(FUZZED):
        try:
            sets = read_weights(mutated(data, np.random.default_rng(seed)), "w")
        except BadCheckpoint:
            continue
        assert all(isinstance(s, WeightSet) and s.tensors for s in sets)
