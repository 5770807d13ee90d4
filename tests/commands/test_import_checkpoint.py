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


def test_the_architecture_is_recognized_and_every_guess_is_said(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = tmp_path / "names.json"
    names.write_text('{"0": "tench, Tinca tinca", "1": "goldfish"}')
    assert main(["import", str(file), "--classes-file", str(names), "--name", "fish"]) == 0
    said = capsys.readouterr().err
    assert (
        "Taken for resnet18, by names and shapes. It also fits timm/resnet18" not in said
    )  # its stem is small
    assert "Taken for resnet18, by names and shapes." in said
    assert "Mean and std are not given: pixels of 0 to 1 were taken as they are (--mean, --std)." in said
    assert load("imported/fish").card.class_names == ("tench, Tinca tinca", "goldfish")


def test_another_set_of_weights_order_and_leaving_out_are_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path / "home"))
    module = models["mlp"](channels=1, number_of_classes=3, input_size=(4, 4), widths="8,8")
    words = ["in", "deep", "out"]
    values = iter(module.state_dict().values())
    state = {f"{word}.{leaf}": next(values) for word in words for leaf in ("weight", "bias")}
    sorted_state = {k: state[k] for k in sorted(state)} | {"probe.weight": torch.zeros(2, 2)}
    path = tmp_path / "w.pth"
    torch.save({"model_ema": sorted_state, "model": {k: v + 1 for k, v in sorted_state.items()}}, path)
    options = (
        f"import {path} --architecture mlp --which model_ema --leave-out probe --order in,deep,out --name one"
    )
    assert main(options.split()) == 0, capsys.readouterr().err
    assert torch.equal(load("imported/one").module.hidden1.weight, state["in.weight"])


def test_a_damaged_checkpoint_is_told_beside_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONVOSCOPE_HOME", str(tmp_path))
    folder = tmp_path / "imported" / "broken"
    folder.mkdir(parents=True)
    (folder / "card.json").write_bytes(b"\xe9")
    (folder / "weights.safetensors").write_bytes(b"")
    assert main(["classifiers"]) == 0
    shown = capsys.readouterr()
    assert (
        "imported/broken is left out: broken/card.json is not a model card: byte 0 is not UTF-8" in shown.err
    )
    assert "digits_cnn" in shown.out


def test_a_missing_file_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", "nothing.pth", "--architecture", "vgg"]) == 2
    assert "nothing.pth cannot be read: No such file" in capsys.readouterr().err


def test_from_scratch_writes_a_run(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "from-scratch --dataset digits --widths 12 --epochs 2 --activation tanh --implementation pytorch"
    assert main(words.split()) == 0
    folder = tmp_path / "home" / "runs" / "digits_mlp_tanh_pytorch"
    assert [r.kind for r in read_history(folder / "history.jsonl")] == ["start", "epoch", "epoch", "end"]
    card = load("runs/digits_mlp_tanh_pytorch").card
    assert card.command.startswith("python -m core from-scratch --name digits_mlp_tanh_pytorch")
    assert "--epochs 2" in card.command
    assert main(words.split()) == 2
    assert "holds a run already" in capsys.readouterr().err
