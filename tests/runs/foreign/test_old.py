import json
import math
import struct

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from core.history import append_record, of_kind
from core.runs.foreign_history import BadHistory, meaning, read_foreign, read_one
from core.runs.run_list import judge
from core.runs.tensorboard_events import crc32c, looks_like_events, read_scalars

F = descriptor_pb2.FieldDescriptorProto


def _classes():
    """TensorBoard's messages, declared for Google's own serializer: the oracle of the reader."""
    file = descriptor_pb2.FileDescriptorProto(name="events.proto", package="t", syntax="proto3")

    def message(name, *declared):
        made = file.message_type.add(name=name)
        for field, number, kind, label, type_name in declared:
            made.field.add(name=field, number=number, type=kind, label=label, type_name=type_name)

    one, many = F.LABEL_OPTIONAL, F.LABEL_REPEATED
    message("Dim", ("size", 1, F.TYPE_INT64, one, None))
    message("Shape", ("dim", 2, F.TYPE_MESSAGE, many, ".t.Dim"))
    message(
        "Tensor",
        ("dtype", 1, F.TYPE_INT32, one, None),
        ("tensor_shape", 2, F.TYPE_MESSAGE, one, ".t.Shape"),
        ("tensor_content", 4, F.TYPE_BYTES, one, None),
        ("float_val", 5, F.TYPE_FLOAT, many, None),
        ("double_val", 6, F.TYPE_DOUBLE, many, None),
        ("int_val", 7, F.TYPE_INT32, many, None),
        ("string_val", 8, F.TYPE_BYTES, many, None),
    )
    message(
        "Value",
        ("tag", 1, F.TYPE_STRING, one, None),
        ("simple_value", 2, F.TYPE_FLOAT, one, None),
        ("tensor", 8, F.TYPE_MESSAGE, one, ".t.Tensor"),
    )
    message("Summary", ("value", 1, F.TYPE_MESSAGE, many, ".t.Value"))
    message(
        "Event",
        ("wall_time", 1, F.TYPE_DOUBLE, one, None),
        ("step", 2, F.TYPE_INT64, one, None),
        ("file_version", 3, F.TYPE_STRING, one, None),
        ("summary", 5, F.TYPE_MESSAGE, one, ".t.Summary"),
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {n: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"t.{n}"))
            for n in ("Event", "Value", "Tensor")}  # fmt: skip


CLASSES = _classes()


