"""The lines of a pi file and the JSON records on them, also on lines that were not written well."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

import orjson

from mempalace_toolkit.sessions.pi.files import BUFFER, open_descriptor

MAX_LINE = 256 << 20
"""Bytes; a longer line is skipped, so that garbage without a newline cannot fill the memory."""

AT_ONCE = 1 << 20
"""Bytes; a file up to this size is read in one piece."""

LONG = 4 << 20
"""Bytes; of a longer line, what is no talk is cut out before it becomes text."""

ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
PADDING = b"\0 \t\r\n"

MOST_PIECES = 1000
"""Places on one bad line at which a record may begin; more are not tried."""

_BULK = re.compile(rb'"(?:thinking|data|thinkingSignature|textSignature)":"')
_RECORD = re.compile(r'\{\s*"type"\s*:\s*"')
_DECODER = json.JSONDecoder(strict=False)


def complete_lines(stream: BinaryIO) -> Iterator[bytes | None]:
    """Every line that ends in a line feed; None for one over MAX_LINE.

    A last line without its end is still being written, or was cut: it is left for next time.
    """
    while line := stream.readline(MAX_LINE):
        if line.endswith(b"\n"):
            yield line
        elif len(line) == MAX_LINE:
            while (rest := stream.readline(MAX_LINE)) and not rest.endswith(b"\n"):
                pass
            if rest:
                yield None


def lines_of(path: str) -> Iterator[bytes | None]:
    """Every complete line of a regular file, with or without its line feed. Raises OSError."""
    descriptor = open_descriptor(path)
    try:
        size = min(AT_ONCE, MAX_LINE)
        content = os.read(descriptor, size)
        if len(content) < size:
            yield from content.split(b"\n")[:-1]
            return
        os.lseek(descriptor, 0, os.SEEK_SET)
        with os.fdopen(descriptor, "rb", BUFFER, closefd=False) as stream:
            yield from complete_lines(stream)
    finally:
        os.close(descriptor)


def without_bulk(line: bytes) -> bytes:
    """A very long line without the pictures and the thinking on it, which are no talk.

    As text they would take up to four times the room of the line.
    """
    pieces, position = [], 0
    for key in _BULK.finditer(line):
        if key.end() < position:
            continue
        end = key.end()
        while (end := line.find(b'"', end)) > 0 and _is_escaped(line, end):
            end += 1
        if end < 0:
            return line  # cut in the middle of a string: it is read as what it is
        pieces.append(line[position : key.end()])
        position = end
    pieces.append(line[position:])
    return b"".join(pieces)


def _is_escaped(line: bytes, quote: int) -> bool:
    start = quote
    while line[start - 1 : start] == b"\\":
        start -= 1
    return (quote - start) % 2 == 1


def records_on(line: bytes) -> tuple[list[dict[str, Any]], bool, bool]:
    """The JSON objects on a line, whether they had to be mended, and whether a piece is lost.

    Mended are invalid UTF-8, unpaired surrogates (both become U+FFFD), raw control characters,
    a byte order mark and the NULs that a crash can leave around a line. A record that lost its
    newline shares its line with the next; one that was cut stands before it as a torn piece.
    """
    if len(line) > LONG:
        line = without_bulk(line)
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        pass
    else:
        return ([value], False, False) if isinstance(value, dict) else ([], False, True)
    text = line.strip(PADDING).decode("utf-8-sig", "replace")
    records, torn = _decode(text)
    return [_mended(record, text) for record in records], not torn, torn


def _decode(text: str) -> tuple[list[dict[str, Any]], bool]:
    """The records in `text`, and whether something else stands there."""
    records: list[dict[str, Any]] = []
    torn, position = not text, 0
    for _ in range(MOST_PIECES):
        if position >= len(text):
            break
        try:
            value, end = _DECODER.raw_decode(text, position)
        except (ValueError, RecursionError):
            value, end = None, position + 1
        if isinstance(value, dict) and (not torn or "timestamp" in value):
            records.append(value)
        else:
            # A piece of a record holds whole blocks, which are no records of their own.
            torn = True
            start = _RECORD.search(text, end if value is None else position + 1)
            end = start.start() if start else len(text)
        while end < len(text) and text[end] in "\0 \t\r\n,":
            end += 1
        position = end
    return records, torn


def _mended(record: dict[str, Any], text: str) -> dict[str, Any]:
    if not ESCAPED_SURROGATE.search(text):
        return record
    flat = LONE_SURROGATE.sub("\ufffd", json.dumps(record, ensure_ascii=False))
    mended: dict[str, Any] = json.loads(flat)
    return mended
