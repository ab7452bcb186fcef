"""How a row is stored: the table, its columns, and whether what was read is what was written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from mempalace_toolkit.errors import ToolkitError
from mempalace_toolkit.gateway.journal.values import Row, State, canonical, digest_of

PAGE_SIZE = 4096
VERSION = 1
COLUMNS = "sequence, key, tool, arguments, clock, digest, state, attempts, result"
SCHEMA = """
create table writes(
  sequence integer primary key autoincrement, key text unique, tool text not null,
  arguments text, clock text not null unique, digest blob not null, state text not null,
  attempts int not null, result text);
create index writes_queued on writes(sequence) where state = 'queued';
"""


def row_of(values: Sequence[Any]) -> Row | None:
    """The row of what was read, in the order of COLUMNS; None where that is not what was written.

    A finished row without arguments cannot be proved by its digest, only by its shape.
    """
    try:
        sequence, key, tool, arguments, clock, digest, state, attempts, result = values
        row = Row(
            sequence=int(sequence),
            key=key,
            tool=tool,
            arguments=None if arguments is None else json.loads(arguments),
            clock=datetime.fromisoformat(clock),
            state=State(state),
            attempts=int(attempts),
            result=None if result is None else json.loads(result),
        )
        if arguments is None:
            whole = row.state is State.DONE and canonical([key, tool, clock]) and len(digest) == 32
        else:
            whole = digest_of(key, tool, clock, arguments) == digest
    except (TypeError, ValueError, RecursionError, ToolkitError):
        return None
    return row if whole else None


def written(moment: datetime) -> str:
    """A time as it is stored: local, without a zone."""
    if moment.tzinfo is not None:
        raise ValueError("the journal's times are local, without a zone")
    return moment.isoformat(timespec="microseconds")
