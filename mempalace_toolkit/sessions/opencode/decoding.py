"""Turns stored bytes into JSON values and text that is always writable as UTF-8."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_LATEST_MILLIS = 253_402_300_799_999  # the last millisecond of the year 9999
_SECONDS = range(1_000_000_000, 100_000_000_000)  # of 2001 and later; as milliseconds: 1970-73


class MalformedError(ValueError):
    """The bytes are no JSON object."""


def parse_object(data: object) -> tuple[dict[str, Any], bool]:
    """A JSON object, and whether text in it had to be repaired (bad UTF-8, lone surrogates).

    orjson is strict and fast; what it refuses gets a second chance with the lenient parser.
    """
    if not isinstance(data, bytes):
        raise MalformedError
    try:
        value, repaired = orjson.loads(data), False
    except orjson.JSONDecodeError:
        value, repaired = _parse_leniently(data), True
    if not isinstance(value, dict):
        raise MalformedError
    return value, repaired


def text_of(value: object) -> str | None:
    """A text or blob column, or a JSON string, as clean text; None for anything else."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, str):
        return _LONE_SURROGATE.sub("\ufffd", value)
    return None


def millis_of(value: object, default: int = 0) -> int:
    """A time in milliseconds since the epoch, or the default where it cannot be one.

    Other programs that write opencode's tables give some times in seconds.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return default
    if not 0 <= value <= _LATEST_MILLIS:
        return default
    return int(value * 1000) if _SECONDS.start <= value < _SECONDS.stop else int(value)


def _parse_leniently(data: bytes) -> Any:
    try:
        return _without_surrogates(json.loads(data.decode("utf-8", "replace")))
    except (ValueError, RecursionError) as error:
        raise MalformedError from error


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return _LONE_SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_surrogates(item) for key, item in value.items()}
    return value
