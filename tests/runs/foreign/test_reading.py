"""What people bring, each with its right value: rows A1 to A22 of public reports, and variants."""

import json
import math
import random

import pandas as pd
import pytest

from core.runs.foreign.reading import MAXIMUM_MEGABYTES, read_history
from core.runs.foreign.records import plain_histories, plain_records, records_of
from core.runs.foreign.table import BadHistory
from core.runs.run_list import Run, judge
from tests.runs.foreign.made_files import DEIT, FASTAI, HF, LIGHTNING, LOG_HISTORY, WANDB, Events


def epochs(name, data, run=0, **said):
    """(epoch, train_loss, validation_loss, train_accuracy, validation_accuracy) of a run's epochs."""
    records = plain_records(read_history(name, data, **said).runs[run])
    curves = ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy")
    return [(r["epoch"], *(r.get(c) for c in curves)) for r in records if r["kind"] == "epoch"]


def column(reading, metric):
    return next(c for c in reading.columns if c.metric == metric)


def test_a1_top_k_accuracy_is_not_the_accuracy():
    lines = [
        "epoch,accuracy,loss,top_k_categorical_accuracy,val_accuracy,val_loss,val_top_k_categorical_accuracy"
    ]
    for e, accuracy in enumerate([0.5, 0.52, 0.55, 0.54, 0.53, 0.52]):
        lines.append(f"{e},{accuracy + 0.1},{1 - e / 10},.9,{accuracy},{1.2 - e / 20},{0.8 + e / 100}")
    data = "\n".join(lines).encode()
    assert [row[4] for row in epochs("log.csv", data)] == [0.5, 0.52, 0.55, 0.54, 0.53, 0.52]
    assert (
        "epoch 3 with 55.0%" in judge(Run("x", records=tuple(records_of("log.csv", data))).history()).sentence
    )
    others = read_history("log.csv", data).runs[0].placed.others
    assert others["val_top_k_categorical_accuracy"][5] == (6, pytest.approx(0.85))


@pytest.mark.parametrize(
    ("plain", "others", "curve"),
    [
        ("loss", "main_loss,aux1_loss", "train_loss"), ("train_loss", "train_reg_loss", "train_loss"),
        ("val_acc", "val_acc_cat,val_acc_dog", "validation_accuracy"),
        ("val_acc", "best_val_acc", "validation_accuracy"), ("eval_loss", "eval_loss_ema", "validation_loss"),
        ("val/accuracy", "val/accuracy_top5,val/accuracy_class_3", "validation_accuracy"),
        ("loss", "loss_scale", "train_loss"), ("train_total_loss", "train_loss_cls", "train_loss"),
        ("val_acc", "val_mean_class_acc", "validation_accuracy"),
        ("valLoss", "valLossStd", "validation_loss"),
        ("accuracy", "balanced_accuracy,acc@5", "train_accuracy"),
        ("train_loss", "val_train_loss", "train_loss"),
        ("val_acc1", "val_acc5", "validation_accuracy"), ("lr", "lr_scale", "learning_rate"),
    ],
)  # fmt: skip
def test_a2_the_plainest_name_wins(plain, others, curve):
    names = [plain, *others.split(",")]
    for order in (names, names[::-1]):
        rows = (f"{e},{','.join('0.5' if name == plain else '0.01' for name in order)},2" for e in (1, 2))
        data = "\n".join([f"epoch,{','.join(order)},loss_of_x", *rows]).encode()
        assert plain_records(read_history("h.csv", data).runs[0])[0][curve] == 0.5
        assert column(read_history("h.csv", data), plain).taken_for == curve


def test_a2_where_no_name_is_plain_none_is_taken_and_it_is_asked():
    data = b"epoch,loss,main_accuracy,aux_accuracy\n1,2,.5,.3\n2,1,.6,.4\n"
    reading = read_history("h.csv", data)
    assert [c.metric for c in reading.columns if c.is_guess] == ["main_accuracy", "aux_accuracy"]
    assert epochs("h.csv", data)[0] == (1, 2.0, None, None, None)
    assert epochs("h.csv", data, said={"main_accuracy": "train_accuracy"})[1] == (2, 1.0, None, 0.6, None)