def framed(message):
    def masked(data):
        value = crc32c(data)
        return struct.pack("<I", ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    length = struct.pack("<Q", len(message))
    return length + masked(length) + message + masked(message)


def event(step, tag=None, value=None, **tensor):
    made = CLASSES["Event"](wall_time=1.7e9 + step, step=step)
    if tag is None:
        made.file_version = "brain.Event:2"
    elif tensor:
        made.summary.value.add(tag=tag, tensor=CLASSES["Tensor"](**tensor))
    else:
        made.summary.value.add(tag=tag, simple_value=value)
    return framed(made.SerializeToString())


def test_crc32c_of_the_published_example():
    assert crc32c(b"123456789") == 0xE3069283  # RFC 3720, appendix B.4 has the polynomial's others
    assert crc32c(bytes(32)) == 0x8A9136AA


def test_scalars_in_each_way_they_are_written():
    data = event(0)
    data += event(300, "loss/train", 1.25) + event(2**40, "loss/train", -0.5)
    data += event(1, "float", dtype=1, tensor_content=struct.pack("<f", 0.75))
    data += event(1, "packed", dtype=1, float_val=[0.125])
    data += event(1, "double", dtype=2, double_val=[1e-300])
    data += event(1, "whole", dtype=3, int_val=[7])
    data += event(1, "text", dtype=7, string_val=[b"no number"])
    data += event(1, "nan", math.nan)
    assert looks_like_events(data)
    found = read_scalars(data)
    assert math.isnan(found.pop("nan")[0][1])
    assert found == {
        "loss/train": [(300, 1.25), (2**40, -0.5)], "float": [(1, 0.75)], "packed": [(1, 0.125)],
        "double": [(1, 1e-300)], "whole": [(1, 7.0)],
    }  # fmt: skip


def test_a_file_still_being_written_and_a_step_written_twice():
    data = event(0) + event(1, "loss", 3.0) + event(2, "loss", 2.0) + event(1, "loss", 2.5)
    assert read_scalars(data + event(3, "loss", 1.0)[:-3]) == {"loss": [(1, 2.5), (2, 2.0)]}


def test_a_damaged_event_file_says_where():
    good = event(0)
    damaged = bytearray(good + event(1, "loss", 3.0))
    damaged[len(good)] ^= 1
    with pytest.raises(BadHistory, match=f"byte {len(good)} does not match its checksum"):
        read_one("events.out.tfevents.1", bytes(damaged))


def test_event_files_of_a_loop_that_counts_batches():
    data = event(0)
    for step in range(1, 41):
        data += event(step * 5, "Loss/train", 4.0 / step) + event(step * 5, "lr", 0.1)
        if step % 10 == 0:
            data += event(step * 5, "Loss/val", 5.0 / step) + event(step * 5, "Accuracy/val", step / 50)
    records = read_one("run", data)
    epochs, steps = list(of_kind(records, "epoch")), list(of_kind(records, "step"))
    assert [(r["epoch"], r["step"]) for r in epochs] == [(1, 50), (2, 100), (3, 150), (4, 200)]
    assert epochs[3]["validation_loss"] == pytest.approx(5 / 40)
    # the loop wrote no training loss of an epoch: it is the mean of those of its steps
    assert epochs[0]["train_loss"] == pytest.approx(sum(4 / i for i in range(1, 11)) / 10)
    assert epochs[3]["train_loss"] == pytest.approx(sum(4 / i for i in range(31, 41)) / 10)
    assert "train_accuracy" not in epochs[0]
    assert len(steps) == 40
    assert steps[0]["loss"] == 4.0
    assert steps[0]["learning_rate"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("val_loss", "validation_loss"), ("valid_loss", "validation_loss"), ("Loss/test", "validation_loss"),
        ("train/loss", "train_loss"), ("trainLoss", "train_loss"), ("loss", "loss"),
        ("val_sparse_categorical_accuracy", "validation_accuracy"), ("metrics/accuracy_top1", "accuracy"),
        ("metrics/accuracy_top5", None), ("eval_top1", "validation_accuracy"), ("lr/pg0", "learning_rate"),
        ("learning_rate", "learning_rate"), ("lr-Adam", "learning_rate"), ("grad_norm", "gradient_norm"),
        ("epoch", "epoch"), ("Step", "step"), ("global_step", "step"), ("train_loss_step", "train_loss"),
        ("time", None), ("notes", None), ("epoch_loss", "loss"),
    ],
)  # fmt: skip
def test_what_names_mean(name, ours):
    assert meaning(name) == ours


def test_keras_counts_from_zero_and_says_val():
    text = "epoch,accuracy,loss,val_accuracy,val_loss\n0,0.5,1.2,0.55,1.1\n1,0.8,0.6,0.7,0.9\n"
    assert read_one("log.csv", text.encode()) == [
        {"kind": "epoch", "epoch": 1, "train_accuracy": 0.5, "train_loss": 1.2,
         "validation_accuracy": 0.55, "validation_loss": 1.1},
        {"kind": "epoch", "epoch": 2, "train_accuracy": 0.8, "train_loss": 0.6,
         "validation_accuracy": 0.7, "validation_loss": 0.9},
    ]  # fmt: skip


def test_fastai_accuracy_is_of_the_images_held_out():
    text = "epoch,train_loss,valid_loss,accuracy,time\n0,2.0,1.5,0.40,00:12\n1,1.0,0.9,0.65,00:12\n"
    records = read_one("history.csv", text.encode())
    assert [r["validation_accuracy"] for r in records] == [0.4, 0.65]
    assert "train_accuracy" not in records[0]


