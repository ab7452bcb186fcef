"""Reads `session_message` rows: opencode 2.x, and what the v2 interface of 1.x left there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mempalace_toolkit.sessions.model import Role
from mempalace_toolkit.sessions.opencode.decoding import (
    MalformedError,
    millis_of,
    parse_object,
    text_of,
)
from mempalace_toolkit.sessions.opencode.messages import Answer, Problems, StoredMessage
from mempalace_toolkit.sessions.opencode.talk import Talk, answer_of, make_turn, role_of
from mempalace_toolkit.sessions.opencode.undo import UNDONE, Cut, Revert

_ROWS = """
select id, type, time_created, data from session_message
where session_id = ? and type in ('user', 'assistant') order by {order}
"""
_IDS = "select id from session_message where session_id = ?"


@dataclass(frozen=True, slots=True)
class Row:
    """One `session_message` row; `text` is empty where nothing visible was said.

    `order` is the row's own time.
    """

    id: str
    role: Role
    time: int
    order: int
    text: str
    hidden: bool
    answers: tuple[Answer, ...]


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
        row = _row(text_of(row_id) or "", kind, millis_of(created), value)
        if repaired and row.text:
            problems["repaired_text"] += 1
        rows.append(row)
    return rows


def row_ids(connection: sqlite3.Connection, session: str) -> frozenset[str]:
    """The ids of all the session's rows, also of those that are no talk."""
    return frozenset(text_of(row[0]) or "" for row in connection.execute(_IDS, (session,)))


def has_talk(rows: Iterable[Row]) -> bool:
    """Whether anything visible was said in the rows."""
    return any((row.text and not row.hidden) or row.answers for row in rows)


def rows_talk(rows: list[Row], revert: Revert | None, cut: Cut | None) -> Talk:
    """The rows' talk up to the message that an undo names, or up to its time.

    `cut` is where the undo begins if the message it names is one of another table's.
    """
    end = len(rows)
    if revert is not None:
        places = (at for at, row in enumerate(rows) if row.id == revert.message)
        end = next(places, end)
    talk = Talk()
    for position, row in enumerate(rows):
        is_late = cut is not None and end == len(rows) and row.order >= cut.order
        for role, time, text in _said(row):
            if position >= end or is_late:
                talk.withdrawn[role, time] = UNDONE
            else:
                talk.turns.append(make_turn(role, text, time))
    return talk


def merged_talk(talk: Talk, other: Talk) -> Talk:
    """Both in the order of time; of equal times the first one's turn comes first."""
    turns = talk.turns
    if other.turns:
        turns = sorted(talk.turns + other.turns, key=lambda turn: turn.time)
    return Talk(turns, {**talk.withdrawn, **other.withdrawn})


def without_repeats(messages: list[StoredMessage], rows: list[Row]) -> list[Row]:
    """The rows less those that repeat a message, together with the answers to it.

    Some versions wrote every turn into both tables. Undone messages count for that too.
    """
    said: dict[int, list[str]] = {}
    for message in messages:
        if message.role == "user":
            text = "\n".join(text for _, text in message.texts)
            said.setdefault(message.time, []).append(text)
    repeated = False
    kept = []
    for row in rows:
        if row.role == "user":
            # Parts are joined differently in the two tables: containing one another is enough.
            others = said.get(row.time, ())
            repeated = any(text in row.text or row.text in text for text in others)
        if not repeated:
            kept.append(row)
    return kept


def _said(row: Row) -> Iterable[tuple[Role, int, str]]:
    if row.text and not row.hidden:
        yield row.role, row.time, row.text
    for answer in row.answers:
        yield "user", answer.time or row.time, answer.text


def _row(identifier: str, kind: object, order: int, value: dict[str, Any]) -> Row:
    role: Role = "user" if kind == b"user" else "assistant"
    times = value.get("time")
    time = millis_of(times.get("created"), order) if isinstance(times, dict) else order
    hidden = role_of({**value, "role": role}) is None
    blocks = _blocks(value) if role == "assistant" else ()
    answers = (answer_of(block, text_of(block.get("id")) or "") for block in blocks)
    text = _visible_text(role, value)
    return Row(identifier, role, time, order, text, hidden, tuple(filter(None, answers)))


def _blocks(value: dict[str, Any]) -> list[dict[str, Any]]:
    content = value.get("content")
    blocks = content if isinstance(content, list) else []
    return [block for block in blocks if isinstance(block, dict)]


def _visible_text(role: Role, value: dict[str, Any]) -> str:
    if role == "user":
        text = value.get("text")
        return text if isinstance(text, str) and text.strip() else ""
    texts = [block.get("text") for block in _blocks(value) if block.get("type") == "text"]
    return "\n".join(text for text in texts if isinstance(text, str) and text.strip())
