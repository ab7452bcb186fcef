"""Writes opencode databases and storage folders of the recorded shapes, for the tests."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

RECORDED = Path(__file__).parents[1] / "fixtures" / "opencode"

SCHEMA = """
create table session (id text primary key, parent_id text, directory text, title text,
  revert text, time_created integer, time_updated integer, time_archived integer);
create table message (id text primary key, session_id text, time_created integer,
  time_updated integer, data text);
create table part (id text primary key, message_id text, session_id text,
  time_created integer, time_updated integer, data text);
create index message_session on message (session_id, time_created, id);
create index part_message on part (message_id, id);
create index part_session on part (session_id);
"""
START = 1_790_000_000_000


def make_database(path: Path, *, wal: bool = False) -> Path:
    """An opencode database of the 1.x shape without a session in it."""
    with closing(sqlite3.connect(path)) as db:
        if wal:
            db.execute("pragma journal_mode=wal")
        db.executescript(SCHEMA)
    return path


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """One committed transaction; it need not survive a power cut."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("pragma synchronous=off")
        with db:
            yield db


def execute(path: Path, statement: str, *values: object) -> None:
    """Change a database by one committed statement."""
    with opened(path) as db:
        db.execute(statement, values)


def add_session(path: Path, session: str, *texts: str, at: int = START, **columns: object) -> None:
    """A session whose messages are these texts, user and assistant by turns."""
    row = {"id": session, "directory": "/home/a/shop", "title": "A talk", "time_created": at}
    row |= {"time_updated": at + len(texts), **columns}
    names = ", ".join(row)
    marks = ", ".join("?" * len(row))
    with opened(path) as db:
        db.execute(f"insert into session ({names}) values ({marks})", tuple(row.values()))
        for number, text in enumerate(texts):
            role = "assistant" if number % 2 else "user"
            insert_message(db, session, number, role, text, at=at + number)


def add_message(
    path: Path, session: str, number: int, role: str, text: str, *, at: int = START
) -> str:
    """One message with one text part; its id, which is that of the part with another prefix."""
    with opened(path) as db:
        return insert_message(db, session, number, role, text, at=at)


def insert_message(
    db: sqlite3.Connection, session: str, number: int, role: str, text: str, *, at: int
) -> str:
    """The same on an open connection."""
    message = f"msg_{session}_{number:06}"
    part = json.dumps({"type": "text", "text": text}, separators=(",", ":"))
    data = json.dumps({"role": role, "time": {"created": at}})
    db.execute("insert into message values (?, ?, ?, ?, ?)", (message, session, at, at, data))
    values = (message.replace("msg", "prt"), message, session, at, at, part)
    db.execute("insert into part values (?, ?, ?, ?, ?, ?)", values)
    return message


def tree(folder: Path) -> dict[str, tuple[int, str]]:
    """Every file and folder below, with its modification time and digest."""
    return {
        path.relative_to(folder).as_posix(): (
            path.lstat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in sorted(folder.rglob("*"))
    }