def test_a3_test_figures_stay_apart_from_validation():
    data = b"epoch,train_loss,val_loss,test_loss,val_acc,test_acc\n1,1.2,1.3,7.7,.5,.1\n2,1.0,1.4,7.6,.4,.2\n"
    assert epochs("h.csv", data) == [(1, 1.2, 1.3, None, 0.5), (2, 1.0, 1.4, None, 0.4)]
    assert read_history("h.csv", data).runs[0].placed.others["test_loss"] == ((1, 7.7), (2, 7.6))


def test_a4_the_row_of_a_test_is_no_epoch():
    data = LIGHTNING.replace(b"val_loss\n", b"val_loss,test_loss\n") + b"2,,300,,,,9.9\n"
    assert [row[:3] for row in epochs("m.csv", data)] == [(1, 1.005, 1.1), (2, 0.505, 0.55)]
    events = Events().add("train_loss", [(49, 2.0), (99, 1.0)]).add("val_loss", [(49, 2.5), (99, 1.5)])
    events.add("test_loss", [(100, 9.9)])
    assert [row[2] for row in epochs("e", events.data)] == [2.5, 1.5]


def test_a5_rates_without_an_epoch_belong_to_the_epoch_of_their_step():
    records = records_of("metrics.csv", LIGHTNING)
    found = [r for r in records if r["kind"] == "epoch"]
    assert [(r["epoch"], r["step"], r["learning_rate"]) for r in found] == [(1, 99, 0.001), (2, 199, 0.0005)]
    steps = [r for r in records if r["kind"] == "step"]
    assert [(r["step"], r["loss"], r["learning_rate"]) for r in steps] == [
        (49, 1.0, 0.001), (99, 1.01, 0.001), (149, 0.5, 0.0005), (199, 0.51, 0.0005),
    ]  # fmt: skip


@pytest.mark.parametrize("with_epoch", [True, False])
def test_a6_a_rate_written_at_the_first_step_makes_no_epoch(with_epoch):
    ends = [99, 199, 299]
    events = Events().add("lr-SGD", [(0, 0.5), (100, 0.25), (200, 0.125)])
    events.add("train_loss_epoch", [(s, 1.0) for s in ends]).add("val_loss", [(s, 2.0) for s in ends])
    if with_epoch:
        events.add("epoch", [(s, i) for i, s in enumerate(ends)])
    found = [r for r in records_of("e", events.data) if r["kind"] == "epoch"]
    assert [(r["epoch"], r["learning_rate"], r["validation_loss"]) for r in found] == [
        (1, 0.5, 2.0), (2, 0.25, 2.0), (3, 0.125, 2.0),
    ]  # fmt: skip


def test_a7_batches_and_epochs_that_share_an_axis():
    events = Events().add("batch_loss", [(i, 3.0 - i / 10) for i in range(30)])
    events.add("epoch_loss", [(i, float(i)) for i in range(3)])
    records = records_of("e", events.data)
    assert [(r["epoch"], r["train_loss"]) for r in records if r["kind"] == "epoch"] == [
        (1, 0),
        (2, 1),
        (3, 2),
    ]
    steps = [r for r in records if r["kind"] == "step"]
    assert [(r["step"], r["epoch"]) for r in steps[8:12]] == [(8, 1), (9, 1), (10, 2), (11, 2)]
    assert len(steps) == 30


def test_a8_two_runs_of_weights_and_biases_and_the_mean_of_a_group():
    found = plain_histories(read_history("wandb.csv", WANDB))
    assert {n: [r["validation_loss"] for r in h] for n, h in found.items()} == {
        "good": [1.3, 1.1],
        "bad": [9.3, 9.1],
    }
    group = b"Step,Group: a - val_loss,Group: a - val_loss__MIN,Group: a - val_loss__MAX\n0,5,1,9\n1,4,1,9\n"
    assert [row[2] for row in epochs("w.csv", group)] == [5.0, 4.0]


