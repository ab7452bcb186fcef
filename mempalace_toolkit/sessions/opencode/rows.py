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
    connection: sqlite3.Connection, session: str, problems: Problems, *, silent: bool
) -> list[StoredMessage]:
    """The session's messages in order; what cannot be read is counted and left out.

    Messages without a visible word are only wanted (`silent`) for comparing them with the
    rows of another table.
    """
    texts = _texts_by_message(connection, session, problems)
    messages = []
    for message, created, data in connection.execute(_MESSAGES, (session,)):
        parts = texts.pop(message, None)
        if parts is None and not silent:
            continue
        try:
            value, _ = parse_object(data)
        except MalformedError:
            problems["malformed_message"] += 1
            continue
        order = millis_of(created)
        times = value.get("time")
        said = millis_of(times.get("created"), order) if isinstance(times, dict) else order
        if parts is not None and len(parts) > 1:
            parts.sort()
        messages.append(
            StoredMessage(text_of(message) or "", role_of(value), said, order, parts or ())
        )
    if texts:
        problems["orphan_part"] += sum(map(len, texts.values()))
    return messages


def _texts_by_message(
    connection: sqlite3.Connection, session: str, problems: Problems
) -> dict[object, list[tuple[str, str]]]:
    texts: dict[object, list[tuple[str, str]]] = {}
    for part, message, data in connection.execute(_PARTS, (session,)):
        text = _text(data, problems)
        if text is not None:
            texts.setdefault(message, []).append((text_of(part) or "", text))
    return texts


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
