"""Histories: lines that any reader understands, read as far as they are whole."""

import json
import math

from core.history import append_record, of_kind, read_history, read_new_records, rewrite_history


def test_records_come_back_as_they_were_also_what_is_no_number(tmp_path):
    path = tmp_path / "history.jsonl"
    records = [{"kind": "step", "loss": math.inf}, {"kind": "epoch", "norms": [1.0, -math.inf], "word": "é"}]
    for record in records:
        append_record(path, record)
    append_record(path, {"kind": "epoch", "loss": math.nan})
    assert read_history(path)[:2] == records
    assert math.isnan(read_history(path)[2]["loss"])
    for line in path.read_text().splitlines():
        json.loads(line, parse_constant=lambda word: (_ for _ in ()).throw(AssertionError(word)))
    assert len(list(of_kind(read_history(path), "epoch"))) == 2


def test_a_half_written_line_is_left_for_later(tmp_path):
    path = tmp_path / "history.jsonl"
    append_record(path, {"step": 1})
    with open(path, "ab") as file:
        file.write(b'{"step": 2, "lo')
    records, offset = read_new_records(path, 0)
    assert records == [{"step": 1}]
    with open(path, "ab") as file:
        file.write(b'ss": 1}\n')
    assert read_new_records(path, offset)[0] == [{"step": 2, "loss": 1}]


def test_a_missing_file_has_no_records_and_a_broken_line_spoils_no_other(tmp_path):
    assert read_history(tmp_path / "none.jsonl") == []
    (tmp_path / "h.jsonl").write_text('{"a": 1}\n{"a": \n[1]\n{"a": 2}\n')
    assert read_history(tmp_path / "h.jsonl") == [{"a": 1}, {"a": 2}]


def test_what_is_not_kept_is_dropped(tmp_path):
    path = tmp_path / "history.jsonl"
    for step in range(5):
        append_record(path, {"step": step, "loss": math.nan})
    rewrite_history(path, lambda record: record["step"] < 2)
    assert [record["step"] for record in read_history(path)] == [0, 1]
    assert [file.name for file in tmp_path.iterdir()] == ["history.jsonl"]
