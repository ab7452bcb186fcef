"""Counts a session's turns without building them, where its rows are of the common kind.

The rows are those that reading takes, parsed by the same functions, but as one array of a
session: that is most of the difference. Whatever needs more than one row to be judged, or is
wrong in any way, is left to reading, which says what it is.
"""

from __future__ import annotations

import sqlite3
from typing import Any

import orjson

from mempalace_toolkit.sessions.model import TurnCount
from mempalace_toolkit.sessions.opencode.rows import HAS_TALK
from mempalace_toolkit.sessions.opencode.schema import Schema
from mempalace_toolkit.sessions.opencode.talk import (
    answer_of,
    asks_after_overflow,
    role_of,
    visible_text,
)
from mempalace_toolkit.sqlite.failures import is_corrupt

_SELECT = "select count(*), group_concat({id}, char(10)), group_concat(data) from {table}"
_PARTS = f"{_SELECT.format(id='message_id', table='part')} where session_id = ? and {HAS_TALK}"
_MESSAGES = f"{_SELECT.format(id='id', table='message')} where session_id = ?"
_ROWS = """
select 1 from session_message where session_id = ? and type in ('user', 'assistant') limit 1
"""

_Rows = tuple[list[bytes], list[dict[str, Any]]]


def count_rows(connection: sqlite3.Connection, schema: Schema, session: str) -> TurnCount | None:
    """How many turns `message` and `part` hold of a session that has no undo; None: read it."""
    if not schema.has("message"):
        return None
    try:
        if schema.has("session_message") and connection.execute(_ROWS, (session,)).fetchone():
            return None
        parts, messages = (_fetched(connection, query, session) for query in (_PARTS, _MESSAGES))
    except sqlite3.DataError:  # more than SQLite puts into one value
        return None
    except sqlite3.DatabaseError as error:
        if not is_corrupt(error):
            raise
        return None
    return None if parts is None or messages is None else _counted(parts, messages)


def _fetched(connection: sqlite3.Connection, query: str, session: str) -> _Rows | None:
    """The ids and objects that a query gives; None where one of them is not as it should be."""
    count, ids, data = connection.execute(query, (session,)).fetchone()
    if not count:
        return [], []
    if ids is None or data is None:
        return None
    try:
        values = orjson.loads(b"[%b]" % data)
    except orjson.JSONDecodeError:
        return None
    names = ids.split(b"\n")
    if not len(names) == len(values) == count or {*map(type, values)} != {dict}:
        return None
    return names, values


def _counted(parts: _Rows, messages: _Rows) -> TurnCount | None:
    spoken: set[bytes] = set()
    characters = 0
    answered: list[bytes] = []
    for message, part in zip(*parts, strict=True):
        if (text := visible_text(part)) is not None:
            spoken.add(message)
            characters += len(text)
        elif asks_after_overflow(part):
            return None
        elif answer_of(part, ""):
            answered.append(message)
    roles = [role_of(value) for message, value in zip(*messages, strict=True) if message in spoken]
    if len(roles) < len(spoken) or not {*messages[0]}.issuperset(answered):
        return None  # parts of no message
    return TurnCount(roles.count("user") + len(answered), roles.count("assistant"), characters)