@pytest.mark.parametrize(
    "run", ["lr-0.01-bs-64", "test-run-3", "test_resnet", "grad_norm_clip", "val", "a - b"]
)
def test_a9_what_stands_before_the_separator_is_a_run(run):
    wandb = f'"Step","{run} - train_loss","{run} - train_loss__MIN"\n0,1.3,1\n1,1.1,1\n'
    assert [row[1] for row in epochs("w.csv", wandb.encode())] == [1.3, 1.1]
    assert read_history("w.csv", wandb.encode()).runs[0].name == run
    download = b"Wall time,Step,Value\n1.6e9,0,1.3\n1.6e9,1,1.1\n"
    assert [row[1] for row in epochs(f"run-{run}-tag-train_loss.csv", download)] == [1.3, 1.1]


def test_a9_the_folders_that_keras_names_tell_the_part():
    download = b"Wall time,Step,Value\n1.6e9,0,1.3\n1.6e9,1,1.1\n"
    assert [row[1] for row in epochs("run-lr_0.01_train-tag-epoch_loss.csv", download)] == [1.3, 1.1]
    assert [row[2] for row in epochs("run-lr_0.01_validation-tag-epoch_loss (1).csv", download)] == [1.3, 1.1]
    events = Events().add("epoch_loss", [(0, 2.0), (1, 1.0)]).add("evaluation_loss_vs_iterations", [(9, 2.0)])
    assert [row[:3] for row in epochs("validation.v2", events.data)] == [(1, None, 2.0), (2, None, 1.0)]


def test_a10_an_error_rate_is_no_learning_rate():
    reading = read_history("history.csv", FASTAI)
    assert column(reading, "error_rate").taken_for == "other"
    assert reading.runs[0].placed.others["error_rate"] == ((1, 0.5), (2, 0.4))
    assert not any("learning_rate" in r for r in plain_records(reading.runs[0]))
    assert [row[4] for row in epochs("history.csv", FASTAI)] == [0.5, 0.6]
    assert column(reading, "accuracy").is_guess
    assert (
        column(read_history("h.csv", b"epoch,loss,dropout_rate\n1,2,.5\n"), "dropout_rate").taken_for
        == "other"
    )


def test_a11_nan_for_not_measured_erases_nothing():
    data = (
        b"epoch,step,train_loss,val_acc,val_loss\n0.0,49,2.0,nan,nan\n0.0,99,nan,.5,1.1\n1.0,149,1.0,nan,nan\n"
        b"1.0,199,nan,.6,.55\n"
    )
    assert epochs("m.csv", data) == [(1, 2.0, 1.1, None, 0.5), (2, 1.0, 0.55, None, 0.6)]
    assert judge(Run("x", records=tuple(records_of("m.csv", data))).history()) is None  # no training accuracy
    skipped = b"epoch,loss,val_loss\n1,2,nan\n2,1.5,1.6\n3,1.2,nan\n4,1.1,1.3\n"
    assert [row[2] for row in epochs("m.csv", skipped)] == [None, 1.6, None, 1.3]


@pytest.mark.parametrize(
    "data",
    [
        b"epoch,loss,val_loss\n0,2.0,2.1\n1,nan,nan\n",
        b"epoch,step,train_loss,val_loss\n0,49,2.0,\n0,99,,2.1\n1,149,nan,\n1,199,,nan\n",
        b"epoch,step,train_loss,val_loss\n0,49,2.0,nan\n0,99,nan,2.1\n1,149,nan,nan\n1,199,nan,nan\n",
        b'{"loss": [2.0, NaN], "val_loss": [2.1, NaN]}',
    ],
)
def test_a11_a_nan_that_a_training_had_is_seen(data):
    found = epochs("m.csv", data)
    assert found[0][:3] == (1, 2.0, 2.1)
    assert math.isnan(found[1][1])


