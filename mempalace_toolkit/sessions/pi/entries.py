"""What stands in a pi session file: its header and its entries, from parsed records."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mempalace_toolkit.sessions.model import Role
from mempalace_toolkit.sessions.pi.attachments import typed_text

NEWEST_VERSION = 3

LATEST_TIME = 253_402_300_799_999  # the end of the year 9999
SECONDS_BELOW = 100_000_000_000  # a smaller number counts seconds, not milliseconds

TALK_KINDS = frozenset({"message", "compaction", "branch_summary", "custom_message"})
"""Entries that are, or stand for, something said: only they say where a session goes on."""

ENTRY_KINDS = TALK_KINDS | {
    "context_edit",
    "custom",
    "label",
    "model_change",
    "session_info",
    "thinking_level_change",
    "usage",
}

UNASKED_KINDS = frozenset({"session_info", "usage"})
"""Entries that a client writes where it stands, also one that the session has moved on from."""

_HEAD = re.compile(
    rb'\{"type":"(message|model_change|thinking_level_change)",'
    rb'(?:"id":"([^"\\]*)","parentId":(?:null|"([^"\\]*)"),)?"timestamp":"([^"\\]*)",'
    rb'(?:"message":\{"role":"(?:toolResult|system|bashExecution|(assistant))","|"[a-z])'
)
"""The beginning of a line, as every pi writes it, of which often nothing is talk."""

_TEXT = b'"type":"text"'
_BLOCKS = b'content":['
_ANOTHER_RECORD = b'{"type":"message","'
_ENDS = (b"}", b"}\r", b"}\n", b"}\r\n")


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


@dataclass(slots=True)
class Entry:
    """What a later line contributes; tool results and pictures are left behind.

    `parent` is None for a root and "" where the line does not say. `stamp` is the entry's time as
    written, `begun` the one in its message: when the text was sent, or the answer began.
    `attached` tells that pi put text around the user's. `edits` is the id of an entry that this
    one takes back (`removes`) or shows the model in other words. `name` is a new session name.
    `leaves` is the last entry of a branch that a summary stands for.
    """

    kind: str
    id: str
    parent: str | None
    stamp: object = None
    begun: object = None
    role: Role | None = None
    text: str = ""
    attached: bool = False
    edits: str = ""
    removes: bool = False
    name: str | None = None
    leaves: str = ""

    @property
    def time(self) -> int | None:
        """When it was written, in milliseconds since the epoch."""
        time = milliseconds(self.stamp)
        return milliseconds(self.begun) if time is None else time


def header_of(value: object) -> Header | None:
    """The header that a parsed record is; None if it is none. The version is not judged."""
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


def is_entry(value: dict[str, Any]) -> bool:
    """Whether a record is an entry of a known kind: one that tells that a file is pi's."""
    kind = value.get("type")
    known = isinstance(kind, str) and kind in ENTRY_KINDS
    return known and ("timestamp" in value or "id" in value)


def passed_by(line: bytes, version: int) -> Entry | None:
    """The entry of a line without talk, of which no more than its head is looked at.

    Those are tool results, system prompts, answers without text, changes of the model. None for
    every other line, and where the line may hold anything beside the one record.
    """
    head = _HEAD.match(line)
    if head is None:
        return None
    kind, id, parent, stamp, answer = head.groups()
    end = head.end()
    if id is None and version != 1:  # rewritten from version 1: its id stands at the end
        return None
    if kind == b"message":
        if answer and (not line.startswith(_BLOCKS, end) or line.find(_TEXT, end) >= 0):
            return None
        if answer is None and line[end - 1] != 34:  # a message whose role comes later
            return None
    if not line.endswith(_ENDS) or line.find(_ANOTHER_RECORD, end) >= 0:
        return None
    time = stamp.decode("utf-8", "replace")
    if id is None:
        return Entry(kind.decode(), "", "", time)
    above = None if parent is None else parent.decode("utf-8", "replace")
    return Entry(kind.decode(), id.decode("utf-8", "replace"), above, time)


def entry_of(value: dict[str, Any]) -> Entry | None:
    """The entry that a parsed record is; None if it is none."""
    kind = value.get("type")
    if kind == "session":
        return None
    parent = value.get("parentId", "")
    entry = Entry(
        kind if isinstance(kind, str) else "",
        _string(value.get("id")),
        parent if isinstance(parent, str) or parent is None else "",
        value.get("timestamp"),
    )
    if kind == "message":
        message = value.get("message")
        if isinstance(message, dict):
            entry.begun = message.get("timestamp")
            if (role := _role(message.get("role"))) is not None:
                _take_text(entry, role, message.get("content"))
    elif kind == "context_edit":
        entry.edits = _string(value.get("targetId"))
        entry.removes = value.get("replacement", "") is None
    elif kind == "session_info":
        entry.name = _string(value.get("name"))
    elif kind == "branch_summary":
        entry.leaves = _string(value.get("fromId"))
    return entry


def milliseconds(value: object) -> int | None:
    """A time as pi writes it (ISO 8601, or a number) in milliseconds since the epoch."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            number = moment.timestamp() * 1000
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


def _take_text(entry: Entry, role: Role, content: object) -> None:
    """The text blocks of a message, one a line; thinking, tool calls and pictures are not talk."""
    if isinstance(content, str):
        blocks = [content]
    elif isinstance(content, list):
        blocks = [
            text
            for block in content
            if isinstance(block, dict)
            and block.get("type") == "text"
            and isinstance(text := block.get("text"), str)
        ]
    else:
        return
    if role == "user":
        typed = [typed_text(text) for text in blocks]
        entry.attached = typed != blocks
        blocks = typed
    text = "\n".join([text for text in blocks if text.strip()])
    if text or entry.attached:
        entry.role, entry.text = role, text
