import math
import struct

import pytest

from core.runs.foreign.event_table import event_table, looks_like_events
from core.runs.foreign.reading import read_history
from core.runs.foreign.table import STEP, BadHistory
from tests.runs.foreign.made_files import DOUBLE, FLOAT, INT32, STRING, Events, floats


def scalars(data):
    table = event_table("e", data)
    return [(row.cells[STEP], name, v) for row in table.rows for name, v in row.cells.items() if name != STEP]


def test_scalars_in_each_way_they_are_written():
    events = Events().add("loss", [(300, 1.25), (2**40, -0.5), (2, math.nan)])
    events.tensor("float", 1, dtype=FLOAT, tensor_content=floats(0.75))
    events.tensor("packed", 1, dtype=FLOAT, float_val=[0.125])
    events.tensor("double", 1, dtype=DOUBLE, double_val=[1e-300])
    events.tensor("whole", 1, dtype=INT32, int_val=[7])
    events.tensor("text", 1, dtype=STRING, string_val=[b"no number"])
    events.tensor("two", 1, dtype=FLOAT, tensor_shape={"dim": [{"size": 2}]}, float_val=[1.0, 2.0])
    events.tensor("huge", 1, dtype=FLOAT, tensor_shape={"dim": [{"size": 2**40}]}, float_val=[1.0])
    assert looks_like_events(events.data)
    found = scalars(events.data)
    assert found[:2] == [(300, "loss", 1.25), (2**40, "loss", -0.5)]
    assert math.isnan(found[2][2])
    assert found[3:] == [(1, "float", 0.75), (1, "packed", 0.125), (1, "double", 1e-300), (1, "whole", 7.0)]
    assert event_table("e", events.data).notes == (
        "3 entries that are not single numbers (images, texts, histograms) were left out.",
    )


def test_no_flipped_bit_becomes_a_number():
    data = Events().add("loss", [(i, 0.5) for i in range(4)]).data
    whole = scalars(data)
    refused = []
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 1 << (at % 8)
        try:
            reading = read_history("events.out.tfevents.1", bytes(damaged))
        except BadHistory as error:
            refused.append(str(error))
        else:
            assert scalars(bytes(damaged)) == whole[: len(scalars(bytes(damaged)))]
            assert any("cut off or damaged" in note for note in reading.notes)
    assert all("damaged event file" in words for words in refused)


def test_a_file_still_being_written_is_read_up_to_its_end():
    data = Events().add("loss", [(1, 3.0), (2, 2.0)]).data
    more = Events().add("loss", [(1, 3.0), (2, 2.0), (3, 1.0)]).data
    for length in range(len(data) + 1, len(more)):
        assert scalars(more[:length]) == [(1, "loss", 3.0), (2, "loss", 2.0)]
    assert f"From byte {len(data):,} of {len(more) - 3:,}" in event_table("e", more[:-3]).notes[0]


def test_a_length_that_asks_for_a_terabyte_is_not_followed():
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    length = struct.pack("<Q", 2**40)
    data = Events().add("loss", [(1, 3.0)]).data
    bomb = data + length + struct.pack("<I", masked_crc32c(length)) + b"x" * 20
    assert scalars(bomb) == [(1, "loss", 3.0)]


def test_a_message_that_is_no_event_ends_the_file():
    events = Events().add("loss", [(1, 3.0)])
    events.writer.write(b"\xff\xff\xff")
    assert scalars(events.data) == [(1, "loss", 3.0)]
    with pytest.raises(BadHistory, match="without scalars"):
        event_table("e", Events().data)
