"""The values of one row as SQLite's file format 3 stores them."""

from __future__ import annotations

import struct

Value = int | float | str | bytes | None

_FIXED = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


class PageError(ValueError):
    """A page, a cell or a row that contradicts itself."""


def parse_varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of one to nine bytes, and where it ends. Raises IndexError."""
    value = 0
    for place in range(8):
        byte = data[at + place]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + place + 1
    value = value << 8 | data[at + 8]
    return (value - (1 << 64) if value >> 63 else value), at + 9


def parse_record(payload: bytes) -> list[Value]:
    """The values of a row. Raises PageError where header and content contradict."""
    end, at = parse_varint(payload, 0)
    if not at <= end <= len(payload):
        raise PageError("a row's header is larger than the row")
    kinds = []
    while at < end:
        kind, at = parse_varint(payload, at)
        kinds.append(kind)
    values: list[Value] = []
    for kind in kinds:
        value, at = _value(payload, at, kind)
        values.append(value)
    if at != len(payload):
        raise PageError("a row's header does not fit its content")
    return values


def _value(payload: bytes, at: int, kind: int) -> tuple[Value, int]:
    if kind in (0, 8, 9):
        return (None if kind == 0 else kind - 8), at
    if kind >= 12:
        end = at + (kind - 12) // 2
        if end > len(payload):
            raise PageError("a value is longer than its row")
        piece = payload[at:end]
        return (piece.decode() if kind & 1 else piece), end
    if kind == 7:
        return struct.unpack_from(">d", payload, at)[0], at + 8
    if kind not in _FIXED:
        raise PageError(f"a value of an unknown kind {kind}")
    end = at + _FIXED[kind]
    return int.from_bytes(payload[at:end], "big", signed=True), end
