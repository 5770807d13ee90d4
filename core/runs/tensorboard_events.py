"""TensorBoard's event files, read without TensorBoard: framed protocol buffers, of which scalars are kept.

A file is a row of records: length (8 bytes, little-endian), its masked CRC-32C (4), the message, the
message's masked CRC-32C (4). A message is an Event: wall_time = 1, step = 2, summary = 5; a Summary's values
have tag = 1, simple_value = 2 and tensor = 8.

Source:
    tensorflow/core/util/event.proto, framework/summary.proto, framework/tensor.proto, lib/io/record_writer.cc
"""

import struct
from collections.abc import Iterator

Scalars = dict[str, list[tuple[int, float]]]

_FORMATS = {1: "f", 2: "d", 3: "i", 9: "q"}  # DT_FLOAT, DT_DOUBLE, DT_INT32, DT_INT64


class BadEvents(ValueError):
    """An event file that breaks its own format."""


def looks_like_events(data: bytes) -> bool:
    """Whether the first record's length is followed by its own checksum."""
    return len(data) >= 12 and _masked(data[:8]) == struct.unpack("<I", data[8:12])[0]


def read_scalars(data: bytes) -> Scalars:
    """All scalars of a file by tag, in the order of their steps, without a last record still being written.

    Raises:
        BadEvents: A length's checksum is wrong, or a message is cut off inside.
    """
    found: Scalars = {}
    for message in records(data):
        step, summaries = 0, []
        for number, value in fields(message):
            if number == 2 and isinstance(value, int):
                step = value - (1 << 64) if value >> 63 else value
            elif number == 5 and isinstance(value, bytes):
                summaries.append(value)
        for summary in summaries:
            for number, value in fields(summary):
                if number == 1 and isinstance(value, bytes):
                    tag, scalar = _value(value)
                    if scalar is not None:
                        found.setdefault(tag, []).append((step, scalar))
    # A run that was resumed writes some steps again: the later ones count.
    return {tag: sorted(dict(points).items()) for tag, points in found.items()}


def records(data: bytes) -> Iterator[bytes]:
    """The messages of a record file."""
    at = 0
    while at + 12 <= len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        (checksum,) = struct.unpack_from("<I", data, at + 8)
        if _masked(data[at : at + 8]) != checksum:
            raise BadEvents(f"the length at byte {at:,} does not match its checksum.")
        if at + 16 + length > len(data):
            return
        yield data[at + 12 : at + 12 + length]
        at += 16 + length


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, value) of a protocol buffer: whole numbers as int, everything else as its bytes."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if kind == 2:
            length, at = _varint(message, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise BadEvents(f"a field has the unknown type {kind}.")
        if at + length > len(message):
            raise BadEvents("a message is shorter than it says.")
        yield key >> 3, message[at : at + length]
        at += length


def crc32c(data: bytes) -> int:
    """CRC-32 with Castagnoli's polynomial."""
    value = 0xFFFFFFFF
    for byte in data:
        value = _TABLE[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


def _masked(data: bytes) -> int:
    value = crc32c(data)
    return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _value(message: bytes) -> tuple[str, float | None]:
    tag, scalar = "", None
    for number, value in fields(message):
        if not isinstance(value, bytes):
            continue
        if number == 1:
            tag = value.decode("utf-8", "replace")
        elif number == 2 and len(value) == 4:
            scalar = struct.unpack("<f", value)[0]
        elif number == 8:
            scalar = _tensor(value)
    return tag, scalar


def _tensor(message: bytes) -> float | None:
    """The number in a tensor that holds one; None for text, images and larger tensors."""
    kind, content, size = 0, b"", 1
    for number, value in fields(message):
        if number == 1 and isinstance(value, int):
            kind = value
        elif number == 2 and isinstance(value, bytes):
            size = _size(value)
        elif number in (4, 5, 6) and isinstance(value, bytes):  # content, float_val, double_val
            content = value
        elif number in (7, 10):  # int_val, int64_val
            number_value = value if isinstance(value, int) else _varint(value, 0)[0]
            return float(number_value) if size == 1 else None
    letter = _FORMATS.get(kind)
    if letter is None or size != 1 or len(content) != struct.calcsize(letter):
        return None
    return float(struct.unpack("<" + letter, content)[0])


def _size(shape: bytes) -> int:
    size = 1
    for number, dimension in fields(shape):
        if number == 2 and isinstance(dimension, bytes):
            size *= next((v for n, v in fields(dimension) if n == 1 and isinstance(v, int)), 0)
    return size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise BadEvents("a number in a message has no end.")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


_TABLE = _table()