@pytest.mark.parametrize("epoch", ["nan", "inf", "1e400", "-inf", "NaN"])
def test_a12_a_row_whose_epoch_is_not_finite_is_left_out_and_said(epoch):
    data = f"epoch,train_loss,val_loss\n{epoch},7,7.1\n1,.9,1.0\n2,.8,.9\n".encode()
    assert [row[:2] for row in epochs("h.csv", data)] == [(1, 0.9), (2, 0.8)]
    assert any("line 2" in note for note in read_history("h.csv", data).notes)


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
def test_a13_every_line_end_is_read(end):
    data = end.join(["epoch,loss,val_loss", "0,1.2,1.3", "1,1.0,1.1", ""]).encode()
    assert [row[:3] for row in epochs("cr.csv", data)] == [(1, 1.2, 1.3), (2, 1.0, 1.1)]


def test_a14_a_download_with_a_word_names_the_line():
    with pytest.raises(BadHistory, match=r"tb_bad.csv, line 3: Value is 'abc', which is not a number"):
        read_history("tb_bad.csv", b"Wall time,Step,Value\n1.6e9,0,\n1.6e9,1,abc\n")


def test_a15_no_log_is_empty_until_it_begins():
    data = b"Epoch,Training Loss,Validation Loss,Accuracy\n1,No log,1.1,0.5\n2,1.0,0.9,0.6\n"
    assert epochs("h.csv", data) == [(1, None, 1.1, None, 0.5), (2, 1.0, 0.9, None, 0.6)]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"epoch": 2.0, "best_metric": None, "log_history": LOG_HISTORY}, indent=2),
        json.dumps(LOG_HISTORY),
        "\n".join(map(json.dumps, LOG_HISTORY)),
        pd.DataFrame(LOG_HISTORY).to_json(),
        pd.DataFrame(LOG_HISTORY).to_json(orient="records"),
        pd.DataFrame(LOG_HISTORY).to_json(orient="index"),
        pd.DataFrame(LOG_HISTORY).to_json(orient="split"),
        pd.DataFrame(LOG_HISTORY).to_json(orient="table"),
        pd.DataFrame(LOG_HISTORY).to_csv(),
    ],
)
def test_a16_a_trainers_log_in_every_form(text):
    found = epochs("trainer_state.json", text.encode())
    assert [row[0] for row in found] == [1, 2]
    assert found[0][1:] == (pytest.approx(1.35), 1.1, None, 0.5)
    assert found[1][1:] == (1.0, 0.9, None, 0.6)  # 1.23 is the mean of the whole training


def test_a16_the_log_of_deit_and_detr():
    reading = read_history("log.txt", DEIT)
    assert [row[4] for row in epochs("log.txt", DEIT)] == pytest.approx([0.1, 0.11, 0.12])
    assert column(
        reading, "test_acc1"
    ).is_guess  # "test" is drawn as validation where nothing else is held out
    assert column(reading, "test_acc5").taken_for == "other"
    detr = "\n".join(
        json.dumps({"train_lr": 1e-4, "train_loss": 9.0 - e, "train_loss_ce": 1.0, "test_loss": 8.0 - e,
                    "test_coco_eval_bbox": [0.1, 0.2], "epoch": e})
        for e in range(2)
    )  # fmt: skip
    assert [row[:3] for row in epochs("log.txt", detr.encode())] == [(1, 9.0, 8.0), (2, 8.0, 7.0)]
    apart = epochs("log.txt", DEIT, said={"test_loss": "other", "test_acc1": "other"})
    assert [row[2] for row in apart] == [None, None, None]


