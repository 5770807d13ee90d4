import math

from core.history import append_record
from core.runs.foreign.reading import read_history
from core.runs.foreign.records import plain_histories, records_of
from core.runs.run_list import Run, judge


def test_our_own_file_comes_back_as_it_was(tmp_path):
    written = [
        {"kind": "start", "epochs": 2, "steps_an_epoch": 1, "settings": {"learning_rate": 0.1}},
        {"kind": "step", "epoch": 1, "step": 1, "loss": 2.0, "gradient_norm": 1.0},
        {"kind": "epoch", "epoch": 1, "step": 1, "train_loss": 2.0, "train_accuracy": 0.5},
        {"kind": "epoch", "epoch": 2, "step": 2, "train_loss": math.inf, "train_accuracy": 0.1},
    ]
    for record in written:
        append_record(tmp_path / "history.jsonl", record)
    data = (tmp_path / "history.jsonl").read_bytes()
    assert records_of("history.jsonl", data) == written
    assert judge(Run("x", records=tuple(records_of("history.jsonl", data))).history()).kind == "not finite"
    reading = read_history("history.jsonl", data[:-5] + b"\n")
    assert reading.notes == ("Left out: line 4, which is cut off or damaged.",)


def test_the_csv_of_the_page_comes_back():
    text = (
        b"run,kind,epoch,step,loss,accuracy,train_loss,validation_loss,learning_rate,seconds\n"
        b"a,step,1,1,2.0,0.25,,,,\na,epoch,1,1,,,2.0,1.5,0.1,3.5\nb,epoch,1,1,,,4.0,nan,,\n"
    )
    found = plain_histories(read_history("runs.csv", text))
    assert found["a"] == [
        {"kind": "step", "epoch": 1, "step": 1, "loss": 2.0, "accuracy": 0.25},
        {"kind": "epoch", "epoch": 1, "step": 1, "train_loss": 2.0, "validation_loss": 1.5,
         "learning_rate": 0.1, "seconds": 3.5},
    ]  # fmt: skip
    assert math.isnan(found["b"][0]["validation_loss"])
