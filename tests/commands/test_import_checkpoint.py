"""`python -m core import` and `from-scratch`, as typed."""

from pathlib import Path

import pytest
import torch

from core.__main__ import main
from core.history import read_history
from core.models.architectures import models
from core.models.catalogue import load


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path / "home"))
    torch.manual_seed(0)
    module = models["resnet18"](channels=3, number_of_classes=2, input_size=(32, 32), width=1 / 16)
    path = tmp_path / "weights.pth"
    torch.save(module.state_dict(), path)
    return path


def test_weights_become_a_checkpoint(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = f"import {file} --architecture resnet18 --classes cat,dog --mean 0.5,0.5,0.5 --std 0.25"
    assert main([*words.split(), "--name", "pets", "--image", "coffee"]) == 0
    out = capsys.readouterr().out
    assert "122 tensors fit resnet18; images of 32 × 32 × 3." in out
    assert "Kept as imported/pets." in out
    card = load("imported/pets").card
    assert card.class_names == ("cat", "dog")
    assert card.preprocessing.std == (0.25, 0.25, 0.25)
    assert card.settings == {"stem": "small", "width": 1 / 16, "single_logit": False}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--architecture resnet18 --classes cat", "1 class names are given (cat)"),
        ("--architecture resnet99", "There is no architecture named 'resnet99'"),
        ("--architecture resnet18 --std 0", "std is (0.0, 0.0, 0.0): every value must be above 0"),
        ("--architecture resnet18 --input-size big", "write it like 224 or 240x320"),
        ("--architecture vgg", "By their shapes they fit resnet18"),
        ("--architecture resnet18 --dataset digits", "Digits has 10 classes and the network 2"),
    ],
)
def test_mistakes_are_one_sentence(
    file: Path, words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["import", str(file), *words.split(), *([] if "--classes" in words else ["--classes", "a,b"])])
        == 2
    )
    assert message in capsys.readouterr().err


def test_a_missing_file_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "nothing.pth", "--architecture", "vgg"]) == 2
    assert "nothing.pth cannot be read: No such file" in capsys.readouterr().err


def test_from_scratch_writes_a_run(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "from-scratch --dataset digits --widths 12 --epochs 2 --activation tanh --implementation pytorch"
    assert main(words.split()) == 0
    folder = tmp_path / "home" / "runs" / "digits_mlp_tanh_pytorch"
    assert [r["kind"] for r in read_history(folder / "history.jsonl")] == ["start", "epoch", "epoch", "end"]
    card = load("runs/digits_mlp_tanh_pytorch").card
    assert card.command.startswith("python -m core from-scratch --name digits_mlp_tanh_pytorch")
    assert "--epochs 2" in card.command
    assert main(words.split()) == 2
    assert "holds a run already" in capsys.readouterr().err