@pytest.mark.parametrize(
    "value",
    [
        {"loss": [1.2, 1.0], "accuracy": [0.5, 0.6], "val_loss": [1.3, 1.1], "val_accuracy": [0.48, 0.55]},
        {"loss": {"0": 1.2, "1": 1.0}, "accuracy": {"0": 0.5, "1": 0.6}, "val_loss": {"0": 1.3, "1": 1.1},
         "val_accuracy": {"0": 0.48, "1": 0.55}},
        {"0": {"loss": 1.2, "accuracy": 0.5, "val_loss": 1.3, "val_accuracy": 0.48},
         "1": {"loss": 1.0, "accuracy": 0.6, "val_loss": 1.1, "val_accuracy": 0.55}},
        {"epoch": [0, 1], "params": {"epochs": 2}, "history": {"loss": [1.2, 1.0], "accuracy": [0.5, 0.6],
         "val_loss": [1.3, 1.1], "val_accuracy": [0.48, 0.55]}},
        {"train": {"loss": [1.2, 1.0], "acc": [50, 60]}, "val": {"loss": [1.3, 1.1], "acc": [48, 55]}},
    ],
)  # fmt: skip
def test_a16_keras_history_in_each_orientation(value):
    found = epochs("history.json", json.dumps(value).encode())
    assert found == [(1, 1.2, 1.3, 0.5, 0.48), (2, 1.0, 1.1, 0.6, pytest.approx(0.55))]


def test_a17_epochs_as_fractions():
    found = epochs("hf.csv", HF)
    assert found == [(1, pytest.approx(1.35), 1.1, None, 0.5), (2, pytest.approx(1.05), 0.9, None, 0.6)]
    uneven = b"epoch,eval_loss,loss\n0.998,1.1,1.3\n1.996,.9,1.2\n2.99,.8,1.1\n"
    assert [row[0] for row in epochs("hf.csv", uneven)] == [1, 2, 3]


def test_a18_an_appended_run_is_another_run_and_a_resumed_one_is_told():
    appended = b"epoch,train_loss\n1,1.2\n2,1.0\n1,9.2\n2,9.0\n"
    reading = read_history("h.csv", appended)
    assert [[r["train_loss"] for r in plain_records(run)] for run in reading.runs] == [[1.2, 1.0], [9.2, 9.0]]
    assert "From line 4 on the epochs start over at 1: that is another run." in reading.notes
    heading = b"epoch,loss\n0,1.2\n1,1.0\nepoch,loss\n2,.9\n"
    assert [row[:2] for row in epochs("h.csv", heading)] == [(1, 1.2), (2, 1.0), (3, 0.9)]
    resumed = b"epoch,loss\n0,5\n1,4\n2,3\n3,2\n2,3.5\n3,2.5\n4,2\n"
    assert [row[1] for row in epochs("h.csv", resumed)] == [5, 4, 3.5, 2.5, 2]
    assert any("line 6" in note and "resumed" in note for note in read_history("h.csv", resumed).notes)
    backwards = b"epoch,loss\n3,1\n2,2\n1,3\n"
    assert [row[:2] for row in epochs("h.csv", backwards)] == [(1, 3), (2, 2), (3, 1)]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a19_decimal_commas(separator):
    rows = ["epoch;loss;accuracy;val_loss;val_accuracy", "0;1,2;0,5;1,3;0,48", "1;1,0;0,6;1,1;0,55"]
    data = "\n".join(rows).replace(";", separator).encode()
    assert epochs("h.csv", data) == [(1, 1.2, 1.3, 0.5, 0.48), (2, 1.0, 1.1, 0.6, 0.55)]
    thousands = f"step{separator}epoch{separator}loss\n12,800{separator}1{separator}0.5\n".encode()
    assert records_of("h.csv", thousands) == [{"kind": "epoch", "epoch": 1, "step": 12800, "train_loss": 0.5}]
    mixed = f"epoch{separator}loss\n1{separator}0,5\n2{separator}0.25\n".encode()
    with pytest.raises(BadHistory, match="line 2, has the number '0,5' with a decimal comma and line 3"):
        read_history("h.csv", mixed)


def test_a20_a_sanity_check_before_the_training_is_left_out():
    data = b"epoch,loss,val_loss\n-1,,9\n0,1.2,1.3\n1,1.0,1.1\n"
    assert [row[:3] for row in epochs("h.csv", data)] == [(1, 1.2, 1.3), (2, 1.0, 1.1)]
    assert any("line 2" in note and "negative" in note for note in read_history("h.csv", data).notes)


