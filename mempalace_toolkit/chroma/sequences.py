"""The numbers that chromadb gives operations, as its versions wrote them."""

from __future__ import annotations

import sqlite3


def highest_sequence(connection: sqlite3.Connection, *tables: str) -> int:
    """The highest sequence number in these tables, 0 where there is none.

    Numbers and bytes are asked for apart: SQLite holds any bytes for more than any number.
    """
    found = [0]
    for table in tables:
        query = f"select max(seq_id), typeof(seq_id) as form from {table} group by form"  # noqa: S608 - fixed names
        found += [sequence_number(value) or 0 for value, _ in connection.execute(query)]
    return max(found)


def sequence_number(value: object) -> int | None:
    """A sequence number; chromadb to 0.6 wrote most of them as big-endian bytes.

    In a palace of 0.6.3 that chromadb 1.5.9 has opened, the drawers' own still are.
    """
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, bytes) and len(value) <= 16:
        return int.from_bytes(value, "big")
    raise ValueError(f"{type(value).__name__} where a number belongs")
