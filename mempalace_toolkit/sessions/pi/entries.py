"""What stands in a pi session file, line by line: its header and its entries, from bytes."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO

import orjson

from mempalace_toolkit.sessions.model import Role

NEWEST_VERSION = 3
MAX_LINE = 256 << 20
"""Bytes; a longer line is skipped, so that garbage without a newline cannot fill the memory."""

LATEST_TIME = 253_402_300_799_999  # the end of the year 9999
SECONDS_BELOW = 100_000_000_000  # a smaller number counts seconds, not milliseconds
ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
PADDING = b"\0 \t\r\n"


@dataclass(frozen=True, slots=True)
class Header:
    """A session file's first line. `parent_file` is the path of the file it was forked from.

    Version 1 calls that `branchedFrom`, later versions `parentSession`.
    """

    id: str
    version: int
    directory: str
    created: int | None
    parent_file: str


@dataclass(frozen=True, slots=True)
class Entry:
    """What a later line contributes; tool results and pictures are left behind.

    `parent` is None for a root and "" where the line does not say. `stamp` is the timestamp as
    written. `edits` is the id of an entry that this one takes back (`removes`) or shows the model
    in other words. `name` is a new session name.
    """

    id: str
    parent: str | None
    stamp: str
    time: int | None
    role: Role | None = None
    text: str = ""
    edits: str = ""
    removes: bool = False
    name: str | None = None


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


def parse_line(line: bytes) -> tuple[object, bool]:
    """The line's JSON value, and whether it had to be mended.

    Mended are invalid UTF-8, unpaired surrogates (both become U+FFFD), raw control characters,
    a byte order mark and the NULs that a crash can leave around a line. Raises ValueError.
    """
    try:
        return orjson.loads(line), False
    except orjson.JSONDecodeError:
        pass
    text = line.strip(PADDING).decode("utf-8-sig", "replace")
    try:
        value = json.loads(text, strict=False)
        if ESCAPED_SURROGATE.search(text):
            flat = LONE_SURROGATE.sub("\ufffd", json.dumps(value, ensure_ascii=False))
            value = json.loads(flat)
        return value, True
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def header_of(value: object) -> Header | None:
    """The header that a parsed first line is; None if it is none. The version is not judged."""
    if not isinstance(value, dict) or value.get("type") != "session":
        return None
    version = value.get("version")
    if version is None:
        version = 1
    return Header(
        id=_string(value.get("id")),
        version=version if isinstance(version, int) and not isinstance(version, bool) else -1,
        directory=_string(value.get("cwd")),
        created=milliseconds(value.get("timestamp")),
        parent_file=_string(value.get("parentSession") or value.get("branchedFrom")),
    )


def entry_of(value: object) -> Entry | None:
    """The entry that a parsed line is; None if it is none."""
    if not isinstance(value, dict) or value.get("type") == "session":
        return None
    kind, written, role, text = value.get("type"), value.get("timestamp"), None, ""
    time = milliseconds(written)
    if kind == "message" and isinstance(message := value.get("message"), dict):
        role = _role(message.get("role"))
        text = _visible_text(message.get("content")) if role else ""
        if time is None:
            time = milliseconds(message.get("timestamp"))
    parent = value.get("parentId", "")
    return Entry(
        id=_string(value.get("id")),
        parent=parent if isinstance(parent, str) or parent is None else "",
        stamp="" if written is None else str(written),
        time=time,
        role=role if text else None,
        text=text,
        edits=_string(value.get("targetId")) if kind == "context_edit" else "",
        removes=value.get("replacement", "") is None,
        name=_string(value.get("name")) if kind == "session_info" else None,
    )


def milliseconds(value: object) -> int | None:
    """A time as pi writes it (ISO 8601, or a number) in milliseconds since the epoch."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
            number = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000
        except (ValueError, OverflowError):
            return None
    elif isinstance(value, int | float) and not isinstance(value, bool):
        number = value * 1000 if value < SECONDS_BELOW else value
    else:
        return None
    if not 0 <= number <= LATEST_TIME:  # refuses nan and infinity too
        return None
    return math.floor(number + 0.5)


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _role(value: object) -> Role | None:
    if value == "user":
        return "user"
    return "assistant" if value == "assistant" else None


def _visible_text(content: object) -> str:
    """The text blocks of a message, one a line; thinking, tool calls and pictures are not talk."""
    if isinstance(content, str):
        return content if content.strip() else ""
    if not isinstance(content, list):
        return ""
    blocks = [
        text
        for block in content
        if isinstance(block, dict)
        and block.get("type") == "text"
        and isinstance(text := block.get("text"), str)
        and text.strip()
    ]
    return "\n".join(blocks)
