"""Reads the `message` and `part` rows of one session (opencode 1.2 and later)."""

from __future__ import annotations

import sqlite3

from mempalace_toolkit.sessions.opencode.decoding import (
    MalformedError,
    millis_of,
    parse_object,
    text_of,
)
from mempalace_toolkit.sessions.opencode.talk import (
    Problems,
    StoredMessage,
    role_of,
    visible_text,
)

_MESSAGES = """
select id, time_created, data from message where session_id = ? order by time_created, id
"""

# Most bytes of a database are tool output. SQLite drops those rows by their first characters:
# opencode writes `type` first. A part written otherwise is kept if it mentions "text"
# anywhere, or if it does not look like an object at all and so has to be reported.
_PARTS = """
select id, message_id, data from part where session_id = ? and (
  data is null
  or data glob '{"type":"text"*'
  or (data not glob '{"type":"*"*' and (instr(data, '"text"') or data not glob '{"*}'))
)
"""


def read_messages(
    connection: sqlite3.Connection, session: str, problems: Problems
) -> list[StoredMessage]:
    """The session's messages in order; what cannot be read is counted and left out."""
    texts: dict[bytes, list[tuple[str, str]]] = {}
    for part, message, data in connection.execute(_PARTS, (session,)):
        text = _text(data, problems)
        if text is not None:
            texts.setdefault(message, []).append((text_of(part) or "", text))
    messages = []
    for message, created, data in connection.execute(_MESSAGES, (session,)):
        parts = texts.pop(message, ())
        try:
            value, _ = parse_object(data)
        except MalformedError:
            problems["malformed_message"] += 1
            continue
        times = value.get("time")
        order = millis_of(created)
        said = millis_of(times.get("created"), order) if isinstance(times, dict) else order
        messages.append(
            StoredMessage(text_of(message) or "", role_of(value), said, order, tuple(sorted(parts)))
        )
    if texts:
        problems["orphan_part"] += sum(map(len, texts.values()))
    return messages


def _text(data: object, problems: Problems) -> str | None:
    try:
        part, repaired = parse_object(data)
    except MalformedError:
        problems["malformed_part"] += 1
        return None
    text = visible_text(part)
    if repaired and text is not None:
        problems["repaired_text"] += 1
    return text