def test_a21_validation_every_fifth_epoch():
    events = Events().add("train/loss", [(i, 1.5 - i / 10) for i in range(10)])
    events.add("val/loss", [(0, 1.75), (5, 1.25)])
    found = epochs("e", events.data)
    assert [row[0] for row in found] == list(range(1, 11))
    assert [row[0] for row in found if row[2] is not None] == [1, 6]
    table = b"epoch,loss,val_loss\n" + b"".join(
        b"%d,1.5,%s\n" % (e, b"2" if e % 5 == 0 else b"") for e in range(10)
    )
    assert [row[0] for row in epochs("h.csv", table) if row[2] is not None] == [1, 6]


def test_a22_what_was_read_stays_read():
    yolo = b"   epoch,      train/loss,   test/loss, metrics/accuracy_top1, metrics/accuracy_top5,  lr/0\n"
    yolo += b"       0,   2.0,  1.9,  0.4,  0.8, 0.01\n       1,   1.5,  1.4,  0.5,  0.9, 0.005\n"
    assert epochs("results.csv", yolo) == [(1, 2.0, 1.9, None, 0.4), (2, 1.5, 1.4, None, 0.5)]
    timm = b"epoch,train_loss,eval_loss,eval_top1,eval_top5,lr\n0,5,4,10.5,30,.1\n1,4,3,20.5,40,.05\n"
    assert epochs("summary.csv", timm) == [
        (1, 5, 4, None, pytest.approx(0.105)),
        (2, 4, 3, None, pytest.approx(0.205)),
    ]
    tutorial = Events()
    for tag, value in {
        "Loss/train": 2.0,
        "Loss/test": 3.0,
        "Accuracy/train": 0.5,
        "Accuracy/test": 0.4,
    }.items():
        tutorial.add(tag, [(e, value) for e in range(3)])
    assert epochs("e", tutorial.data)[0] == (1, 2.0, 3.0, 0.5, pytest.approx(0.4))


def test_a_loop_that_counts_batches():
    events = Events()
    for step in range(1, 41):
        events.add("Loss/train", [(step * 5, 4.0 / step)]).add("lr", [(step * 5, 0.125)])
        if step % 10 == 0:
            events.add("Loss/val", [(step * 5, 5.0 / step)])
    records = records_of("run", events.data)
    found = [r for r in records if r["kind"] == "epoch"]
    assert [(r["epoch"], r["step"]) for r in found] == [(1, 50), (2, 100), (3, 150), (4, 200)]
    assert found[3]["validation_loss"] == pytest.approx(5 / 40)
    assert found[3]["train_loss"] == pytest.approx(sum(4 / i for i in range(31, 41)) / 10)
    assert len([r for r in records if r["kind"] == "step"]) == 40
    as_epochs = read_history("run", events.data, steps_are="epochs").runs[0].placed.epochs
    assert len(as_epochs) == 40


def test_runs_of_a_column_are_taken_apart():
    data = b"run,epoch,train_loss\na,1,2\nb,1,4\na,2,1\nb,2,3\n"
    found = plain_histories(read_history("both.csv", data))
    assert {n: [r["train_loss"] for r in h] for n, h in found.items()} == {"a": [2.0, 1.0], "b": [4.0, 3.0]}


