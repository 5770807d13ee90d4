"""Histories: lines that any reader understands, read as far as they are whole, each as what it is."""

import json
import math

import pytest

from core.history import (
    EndRecord,
    EpochRecord,
    FeaturesRecord,
    MeasuredAccuracy,
    StartRecord,
    StepRecord,
    append_record,
    of_kind,
    plain_record,
    read_history,
    read_new_records,
    read_plain_records,
    rewrite_history,
    typed_record,
)
from core.paths import PROJECT

RECORDS = [
    StartRecord(2, 10, 1, 0, 100, 20, "cpu", "a processor", "bfloat16", None, 7, {"epochs": 2, "half": True}),
    FeaturesRecord(32, 100),
    StepRecord(1, 5, math.inf, 0.5, 0.1, None, 50.0),
    EpochRecord(1, 10, 2.0, 0.5, -math.inf, 3.0, 2, 50.0, 0.1, 1.5, 0.25, 4.0),
    EndRecord("all epochs done", "Good: é", 1, {"test": {"accuracy": 0.5, "interval": [0.4, 0.6]}}),
]


def test_records_come_back_as_they_were_also_what_is_not_finite(tmp_path):
    path = tmp_path / "history.jsonl"
    for record in RECORDS:
        append_record(path, record)
    assert read_history(path) == RECORDS
    append_record(path, EpochRecord(2, train_loss=math.nan))
    assert math.isnan(read_history(path)[-1].train_loss)
    for line in path.read_text().splitlines():
        json.loads(line, parse_constant=lambda word: (_ for _ in ()).throw(AssertionError(word)))
    assert [r.epoch for r in of_kind(read_history(path), EpochRecord)] == [1, 2]


@pytest.mark.parametrize("record", RECORDS)
def test_a_record_is_the_same_typed_and_plain_and_says_nothing_that_is_not_known(record):
    plain = plain_record(record)
    assert typed_record(json.loads(json.dumps(plain))) == record
    assert None not in plain.values()


def test_fields_of_another_version_are_ignored_and_whole_numbers_are_numbers():
    assert typed_record({"kind": "step", "epoch": 1, "step": 2, "loss": 3, "mood": "good"}) == StepRecord(
        1, 2, 3.0
    )
    assert isinstance(typed_record({"kind": "step", "epoch": 1, "step": 2, "loss": 3}).loss, float)
    assert typed_record({"kind": "start", "settings": {"colour": 0.5}}).settings == {"color": 0.5}
    assert typed_record({"kind": "end", "best_epoch": None}) == EndRecord()


@pytest.mark.parametrize(
    "damaged",
    [
        {"kind": "mood", "epoch": 1},
        {"epoch": 1},
        {"kind": "epoch"},
        {"kind": "epoch", "epoch": "1"},
        {"kind": "epoch", "epoch": 1.5},
        {"kind": "epoch", "epoch": True},
        {"kind": "epoch", "epoch": 1, "train_loss": "low"},
        {"kind": "epoch", "epoch": 1, "train_loss": [1.0]},
        {"kind": "step", "epoch": 1},
        {"kind": "start", "settings": "none"},
        {"kind": "start", "device": 3},
        {"kind": "end", "metrics": []},
    ],
)
def test_a_line_with_a_wrong_type_is_damaged(tmp_path, damaged):
    assert typed_record(damaged) is None
    append_record(tmp_path / "h.jsonl", damaged)
    append_record(tmp_path / "h.jsonl", RECORDS[0])
    assert read_history(tmp_path / "h.jsonl") == RECORDS[:1]


@pytest.mark.parametrize(
    "path", sorted(PROJECT.glob("checkpoints/*/history*.jsonl")), ids=lambda p: p.parent.name
)
def test_every_line_that_ships_is_read_with_all_of_its_fields(path):
    plain, records = read_plain_records(path), read_history(path)
    assert len(records) == len(plain) == len(path.read_bytes().splitlines())
    for one, record in zip(plain, records, strict=True):
        known = {k: v for k, v in one.items() if k != "settings" and v is not None}
        again = plain_record(record)
        assert repr({k: again[k] for k in known}) == repr(known)  # by repr, since NaN is not equal to itself


def test_the_figures_on_the_test_images_are_typed_or_not_there():
    assert RECORDS[-1].test == MeasuredAccuracy(0.5, (0.4, 0.6))
    for metrics in (
        {},
        {"test": None},
        {"test": {"accuracy": 0.5}},
        {"test": {"accuracy": 1, "interval": [1]}},
    ):
        assert EndRecord(metrics=metrics).test is None


def test_a_half_written_line_is_left_for_later(tmp_path):
    path = tmp_path / "history.jsonl"
    append_record(path, StepRecord(1, 1))
    with open(path, "ab") as file:
        file.write(b'{"kind": "step", "epoch": 1, "step": 2, "lo')
    records, offset = read_new_records(path, 0)
    assert records == [StepRecord(1, 1)]
    with open(path, "ab") as file:
        file.write(b'ss": 1}\n')
    assert read_new_records(path, offset)[0] == [StepRecord(1, 2, 1.0)]


def test_a_missing_file_has_no_records_and_a_broken_line_spoils_no_other(tmp_path):
    assert read_history(tmp_path / "none.jsonl") == []
    assert read_new_records(tmp_path / "none.jsonl", 0) == ([], 0)
    (tmp_path / "h.jsonl").write_text('{"a": 1}\n{"a": \n[1]\n{"a": 2}\n')
    assert read_plain_records(tmp_path / "h.jsonl") == [{"a": 1}, {"a": 2}]


def test_what_is_not_kept_is_dropped_and_the_rest_keeps_its_bytes(tmp_path):
    path = tmp_path / "history.jsonl"
    lines = [b'{"kind":"step",  "epoch":1, "step":%d, "mood":"good"}\n' % step for step in range(5)]
    path.write_bytes(b"".join(lines))
    rewrite_history(path, lambda record: record.step < 2)
    assert path.read_bytes() == b"".join(lines[:2])
    assert [file.name for file in tmp_path.iterdir()] == ["history.jsonl"]
