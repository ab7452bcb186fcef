"""Keeps loaded vectors up to date with a palace that others write to, by chromadb's queue.

chromadb purges the queue when it has written its index. What was purged unseen is in the index
files, which are then loaded again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from mempalace_toolkit.chroma.records import QueueEntry
from mempalace_toolkit.chroma.sequences import sequence_number
from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.recall.loading import LoadedCollection, load_palace, replay
from mempalace_toolkit.recall.short_read import read_shortly


@dataclass(frozen=True, slots=True)
class _Place:
    """A collection as the database names it now; `watermark`: what is in its index."""

    id: str
    vector_segment: str
    watermark: int


@dataclass(frozen=True, slots=True)
class _News:
    places: dict[str, _Place]
    highest: int
    entries: list[tuple[str, QueueEntry]]
    file: int


@dataclass(slots=True)
class FollowedPalace:
    """A palace's collections in memory; `refresh` brings them up to now.

    `touched` are the drawers whose row may have changed since it was last emptied, by
    collection; None stands for all of them.
    """

    palace: PalaceLocation
    names: tuple[str, ...] | None = None
    collections: dict[str, LoadedCollection] = field(default_factory=dict)
    touched: dict[str, set[str] | None] = field(default_factory=dict)
    loads: int = 0
    _sequence: int = -1
    _file: int = 0

    def refresh(self) -> None:
        """Take in what was written since the last time.

        Raises what load_palace raises; what was known before is then still there.
        """
        if self._sequence < 0:
            self._load()
            return
        news = read_shortly(self.palace, self._news)
        if self._is_missed(news):
            self._load()
            return
        by_id = {one.id: one for one in self.collections.values()}
        for collection, entry in news.entries:
            followed = by_id.get(collection)
            if followed is not None:
                replay(followed.vectors, [entry])
                touched = self.touched.setdefault(followed.name, set())
                if touched is not None:
                    touched.add(entry.id)
        self._sequence = news.highest

    def _load(self) -> None:
        file = _inode(self.palace)
        loaded = load_palace(self.palace, self.names)
        self.collections = loaded.collections
        self.touched = dict.fromkeys(loaded.collections, None)
        self._sequence, self._file = loaded.sequence, file
        self.loads += 1

    def _news(self, connection: sqlite3.Connection) -> _News:
        file = _inode(self.palace)
        highest = _highest(connection)  # before the rows: what comes in between is for next time
        rows = connection.execute(
            "select seq_id, operation, topic, id, vector from embeddings_queue"
            " where seq_id > ? and seq_id <= ? order by seq_id",
            [self._sequence, highest],
        )
        entries = [
            (str(topic).rpartition("/")[2], QueueEntry(int(number), int(what), identity, vector))
            for number, what, topic, identity, vector in rows
        ]
        return _News(dict(_places(connection, self.names)), highest, entries, file)

    def _is_missed(self, news: _News) -> bool:
        """Whether the queue no longer tells all that was done."""
        known = {name: (one.id, one.vector_segment) for name, one in self.collections.items()}
        now = {name: (one.id, one.vector_segment) for name, one in news.places.items()}
        if news.file != self._file or known != now or news.highest < self._sequence:
            return True
        if len(news.entries) == news.highest - self._sequence:
            return False  # numbers follow each other: none was purged
        return any(place.watermark > self._sequence for place in news.places.values())


def _inode(palace: PalaceLocation) -> int:
    try:
        return palace.database.stat().st_ino
    except OSError:
        return 0


def _highest(connection: sqlite3.Connection) -> int:
    row = connection.execute("select max(seq_id) from embeddings_queue").fetchone()
    return sequence_number(row[0]) or 0


def _places(
    connection: sqlite3.Connection, names: Iterable[str] | None
) -> Iterator[tuple[str, _Place]]:
    rows = connection.execute(
        "select c.name, c.id, s.id, m.seq_id from collections c"
        " left join segments s on s.collection = c.id and s.scope = 'VECTOR'"
        " left join max_seq_id m on m.segment_id = s.id"
    )
    for name, collection, segment, watermark in rows:
        if names is None or name in names:
            number = sequence_number(watermark) or 0
            yield str(name), _Place(str(collection), str(segment or ""), number)
