"""Reads `session_message` rows: opencode 2.x, and what the v2 interface of 1.x left there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import merge
from typing import Any

from mempalace_toolkit.sessions.model import Role, Turn
from mempalace_toolkit.sessions.opencode.decoding import (
    MalformedError,
    millis_of,
    parse_object,
    text_of,
)
from mempalace_toolkit.sessions.opencode.talk import (
    Problems,
    Revert,
    StoredMessage,
    make_turn,
    role_of,
    visible_turns,
)

_ROWS = """
select id, type, time_created, data from session_message
where session_id = ? and type in ('user', 'assistant') order by {order}
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One `session_message` row; `text` is empty where nothing visible was said."""

    id: str
    role: Role
    time: int
    text: str
    hidden: bool


def read_rows(
    connection: sqlite3.Connection, session: str, has_seq: bool, problems: Problems
) -> list[Row]:
    """The session's user and assistant rows in order."""
    query = _ROWS.format(order="seq, id" if has_seq else "time_created, id")
    rows = []
    for row_id, kind, created, data in connection.execute(query, (session,)):
        try:
            value, repaired = parse_object(data)
        except MalformedError:
            problems["malformed_message"] += 1
            continue
        role: Role = "user" if kind == b"user" else "assistant"
        text = _visible_text(role, value)
        if repaired and text:
            problems["repaired_text"] += 1
        times = value.get("time")
        order = millis_of(created)
        time = millis_of(times.get("created"), order) if isinstance(times, dict) else order
        hidden = role_of({**value, "role": role}) is None
        rows.append(Row(text_of(row_id) or "", role, time, text, hidden))
    return rows


def turns_of(rows: Iterable[Row], revert: Revert | None) -> list[Turn]:
    """The rows' turns up to the message that an undo names."""
    kept = list(rows)
    if revert is not None:
        kept = kept[: _first_undone(kept, revert.message)]
    return [make_turn(row.role, row.text, row.time) for row in kept if row.text and not row.hidden]


def merged_turns(
    messages: list[StoredMessage], rows: list[Row], revert: Revert | None
) -> list[Turn]:
    """One session's turns where both tables hold some of it.

    Some versions wrote every turn into both: a row that repeats a message goes, together with
    the answers to it. Undone messages count for that too.
    """
    own = turns_of(_without_repeats(messages, rows), revert)
    turns = visible_turns(messages, revert)
    return list(merge(turns, own, key=lambda turn: turn.time)) if own else turns


def _without_repeats(messages: list[StoredMessage], rows: list[Row]) -> Iterable[Row]:
    said: dict[int, list[str]] = {}
    for message in messages:
        if message.role == "user":
            text = "\n".join(text for _, text in message.texts)
            said.setdefault(message.time, []).append(text)
    repeated = False
    for row in rows:
        if row.role == "user":
            # Parts are joined differently in the two tables: containing one another is enough.
            others = said.get(row.time, ())
            repeated = any(text in row.text or row.text in text for text in others)
        if not repeated:
            yield row


def _visible_text(role: Role, value: dict[str, Any]) -> str:
    if role == "user":
        text = value.get("text")
        return text if isinstance(text, str) and text.strip() else ""
    content = value.get("content")
    blocks = content if isinstance(content, list) else []
    texts = [
        block.get("text")
        for block in blocks
        if isinstance(block, dict) and block.get("type") == "text"
    ]
    return "\n".join(text for text in texts if isinstance(text, str) and text.strip())


def _first_undone(rows: list[Row], message: str) -> int:
    """Where the named message stands; where it would, if it is one of the other table's."""
    for position, row in enumerate(rows):
        if row.id == message:
            return position
    later = (at for at, row in enumerate(rows) if _place(row.id) >= _place(message))
    return next(later, len(rows))


def _place(message: str) -> str:
    """The part of an id that grows with time; rows of old versions are named evt_, not msg_."""
    return message.partition("_")[2]