def test_each_row_of_many_runs_is_looked_at_once():
    """Twice the lines are twice the calls: what a column called run costs is not the square of the lines."""
    counts = []
    for lines in (500, 1000):
        data = b"run,epoch,train_loss\n" + b"".join(b"r%d,%d,1\n" % (i % 29, i // 29) for i in range(lines))
        counts.append(_calls(data))
    assert counts[1] < 2.2 * counts[0]


def _calls(data):
    import sys

    count = 0

    def look(frame, event, _):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(look)
    try:
        read_history("h.csv", data)
    finally:
        sys.setprofile(None)
    return count


def test_what_was_said_is_taken_and_wrong_words_are_refused():
    data = b"epoch,a,b\n1,2,3\n2,1,2\n"
    assert "no loss and no accuracy" in read_history("h.csv", data).problem
    assert epochs("h.csv", data, said={"a": "train_loss", "b": "validation_loss"})[1][:3] == (2, 1, 2)
    with pytest.raises(BadHistory, match=r"no column 'c' in h.csv. Choose one of a, b, epoch"):
        read_history("h.csv", data, {"c": "train_loss"})
    with pytest.raises(BadHistory, match="a and b cannot all be the training loss"):
        read_history("h.csv", data, {"a": "train_loss", "b": "train_loss"})
    with pytest.raises(BadHistory, match=r"cannot be 'nonsense'. Say that a is one of train_loss"):
        read_history("h.csv", data, {"a": "nonsense"})


def test_the_sentences_say_what_was_taken_for_what():
    words = " ".join(read_history("history.csv", FASTAI).sentences())
    assert "valid_loss is the validation loss (by its name)." in words
    assert "accuracy is the validation accuracy (a guess:" in words
    assert "error_rate: kept as an extra curve" in words
    assert "time: left out: it holds words" in words


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"\x89PNG\r\n\xff\xfe", "neither text nor a TensorBoard event file"),
        (b"epoch,loss\n1,2.0\n2,oops\n", "h.file, line 3: loss is 'oops', which is not a number"),
        (b"epoch,loss\n", "no lines"),
        (b"epoch,loss\n1,2,3\n", "line 2 has 3 cells and the heading has 2"),
        (b"1,2\n2,1\n", "line 1: there are numbers where the names of the columns should stand"),
        (b'epoch,loss\n1,"2\n2,1\n', "line 2: a quotation mark is opened and not closed"),
        (b"epoch,loss\n1," + b"9" * 200_000, "line 2 cannot be read"),
        (b"epoch,loss\n1,2\n2,\x00\n", "line 3 holds a byte that is not text"),
        (b"[" * 100_000, "objects within objects"),
        (b'{"a": {"b": []}}', "JSON without a table"),
        (b"[{}]", "neither numbers nor words"),
        (b'{"loss": [1, 2', "not valid JSON"),
        (b'{"kind": "epoch", "loss": 1}\n', "no whole number called 'epoch'"),
        (
            b'{"kind": "epoch", "epoch": 1, "train_loss": "x"}\n',
            "line 1: train_loss is 'x', which is not a number",
        ),
        (b'{"kind": "end", "metrics": 5}\n', "line 1: metrics is 5, where names with values are expected"),
        (b"\n" * (MAXIMUM_MEGABYTES * 2**20 + 1), "at most 8 MB are read"),
    ],
)
def test_what_cannot_be_read_is_named(data, words):
    with pytest.raises(BadHistory, match=words):
        plain_histories(read_history("h.file", data))


def test_accuracies_that_are_written_after_an_epoch_belong_to_it():
    """mmpretrain's log: records of training count iterations, those of validation stand between them."""
    lines = [
        {"lr": 0.1, "loss": 2.3, "epoch": 1, "iter": 100}, {"accuracy/top1": 45.5, "accuracy/top5": 80.0},
        {"lr": 0.1, "loss": 1.9, "epoch": 2, "iter": 200}, {"accuracy/top1": 55.5, "accuracy/top5": 85.0},
    ]  # fmt: skip
    data = "\n".join(map(json.dumps, lines)).encode()
    assert epochs("log.json", data) == [(1, 2.3, None, None, 0.455), (2, 1.9, None, None, 0.555)]
    assert column(read_history("log.json", data), "accuracy/top1").is_guess


def test_a_column_called_iteration_counts_batches():
    data = b"iter,loss,val_loss\n" + b"".join(
        b"%d,2,%s\n" % (i, b"1" if i % 5 == 4 else b"") for i in range(20)
    )
    assert [row[0] for row in epochs("h.csv", data)] == [1, 2, 3, 4]
    assert len(read_history("h.csv", data).runs[0].placed.steps) == 20


def test_a_count_of_right_answers_is_no_accuracy():
    reading = read_history("h.csv", b"epoch,train_loss,val_acc\n1,2,8500\n2,1,8600\n")
    assert column(reading, "val_acc").reason == "its values are neither shares of 1 nor percents"
    assert plain_records(reading.runs[0])[0] == {"kind": "epoch", "epoch": 1, "train_loss": 2.0}


