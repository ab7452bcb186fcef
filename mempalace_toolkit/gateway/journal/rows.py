"""The rows of acknowledged writes: put, next, begun, done, failed, set aside.

One process at a time has the journal open, and one thread uses it. What a call does lasts when
the `writing` block around it has ended, and not before.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from mempalace_toolkit.errors import JournalFullError, OtherArgumentsError, UsageError
from mempalace_toolkit.gateway.journal.failures import journal_failure
from mempalace_toolkit.gateway.journal.stored import COLUMNS, row_of, written
from mempalace_toolkit.gateway.journal.values import (
    AskedWrite,
    Limits,
    Receipt,
    Row,
    State,
    canonical,
    digest_of,
)

_QUEUED = "state = 'queued'"
_SIZE = "length(cast(arguments as blob))"
_OF_THE_STEP = (sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.IntegrityError)
T = TypeVar("T")
_SMALLEST_STEP = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Waiting:
    """How much is queued."""

    rows: int
    bytes: int


class Rows:
    """The rows behind an open connection."""

    def __init__(self, connection: sqlite3.Connection, file: Path, limits: Limits) -> None:
        self._db = connection
        self._file = file
        self._limits = limits
        query = f"select count(*), coalesce(sum({_SIZE}), 0) from writes where {_QUEUED}"  # noqa: S608
        self._waiting = Waiting(*connection.execute(query).fetchone())

    @property
    def waiting(self) -> Waiting:
        """How much is queued."""
        return self._waiting

    @contextmanager
    def writing(self) -> Iterator[None]:
        """All or nothing, and on the disk afterwards. Raises WriteUndoneError on a full disk,
        DamageLeftError where the journal is damaged, PalaceBusyError where it is locked."""
        before = self._waiting
        try:
            self._db.execute("begin immediate")
            try:
                yield
                self._db.execute("commit")
            except BaseException:
                self._waiting = before
                if self._db.in_transaction:  # on a full disk SQLite has rolled back by itself
                    self._db.execute("rollback")
                raise
        except sqlite3.Error as error:
            raise journal_failure(error, self._file) from error

    def one_of_many(self, step: Callable[[Rows], T]) -> T:
        """Do a step in a `writing` block that goes on without it where it is refused."""
        before = self._waiting
        self._db.execute("savepoint step")
        try:
            result = step(self)
        except BaseException as error:
            if isinstance(error, sqlite3.Error) and not isinstance(error, _OF_THE_STEP):
                raise  # the disk or the file: the whole block is undone
            self._waiting = before
            self._db.execute("rollback to step")
            self._db.execute("release step")
            raise
        self._db.execute("release step")
        return result

    def put(self, asked: AskedWrite, now: datetime) -> Receipt:
        """Queue a write; of one whose key is known the first row, whatever became of it.

        `now` is local time without a zone, as MemPalace takes it; the row gets the next time that
        no other row has. Raises OtherArgumentsError, JournalFullError, UsageError.
        """
        arguments = canonical(asked.arguments)
        first = self._first(asked, arguments)
        if first:
            return Receipt(first, repeated=True)
        size = len(arguments.encode())
        self._make_sure_of_room(size)
        clock = self._free_clock(now)
        digest = digest_of(asked.key, asked.tool, clock, arguments)
        values = self._db.execute(
            "insert into writes(key, tool, arguments, clock, digest, state, attempts)"
            f" values(?, ?, ?, ?, ?, 'queued', 0) returning {COLUMNS}",
            (asked.key, asked.tool, arguments, clock, digest),
        ).fetchone()
        self._waiting = Waiting(self._waiting.rows + 1, self._waiting.bytes + size)
        row = row_of(values)
        if row is None:  # nested deeper than can be read back: whoever does it could not, either
            raise UsageError("the arguments cannot be kept", "nothing was written; correct them")
        return Receipt(row, repeated=False)

    def row(self, sequence: int) -> Row | None:
        """The row of this number; None where there is none that is whole."""
        query = f"select {COLUMNS} from writes where sequence = ?"  # noqa: S608
        found = self._db.execute(query, (sequence,)).fetchone()
        return row_of(found) if found else None

    def next(self) -> Row | None:
        """The first row that is queued. One whose content is damaged is set aside on the way."""
        query = f"select {COLUMNS} from writes where {_QUEUED} order by sequence limit 1"  # noqa: S608
        while found := self._db.execute(query).fetchone():
            if row := row_of(found):
                return row
            self._finish(found[0], State.SET_ASIDE, "the journal's row is damaged", keep=True)
        return None

    def queued(self, after: int = 0, at_most: int = 1000) -> list[Row]:
        """The rows that are queued above a number, in their order."""
        query = f"select {COLUMNS} from writes where {_QUEUED} and sequence > ? order by sequence"  # noqa: S608
        found = self._db.execute(f"{query} limit ?", (after, at_most))
        return [row for values in found if (row := row_of(values))]

    def place(self, sequence: int) -> int:
        """How many queued rows are to be done before this one."""
        query = f"select count(*) from writes where {_QUEUED} and sequence < ?"  # noqa: S608
        count: int = self._db.execute(query, (sequence,)).fetchone()[0]
        return count

    def begin(self, sequence: int) -> int:
        """Note that a row is being done now, and say for which time.

        What never ends is counted so: a crash in the middle of it.
        """
        self._change(sequence, "attempts = attempts + 1")
        count: int = self._db.execute(
            "select attempts from writes where sequence = ?", (sequence,)
        ).fetchone()[0]
        return count

    def give_back(self, sequence: int) -> None:
        """Take a begun attempt back: the palace was held by another, so nothing was tried."""
        self._change(sequence, "attempts = max(attempts - 1, 0)")

    def done(self, sequence: int, result: object) -> None:
        """The palace has it; its arguments are forgotten."""
        self._finish(sequence, State.DONE, result)

    def fail(self, sequence: int, result: object) -> None:
        """MemPalace refused it. The arguments stay, for whoever wants to see what was refused."""
        self._finish(sequence, State.FAILED, result, keep=True)

    def set_aside(self, sequence: int, reason: object) -> None:
        """It cannot be done, and does not keep the others from being done. Its arguments stay."""
        self._finish(sequence, State.SET_ASIDE, reason, keep=True)

    def forget(self, before: datetime, state: State = State.DONE) -> int:
        """Remove finished rows that were put before a time, and say how many.

        Their keys are unknown afterwards. Queued rows are never removed.
        """
        if state is State.QUEUED:
            raise ValueError("a queued row is not to be forgotten")
        return self._db.execute(
            "delete from writes where state = ? and clock < ?", (state, written(before))
        ).rowcount

    def _first(self, asked: AskedWrite, arguments: str) -> Row | None:
        """The row that has the key of a write already."""
        if asked.key is None:
            return None
        query = f"select {COLUMNS} from writes where key = ?"  # noqa: S608
        values = self._db.execute(query, (asked.key,)).fetchone()
        if not values:
            return None
        _, key, _, _, clock, digest, *_ = values
        row = row_of(values)
        if row is None or digest_of(key, asked.tool, clock, arguments) != digest:
            raise OtherArgumentsError(
                "a write with this key was acknowledged before, with other arguments",
                "use a new key for a new write; nothing was written",
            )
        return row

    def _make_sure_of_room(self, size: int) -> None:
        waiting, limits = self._waiting, self._limits
        if waiting.rows + 1 > limits.rows or waiting.bytes + size > limits.bytes:
            raise JournalFullError(
                f"{waiting.rows:,} writes of {waiting.bytes:,} bytes wait for the palace already,"
                " and no more may",
                "nothing was written; try again when the palace is free",
            )

    def _free_clock(self, now: datetime) -> str:
        """The time as it is stored, a few microseconds later where a row has it already."""
        while self._db.execute("select 1 from writes where clock = ?", (written(now),)).fetchone():
            now += _SMALLEST_STEP
        return written(now)

    def _change(self, sequence: int, setting: str, *values: object) -> None:
        """Change a queued row. Raises LookupError where there is none of this number."""
        statement = f"update writes set {setting} where sequence = ? and {_QUEUED}"  # noqa: S608
        if not self._db.execute(statement, (*values, sequence)).rowcount:
            raise LookupError(f"no write {sequence} is queued")

    def _finish(self, sequence: int, state: State, result: object, *, keep: bool = False) -> None:
        query = f"select {_SIZE} from writes where sequence = ? and {_QUEUED}"  # noqa: S608
        size = self._db.execute(query, (sequence,)).fetchone()
        arguments = "arguments" if keep else "null"
        setting = f"state = ?, result = ?, arguments = {arguments}"
        self._change(sequence, setting, state.value, canonical(result))
        self._waiting = Waiting(self._waiting.rows - 1, self._waiting.bytes - (size[0] or 0))
