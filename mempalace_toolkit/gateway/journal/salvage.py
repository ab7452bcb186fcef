"""Takes the readable rows of a damaged journal over into a new one, and sets the old one aside.

Every page of the database and of its write-ahead log is looked at, whether a tree leads to it or
not: a row proves itself by its digest. Of a row that is found twice, the one further on counts.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from mempalace_toolkit.files.exchange import exchange, sync_path, sync_tree
from mempalace_toolkit.gateway.journal.stored import COLUMNS, PAGE_SIZE, SCHEMA, VERSION, row_of
from mempalace_toolkit.gateway.journal.values import State
from mempalace_toolkit.sqlite.pages import LEAF, PageFile
from mempalace_toolkit.sqlite.values import Value
from mempalace_toolkit.sqlite.wal import frames
from mempalace_toolkit.sqlite.walk import Walk

FILE = "journal.sqlite3"
_HEAD = 100
_COPY = "copy"
_WIDTH = 9
_LEFT_OUT = 1000
_MOST_PAGES = 1 << 24  # 64 GB: what claims to lie behind that is no page of a journal
_TAKE_OVER = (
    f"insert into writes({COLUMNS}) values(?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " on conflict(sequence) do update set state = excluded.state, attempts = excluded.attempts,"
    " result = excluded.result, arguments = excluded.arguments"
    " where excluded.state <> 'queued'"
    " or (state = 'queued' and excluded.attempts > attempts)"
)


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What became of a damaged journal. `missing` counts the numbers without a row between the
    first and the last one found: rows that were lost, or that had been forgotten before."""

    aside: Path
    damage: str
    rows: int
    queued: int
    missing: int


def new_journal(folder: Path) -> None:
    """An empty journal in `folder`, whole or not at all. Raises OSError, sqlite3.Error."""
    building = _building(folder)
    _create(building / FILE)
    sync_tree(building)
    if folder.exists():  # empty, or without a journal
        (building / FILE).replace(folder / FILE)
        building.rmdir()
        sync_path(folder)
        folder.chmod(folder.stat().st_mode & 0o700)
    else:
        building.rename(folder)
    sync_path(folder.parent)


def salvage(folder: Path, aside: str, damage: str) -> Salvaged:
    """Put a new journal with the readable rows in the place of the damaged one.

    The two folders change places in one step: whenever it is killed, either is there whole.
    Raises OSError, sqlite3.Error; the damaged one is where it was then.
    """
    building = _building(folder)
    _create(building / FILE)
    with closing(sqlite3.connect(building / FILE, isolation_level=None)) as connection:
        connection.execute("begin")
        for only_whole in (True, False):
            copy = _merged(folder, building / _COPY, only_whole)
            _take_over_all(connection, copy)
        if (folder / FILE).exists():
            shutil.copyfile(folder / FILE, building / _COPY)
            _take_over_all(connection, building / _COPY)
        _leave_numbers_out(connection)
        connection.execute("commit")
        counts = connection.execute(
            "select count(*), coalesce(sum(state = 'queued'), 0),"
            " coalesce(max(sequence) - min(sequence) + 1 - count(*), 0) from writes"
        ).fetchone()
    for left in list(building.iterdir()):
        if left.name != FILE:
            left.unlink()
    sync_tree(building)
    target = _free_name(folder, aside)
    building.rename(target)
    exchange(target, folder)
    return Salvaged(target, damage, *counts)


def _building(folder: Path) -> Path:
    """An empty folder beside, in the place of one that a killed process left."""
    building = folder.with_name(f".{folder.name}.building")
    if building.exists():
        shutil.rmtree(building)
    building.mkdir(mode=0o700)
    return building


def _create(file: Path) -> None:
    file.touch(mode=0o600)
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute(f"pragma page_size = {PAGE_SIZE}")
        connection.executescript(f"begin;{SCHEMA}pragma user_version = {VERSION};commit;")


def _merged(folder: Path, copy: Path, only_whole: bool) -> Path:
    """A copy of the database with the pages of the log in it: the whole ones, or all."""
    copy.touch(mode=0o600)
    os.truncate(copy, 0)
    if (folder / FILE).exists():
        shutil.copyfile(folder / FILE, copy)
    with copy.open("r+b") as file:
        for frame in frames(folder / f"{FILE}-wal", PAGE_SIZE):
            if (frame.whole or not only_whole) and 0 < frame.page <= _MOST_PAGES:
                file.seek((frame.page - 1) * PAGE_SIZE)
                file.write(frame.content)
    return copy


def _take_over_all(connection: sqlite3.Connection, copy: Path) -> None:
    """Take over what is a row of ours on any page of a database, trees or not."""
    _give_head(copy)
    file = PageFile(copy)
    try:
        for number in range(2, file.count + 1):
            if file.kind(number) == LEAF:
                for rowid, values in file.rows(number, Walk()):
                    _take_over(connection, [rowid, *values[1:]])
    finally:
        file.close()


def _give_head(copy: Path) -> None:
    """Put the head of a sound journal in: the pages tell themselves what they hold."""
    sound = copy.with_name("sound")
    if not sound.exists():
        _create(sound)
    with sound.open("rb") as file:
        head = file.read(_HEAD)
    with copy.open("r+b") as file:
        file.write(head)


def _take_over(connection: sqlite3.Connection, values: list[Value]) -> None:
    row = row_of(values)
    if row is None and len(values) == _WIDTH:  # its write may be whole, and only its state damaged
        values = [*values[:6], State.QUEUED.value, 0, None]
        row = row_of(values)
    if row is None or (row.state is State.QUEUED and row.arguments is None):
        return
    with suppress(sqlite3.IntegrityError):  # a key or a time that a sounder row has already
        connection.execute(_TAKE_OVER, values)


def _leave_numbers_out(connection: sqlite3.Connection) -> None:
    """No new row gets the number of one that is lost: a client may still ask for that."""
    last = connection.execute("select coalesce(max(sequence), 0) from writes").fetchone()[0]
    connection.execute("delete from sqlite_sequence where name = 'writes'")
    connection.execute("insert into sqlite_sequence values('writes', ?)", (last + _LEFT_OUT,))


def _free_name(folder: Path, aside: str) -> Path:
    names = [f"{folder.name}.{aside}", *(f"{folder.name}.{aside}-{n}" for n in range(2, 1000))]
    return next(path for name in names if not (path := folder.with_name(name)).exists())
