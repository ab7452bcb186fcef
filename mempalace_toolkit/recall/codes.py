"""Which wing and which room each drawer is of, as a number beside its vector.

A filter of these two, which nearly every one is, then reads no row: through SQL it would read
each one that matches.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.recall.vectors import Vectors

KEYS = frozenset({"wing", "room"})
_UNKNOWN = -1
_AT_ONCE = 500
_QUERY = (
    "select e.embedding_id, m.key, m.string_value from embeddings e"
    " join embedding_metadata m on m.id = e.id and m.key in ('wing', 'room')"
    " where e.segment_id = ?"
)


class Codes:
    """The numbers of one collection; `renew` before `mask`."""

    def __init__(self) -> None:
        self._numbers: dict[str, dict[str, int]] = {key: {} for key in KEYS}
        self._by_place = {key: np.full(0, _UNKNOWN, np.int32) for key in KEYS}

    def renew(
        self,
        connection: sqlite3.Connection,
        segment: str,
        vectors: Vectors,
        touched: Iterable[str] | None,
    ) -> None:
        """Read the wing and the room of the touched drawers again, of all where None."""
        if touched is None:
            self.__init__()  # type: ignore[misc]
        self._grow(len(vectors.ids))
        ids = None if touched is None else [one for one in touched if one in vectors.places]
        for identity in ids or ():
            for codes in self._by_place.values():
                codes[vectors.places[identity]] = _UNKNOWN
        for identity, key, text in _cells(connection, segment, ids):
            place = vectors.places.get(identity)
            if place is not None and text is not None:
                numbers = self._numbers[key]
                self._by_place[key][place] = numbers.setdefault(text, len(numbers))

    def mask(self, demanded: Mapping[str, Iterable[str]], places: int) -> NDArray[np.bool_]:
        """The places whose drawers have one of the texts that are demanded of each key."""
        allowed = np.ones(places, np.bool_)
        self._grow(places)
        for key, texts in demanded.items():
            numbers = self._numbers[key]
            wanted = [numbers[text] for text in texts if text in numbers]
            allowed &= np.isin(self._by_place[key][:places], wanted)
        return allowed

    def _grow(self, places: int) -> None:
        for key, codes in self._by_place.items():
            if len(codes) < places:
                more = np.full(places + places // 8 - len(codes), _UNKNOWN, np.int32)
                self._by_place[key] = np.concatenate([codes, more])


def _cells(
    connection: sqlite3.Connection, segment: str, ids: list[str] | None
) -> Iterator[tuple[str, str, str | None]]:
    if ids is None:
        yield from connection.execute(_QUERY, [segment])
        return
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        marks = ",".join("?" * len(some))
        query = f"{_QUERY} and e.embedding_id in ({marks})"
        yield from connection.execute(query, [segment, *some])
