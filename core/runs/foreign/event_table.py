"""TensorBoard's event files as a table: one row an event, one column a tag.

The frames of the file, their checksums and the messages in them are read by the package `tensorboard`.
"""

import logging
import math
import struct
import tempfile
from pathlib import Path
from typing import Any

from core.runs.foreign.table import STEP, BadHistory, Row, Table

_HEADER = 12  # bytes before a message: its length, and the checksum of the length
_MOST_TAGS = 2000


def looks_like_events(data: bytes) -> bool:
    """Whether the file begins like a row of events: a small length, followed by the length's checksum."""
    if len(data) < _HEADER or data[4:8] != bytes(4):
        return False
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    return bool(masked_crc32c(data[:8]) == struct.unpack_from("<I", data, 8)[0])


def event_table(name: str, data: bytes) -> Table:
    """The scalars of an event file, up to the first event that is cut off or damaged.

    Raises:
        BadHistory: Nothing stands before the damage, or the file holds no scalars.
    """
    rows: list[Row] = []
    tags: dict[str, None] = {}
    read = others = 0
    for message in _messages(data[: _end_of_frames(data)]):
        found = _scalars(message)
        if found is None:
            break
        read += _HEADER + len(message) + 4
        step, scalars, left_out = found
        others += left_out
        for tag, value in scalars:
            tags.setdefault(tag)
            rows.append(Row(len(rows) + 1, {STEP: float(step), tag: value}))
        if len(tags) > _MOST_TAGS:
            raise BadHistory(f"{name} has more than {_MOST_TAGS:,} tags. Write the curves' scalars alone.")
    notes = []
    if read < len(data):
        if not rows:
            raise BadHistory(
                f"{name} is a damaged event file: the event at byte {read:,} does not match its checksum "
                "or is cut off, and no scalar comes before it. Copy the file again."
            )
        notes.append(
            f"From byte {read:,} of {len(data):,} on the file is cut off or damaged (an event does not match "
            "its length or checksum): only what comes before that is shown."
        )
    if not rows:
        raise BadHistory(f"{name} is an event file without scalars: there is nothing to draw.")
    if others:
        notes.append(
            f"{others} entries that are not single numbers (images, texts, histograms) were left out."
        )
    return Table(
        name, "a TensorBoard event file", (STEP, *tags), tuple(rows), tuple(notes), line_word="event"
    )


def _end_of_frames(data: bytes) -> int:
    """Where the last frame ends whose length lies within the file: no length asks for more memory."""
    at = 0
    while at + _HEADER <= len(data):
        end = at + _HEADER + struct.unpack_from("<Q", data, at)[0] + 4
        if end > len(data):
            break
        at = end
    return at


def _messages(data: bytes) -> Any:
    """The messages of a file up to the first whose checksum is wrong."""
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader

    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.out.tfevents.0"
        path.write_bytes(data)
        yield from RawEventFileLoader(str(path)).Load()


def _scalars(message: bytes) -> tuple[int, list[tuple[str, float]], int] | None:
    """The step and the scalars of an event, and how many other entries it has; None where it is damaged."""
    from google.protobuf.message import DecodeError
    from tensorboard.compat.proto.event_pb2 import Event

    try:
        event = Event.FromString(message)
    except DecodeError:
        return None
    scalars, others = [], 0
    for value in event.summary.value:
        number: float | None = None
        if value.HasField("simple_value"):
            number = float(value.simple_value)
        elif value.HasField("tensor"):
            number = _one_number(value.tensor)
        if number is None or value.tag == STEP:
            others += value.metadata.plugin_data.plugin_name != "hparams"
        else:
            scalars.append((value.tag, number))
    return int(event.step), scalars, others


def _one_number(tensor: Any) -> float | None:
    """The number in a tensor that holds one; None for text, images and larger tensors."""
    from tensorboard.compat.proto.types_pb2 import DT_STRING
    from tensorboard.util.tensor_util import make_ndarray

    if tensor.dtype == DT_STRING or math.prod(d.size for d in tensor.tensor_shape.dim) != 1:
        return None
    try:
        return float(make_ndarray(tensor).reshape(-1)[0])
    except (TypeError, ValueError, IndexError, KeyError, OverflowError):
        return None
