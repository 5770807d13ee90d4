import json

import pytest

from core.__main__ import main

FASTAI = "epoch,train_loss,valid_loss,accuracy,error_rate\n0,1.2,1.3,.5,.5\n1,1.0,1.1,.6,.4\n"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text(FASTAI)
    return path


def test_the_guess_stands_on_the_error_output_and_options_overrule_it(file, capsys):
    assert main(["history", str(file)]) == 0
    said = capsys.readouterr()
    assert "accuracy is the validation accuracy (a guess" in said.err
    assert "give --column NAME=MEANING" in said.err
    assert "history.csv: 2 epochs" in said.out
    assert main(["history", str(file), "--json", "--column", "accuracy=train-accuracy"]) == 0
    records = json.loads(capsys.readouterr().out)["history.csv"]
    assert records[1] == {
        "kind": "epoch",
        "epoch": 2,
        "train_loss": 1.0,
        "validation_loss": 1.1,
        "train_accuracy": 0.6,
    }


def test_steps_can_be_said_to_be_batches(tmp_path, capsys):
    path = tmp_path / "w.csv"
    path.write_text("Step,train_loss,val_loss\n0,3,\n1,2,2.5\n2,1,\n3,1,1.5\n")
    assert main(["history", str(path), "--steps", "batches", "--json"]) == 0
    records = json.loads(capsys.readouterr().out)["w.csv"]
    assert [(r["epoch"], r["step"]) for r in records if r["kind"] == "epoch"] == [(1, 1), (2, 3)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.csv"], "missing.csv cannot be read: No such file"),
        (["FILE", "--column", "accuracy"], "Give a column and what it is"),
        (["FILE", "--column", "x=train_loss"], "There is no column 'x'"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(file, arguments, words, capsys):
    assert main(["history", *(str(file) if a == "FILE" else a for a in arguments)]) == 2
    assert words in capsys.readouterr().err


def test_a_file_in_which_nothing_is_recognized_says_what_to_do(tmp_path, capsys):
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n2,1\n")
    assert main(["history", str(path)]) == 2
    assert "Say which column is which" in capsys.readouterr().err
    assert main(["history", str(path), "--column", "b=train_loss"]) == 0
