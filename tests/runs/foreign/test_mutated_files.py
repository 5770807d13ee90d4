"""No file whatever ends in an unexpected exception: a result, or a sentence."""

import json
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import ConvoscopeError
from core.runs.foreign.reading import read_history
from core.runs.foreign.records import plain_records
from tests.runs.foreign.made_files import EXAMPLES

CELLS = ("inf", "nan", "1e400", "-1", "1,2", "9" * 5000, '"', "null", "{}", "[]", "true", '"x"', "\0", "\r",
         "\n",
         ";", ",", "\t", "epoch", "run", " - ", "loss", "kind", "step", "2.5", "99999999999999999999", "é",
         "%",
         "1,234.5", "tensor(0.5)", "[" * 3000, "sep=;\n", "\ufeff")  # fmt: skip


def check(name, data, **said):
    """Read a file and look at the result: its records are JSON with whole epochs and steps."""
    try:
        reading = read_history(name, data, **said)
    except ConvoscopeError:
        return
    assert reading.sentences()
    for run in reading.runs:
        for record in plain_records(run):
            json.dumps(record)
            if record["kind"] in ("epoch", "step"):
                assert type(record["epoch"]) is int
                assert type(record.get("step", 0)) is int
                assert all(type(v) in (int, float) for k, v in record.items() if k != "kind")


def mutated(data, chance):
    """A file with bytes flipped, cut, columns exchanged, lines doubled or mixed, or a strange cell put in."""
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randrange(len(data) or 1)
        lines = data.split(b"\n")
        match chance.randrange(7):
            case 0:
                flipped = bytes([data[at] ^ 1 << chance.randrange(8)]) if data else b"x"
                data = data[:at] + flipped + data[at + 1 :]
            case 1:
                data = data[:at]
            case 2:
                rows = [line.split(b",") for line in lines]
                data = b"\n".join(b",".join([row[-1], *row[1:-1], row[0]]) for row in rows)
            case 3:
                data = b"\n".join([*lines[: len(lines) // 2], *lines[len(lines) // 3 :]])
            case 4:
                chance.shuffle(lines)
                data = b"\n".join(lines)
            case 5:
                data = data[:at] + chance.choice(CELLS).encode() + data[at + chance.randrange(4) :]
            case _:
                data = data + b"\n" + chance.choice(list(EXAMPLES.values()))
    return data


@pytest.mark.parametrize("name", EXAMPLES)
def test_mutated_examples(name):
    chance = random.Random(name)
    for _ in range(15):
        check(name, mutated(EXAMPLES[name], chance), steps_are=chance.choice(("", "epochs", "batches")))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=300))
def test_any_bytes(data):
    check("file", data)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.sampled_from(
            ("epoch", "step", "loss", "val_loss", "val_acc", "lr", "a - loss", "run", "kind", "")
        ),
        min_size=1,
        max_size=6,
    ),
    st.lists(
        st.lists(st.sampled_from(CELLS) | st.floats().map(str) | st.text(max_size=5), max_size=6), max_size=8
    ),
    st.sampled_from(",;\t"),
)
def test_any_table(heading, rows, separator):
    text = "\n".join(separator.join(row) for row in [heading, *rows])
    check("table.csv", text.encode("utf-8", "surrogatepass"))


NUMBERS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
VALUES = st.recursive(
    NUMBERS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ("epoch", "loss", "val_loss", "log_history", "history", "0", "1", "kind", "data", "columns")
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(VALUES)
def test_any_json(value):
    check("table.json", json.dumps(value).encode())