def test_lightning_lines_of_one_epoch_are_one_record():
    text = "epoch,step,train_loss,val_acc,val_loss\n0,49,0.9,,\n0,49,,61.5,0.8\n1,99,0.5,,\n1,99,,75,0.6\n"
    records = read_one("metrics.csv", text.encode())
    assert records[1] == {
        "kind": "epoch", "epoch": 2, "step": 99, "train_loss": 0.5, "validation_accuracy": 0.75,
        "validation_loss": 0.6,
    }  # fmt: skip


def test_semicolons_and_percent():
    records = read_one("a.csv", b"epoch;train acc;val acc;train loss\n1;50%;40%;2\n2;90%;60%;1\n")
    assert [r["validation_accuracy"] for r in records] == [0.4, 0.6]


def test_our_own_file_comes_back_as_it_was(tmp_path):
    written = [
        {"kind": "start", "epochs": 2, "steps_an_epoch": 1, "settings": {"learning_rate": 0.1}},
        {"kind": "step", "epoch": 1, "step": 1, "loss": 2.0, "gradient_norm": 1.0},
        {"kind": "epoch", "epoch": 1, "step": 1, "train_loss": 2.0, "train_accuracy": 0.5},
        {"kind": "epoch", "epoch": 2, "step": 2, "train_loss": math.inf, "train_accuracy": 0.1},
    ]
    for record in written:
        append_record(tmp_path / "history.jsonl", record)
    read = read_one("history.jsonl", (tmp_path / "history.jsonl").read_bytes())
    assert read == written
    assert judge(read).kind == "not finite"


def test_the_csv_of_the_page_comes_back():
    from pages.elements.train_monitor.training_curves import as_csv

    history = [
        {"kind": "step", "epoch": 1, "step": 1, "loss": 2.0, "accuracy": 0.25, "gradient_norm": 1.0},
        {"kind": "epoch", "epoch": 1, "step": 1, "train_loss": 2.0, "train_accuracy": 0.5,
         "validation_loss": 1.5, "validation_accuracy": 0.625, "learning_rate": 0.1},
    ]  # fmt: skip
    assert read_one("run.csv", as_csv({"run": history})) == history


def test_keras_history_as_json():
    whole = {"loss": [2.0, 1.0], "val_loss": [2.5, 1.5], "accuracy": [0.2, 0.6], "val_accuracy": [0.1, 0.5]}
    records = read_one("history.json", json.dumps(whole).encode())
    assert records[1] == {"kind": "epoch", "epoch": 2, "train_loss": 1.0, "validation_loss": 1.5,
                          "train_accuracy": 0.6, "validation_accuracy": 0.5}  # fmt: skip


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"\x89PNG\r\n\xff\xfe", "neither text nor a TensorBoard event file"),
        (b"name,age\nanna,7\n", "no loss and no accuracy"),
        (b"epoch,loss\n1,2.0\n2,oops\n", "line 3: loss is 'oops', which is no number"),
        (b"epoch,loss\n", "no lines"),
        (b'{"kind": "epoch", "loss": 1}\n{"kind": "epoch"}\n', "no whole number called 'epoch'"),
    ],
)
def test_what_cannot_be_read_is_named(data, words):
    with pytest.raises(BadHistory, match=words):
        read_one("some.file", data)


def test_a_verdict_needs_its_figures():
    assert judge(read_one("h.csv", b"epoch,val_loss\n1,2\n2,1\n")) is None


def test_a_table_of_several_runs_is_taken_apart():
    text = b"run,epoch,train_loss\na,1,2\nb,1,4\na,2,1\nb,2,3\n"
    found = read_foreign("both.csv", text)
    assert {name: [r["train_loss"] for r in records] for name, records in found.items()} == {
        "a": [2.0, 1.0],
        "b": [4.0, 3.0],
    }
