"""Reads the `message` and `part` rows of one session (opencode 1.2 and later)."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from typing import Any

from mempalace_toolkit.sessions.opencode.decoding import (
    MalformedError,
    millis_of,
    parse_object,
    text_of,
)
from mempalace_toolkit.sessions.opencode.messages import (
    Answer,
    Problems,
    StoredMessage,
    in_order_of_parts,
)
from mempalace_toolkit.sessions.opencode.talk import (
    answer_of,
    asks_after_overflow,
    role_of,
    visible_text,
)

_MESSAGES = """
select id, time_created, data from message where session_id = ? order by time_created, id
"""
_IDS = "select id from message where session_id = ?"
_PLACE = "select time_created from message where session_id = ? and id = ?"

# Most bytes of a database are tool output. SQLite drops those rows by their first characters:
# opencode writes `type` first. A part written otherwise is kept if it mentions "text"
# anywhere, or if it does not look like an object at all and so has to be reported.
# The cases are few and in this order because each mention of `data` reads the row's pages again.
# A blob is greater than any text and, like a null, comes to the last case.
_QUESTION = """substr(data, 1, 200) glob '{"type":"tool"*"tool":"question"*'"""
_STRANGE = """(data glob '*"text"*' or data glob '*"question"*' or data not glob '{"*}')"""
HAS_TALK = f"""case
  when data between '{{"type":"tool"' and '{{"type":"tool#' then {_QUESTION}
  when data < '{{"type":"' then {_STRANGE}
  when data between '{{"type":"text"' and '{{"type":"text#' then 1
  else data is null or data glob '{{"type":"text"*' or data glob '{{"type":"compaction"*'
    or {_QUESTION} or (data not glob '{{"type":"*"*' and {_STRANGE})
end"""
_PARTS = f"select id, message_id, data from part where session_id = ? and {HAS_TALK}"  # noqa: S608


@dataclass(slots=True)
class _Parts:
    """What was found in the parts of one message."""

    texts: list[tuple[str, str]] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    overflow: bool = False


_NONE = _Parts()


def read_messages(
    connection: sqlite3.Connection, session: str, problems: Problems, *, silent: bool
) -> list[StoredMessage]:
    """The session's messages in order; what cannot be read is counted and left out.

    Messages without a visible word are only wanted (`silent`) for comparing them with the
    rows of another table.
    """
    found = _parts_by_message(connection, session, problems)
    messages = []
    for message, created, data in connection.execute(_MESSAGES, (session,)):
        parts = found.pop(message, None)
        if parts is None and not silent:
            continue
        try:
            value, _ = parse_object(data)
        except MalformedError:
            problems["malformed_message"] += 1
            continue
        messages.append(_message(message, created, value, parts or _NONE))
    if found:
        problems["orphan_part"] += sum(len(parts.texts) for parts in found.values()) or len(found)
    messages.sort(key=lambda message: (message.order, message.id))
    return messages


def place_of(connection: sqlite3.Connection, session: str, message: str) -> int | None:
    """The time of the row of a message that need not hold talk; None where there is none."""
    row = connection.execute(_PLACE, (session, message)).fetchone()
    return millis_of(row[0]) if row else None


def message_ids(connection: sqlite3.Connection, session: str) -> frozenset[str]:
    """The ids of all the session's messages."""
    return frozenset(text_of(row[0]) or "" for row in connection.execute(_IDS, (session,)))


def _message(
    message: object, created: object, value: dict[str, Any], parts: _Parts
) -> StoredMessage:
    order = millis_of(created)
    times = value.get("time")
    said = millis_of(times.get("created"), order) if isinstance(times, dict) else order
    texts = parts.texts if len(parts.texts) < 2 else in_order_of_parts(parts.texts)
    return StoredMessage(
        text_of(message) or "", role_of(value), said, order, texts, parts.answers, parts.overflow
    )


def _parts_by_message(
    connection: sqlite3.Connection, session: str, problems: Problems
) -> dict[object, _Parts]:
    found: dict[object, _Parts] = {}
    for part, message, data in connection.execute(_PARTS, (session,)):
        try:
            value, repaired = parse_object(data)
        except MalformedError:
            problems["malformed_part"] += 1
            continue
        text = visible_text(value)
        if text is not None:
            if repaired:
                problems["repaired_text"] += 1
            found.setdefault(message, _Parts()).texts.append((text_of(part) or "", text))
        elif asks_after_overflow(value):
            found.setdefault(message, _Parts()).overflow = True
        elif answer := answer_of(value, text_of(part) or ""):
            found.setdefault(message, _Parts()).answers.append(answer)
    return found