@pytest.mark.parametrize(
    "text",
    [
        "| epoch | loss | val_loss |\n|---|---|---|\n| 1 | 2 | 3 |\n| 2 | 1 | 2 |\n",
        "epoch  loss  val_loss\n    1     2         3\n    2     1         2\n",
        "sep=;\nepoch;loss;val_loss\n1;2;3\n2;1;2\n",
        "# epoch loss val_loss\n1 2 3\n2 1 2\n",
        "\ufeff,epoch,loss,val_loss\n0,1,2,3\n1,2,1,2\n",
        "epoch,loss,val_loss\n1,tensor(2.),\"tensor(3., device='cuda:0')\"\n2,tensor(1.0000),2\n",
    ],
)
def test_tables_in_every_dress(text):
    for data in (text.encode(), text.encode("utf-16")):
        assert [row[:3] for row in epochs("h.txt", data)] == [(1, 2, 3), (2, 1, 2)]


@pytest.mark.parametrize("heading", ["train - loss,val - loss", "Loss - train,Loss - val"])
def test_a_part_of_the_data_before_a_dash_is_no_run(heading):
    assert [row[:3] for row in epochs("h.csv", f"epoch,{heading}\n1,2,3\n2,1,2\n".encode())] == [
        (1, 2, 3),
        (2, 1, 2),
    ]


@pytest.mark.parametrize("data", [LIGHTNING, HF, FASTAI, WANDB])
def test_the_order_of_columns_and_the_separator_change_nothing(data):
    rows = [line.split(",") for line in data.decode().splitlines()]
    whole = [plain_records(run) for run in read_history("h.csv", data).runs]
    chance = random.Random(0)
    for separator in (",", "\t", ";"):
        order = chance.sample(range(len(rows[0])), len(rows[0]))
        text = "\n".join(separator.join(row[i] for i in order) for row in rows)
        found = [plain_records(run) for run in read_history("h.csv", text.encode()).runs]
        assert sorted(map(str, map(_sorted, found))) == sorted(map(str, map(_sorted, whole)))


def _sorted(records):
    return [sorted(record.items()) for record in records]


def test_batches_that_begin_again_in_every_epoch_are_added_up():
    data = b"epoch,batch,loss,val_loss\n0,0,3,\n0,1,2.5,\n0,,,2.8\n1,0,2,\n1,1,1.5,\n1,,,2.0\n"
    records = records_of("h.csv", data)
    assert [(r["step"], r["loss"]) for r in records if r["kind"] == "step"] == [
        (0, 3),
        (1, 2.5),
        (2, 2),
        (3, 1.5),
    ]
    assert [(r["epoch"], r["step"], r["validation_loss"]) for r in records if r["kind"] == "epoch"] == [
        (1, 1, 2.8), (2, 3, 2.0),
    ]  # fmt: skip


def test_one_accuracy_in_percent_and_one_below_1_is_asked():
    reading = read_history("h.csv", b"epoch,train_acc,val_acc\n1,10.5,0.4\n2,20.9,0.8\n")
    assert column(reading, "val_acc").is_guess
    assert any("val_acc stays at or below 1" in note for note in reading.notes)
    in_percent = epochs("h.csv", b"epoch,train_acc,val_acc\n1,10.5,0.4%\n2,20.9,0.8%\n")
    assert [row[4] for row in in_percent] == pytest.approx([0.004, 0.008])


def test_a_network_that_is_measured_again_after_its_training_is_no_run():
    data = b"epoch,train_loss,val_loss\n0,3,\n0,,3.1\n1,2,\n1,,2.1\n0,,2.05\n"
    reading = read_history("h.csv", data)
    assert [row[:3] for row in epochs("h.csv", data)] == [(1, 3, 3.1), (2, 2, 2.1)]
    assert reading.notes == ("Row 6 comes after the end of the training, so it is left out.",)
