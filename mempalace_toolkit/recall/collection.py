"""Answers what MemPalace asks a chromadb collection: query, get and count, without chromadb."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.recall.codes import KEYS, Codes
from mempalace_toolkit.recall.filters import Where, condition, equalities
from mempalace_toolkit.recall.following import FollowedPalace
from mempalace_toolkit.recall.loading import LoadedCollection
from mempalace_toolkit.recall.nearest import Neighbour, nearest
from mempalace_toolkit.recall.pending import Pending
from mempalace_toolkit.recall.rows import Row, Wanted, count_rows, ids_where, rows_of, select_rows
from mempalace_toolkit.recall.short_read import read_shortly

_SPARE = 8
"""So many more are looked for: a drawer whose row is not there yet, or no more, is left out."""


@dataclass(frozen=True, slots=True)
class FoundRow:
    """A drawer near a question; `vector` as it was written."""

    row: Row
    distance: float
    vector: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which drawers `get` gives: all that the clause means, in the order of their filing."""

    where: Where | None = None
    ids: Sequence[str] | None = None
    limit: int | None = None
    offset: int = 0


@dataclass(slots=True)
class AskedCollection:
    """One collection of a followed palace. It shows the palace as of its last `refresh`."""

    followed: FollowedPalace
    name: str
    pending: Pending = field(default_factory=Pending)
    _codes: Codes = field(default_factory=Codes)

    @property
    def loaded(self) -> LoadedCollection:
        """What is in memory of it. Raises KeyError where there is no such collection."""
        return self.followed.collections[self.name]

    def query(
        self, question: NDArray[np.float32], count: int, where: Where | None = None
    ) -> list[FoundRow]:
        """The nearest drawers that the clause means, nearest first.

        Raises FilterError, and ValueError where the question has another number of dimensions.
        """
        return read_shortly(
            self.followed.palace, lambda connection: self._query(connection, question, count, where)
        )

    def get(self, selection: Selection) -> list[Row]:
        """The drawers that are selected. Raises FilterError."""
        where = condition(selection.where)
        queued = list(self.pending.rows(selection.where, selection.ids))
        wanted = Wanted(where, selection.ids, selection.limit, selection.offset)

        def look(connection: sqlite3.Connection) -> list[Row]:
            return select_rows(connection, self.loaded.metadata_segment, wanted)

        if not queued:
            return read_shortly(self.followed.palace, look)
        wanted = Wanted(where, selection.ids)
        rows = {row.id: row for row in read_shortly(self.followed.palace, look)}
        rows |= {row.id: row for row in queued}
        end = None if selection.limit is None else selection.offset + selection.limit
        return list(rows.values())[selection.offset : end]

    def count(self) -> int:
        """How many drawers there are, pending ones included."""
        segment = self.loaded.metadata_segment
        filed = read_shortly(self.followed.palace, lambda one: count_rows(one, segment))
        new = sum(row.id not in self.loaded.vectors.places for row in self.pending.rows(None))
        return filed + new

    def vectors(self, ids: Iterable[str]) -> list[NDArray[np.float32]]:
        """The drawers' vectors as they were written; not a number where there is none."""
        return [self._vector(identity) for identity in ids]

    def _vector(self, identity: str) -> NDArray[np.float32]:
        if identity in self.pending:
            return self.pending.vector(identity)
        if identity in self.loaded.vectors.places:
            return self.loaded.vectors.raw(identity)
        return np.full(self.loaded.vectors.dimension, np.nan, np.float32)

    def _query(
        self,
        connection: sqlite3.Connection,
        question: NDArray[np.float32],
        count: int,
        where: Where | None,
    ) -> list[FoundRow]:
        vectors, segment = self.loaded.vectors, self.loaded.metadata_segment
        if not vectors.dimension:
            vectors.dimension = len(question)  # nothing was ever written
        allowed = self._allowed(connection, where)
        queued = self.pending.nearest(vectors, question, where)
        hidden = frozenset(row.id for row in self.pending.rows(None))
        wanted = count + len(hidden) + _SPARE
        while True:
            near = nearest(vectors, question, wanted, allowed)
            seen = [one for one in near if one.id not in hidden]
            rows = rows_of(connection, segment, [one.id for one in seen])
            filed = [one for one in seen if one.id in rows]
            if len(filed) >= count or len(near) < wanted:
                break
            wanted *= 4
        rows |= {row.id: row for row in self.pending.rows(where)}
        best = _merged(filed, queued)[:count]
        return [FoundRow(rows[one.id], one.distance, self._vector(one.id)) for one in best]

    def _allowed(
        self, connection: sqlite3.Connection, where: Where | None
    ) -> NDArray[np.bool_] | None:
        """Which places the clause means; None: all."""
        if not where:
            return None
        vectors, segment = self.loaded.vectors, self.loaded.metadata_segment
        demanded = equalities(where, KEYS)
        if demanded is not None:
            self._renew_codes(connection)
            return self._codes.mask(demanded, len(vectors.ids))
        allowed = np.zeros(len(vectors.ids), np.bool_)
        for identity in ids_where(connection, segment, condition(where)):
            place = vectors.places.get(identity)
            if place is not None:
                allowed[place] = True
        return allowed

    def _renew_codes(self, connection: sqlite3.Connection) -> None:
        vectors, segment = self.loaded.vectors, self.loaded.metadata_segment
        touched = self.followed.touched.get(self.name, set())
        if touched is None or touched:
            self._codes.renew(connection, segment, vectors, touched)
            filed = rows_of(connection, segment, touched or ())
            # A drawer whose row is not written yet is looked at again the next time.
            self.followed.touched[self.name] = {one for one in touched or () if one not in filed}


def _merged(filed: list[Neighbour], queued: list[Neighbour]) -> list[Neighbour]:
    """Both, nearest first; filed ones first where they are equally near."""
    return sorted([*filed, *queued], key=lambda one: one.distance) if queued else filed


def metadata_of(connection: sqlite3.Connection, collection: str) -> dict[str, Any]:
    """The metadata of the collection itself."""
    rows = connection.execute(
        "select key, str_value, int_value, float_value from collection_metadata"
        " where collection_id = ?",
        [collection],
    )
    return {
        str(key): next((value for value in values if value is not None), None)
        for key, *values in rows
    }
