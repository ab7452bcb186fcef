"""Loads the vectors of a palace's collections: from the index files and the queue, no chromadb.

What is loaded is of one moment, and is compared with what the database says is there. Reading
changes nothing and holds no file: a repair may exchange the index, chromadb may write it anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.chroma.operations import Operation
from mempalace_toolkit.chroma.records import (
    CollectionRecord,
    PalaceRecords,
    QueueEntry,
    read_records,
)
from mempalace_toolkit.chroma.segment.bounded_read import ReadError
from mempalace_toolkit.chroma.segment.element_blocks import element_blocks
from mempalace_toolkit.chroma.segment.elements import LEVEL0, read_header, read_lengths
from mempalace_toolkit.chroma.segment.files import PICKLE, read_id_map
from mempalace_toolkit.index.check.moment import at_one_moment
from mempalace_toolkit.index.evidence.folders import segment_path
from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.recall.vectors import BLOCK_ROWS, Vectors

_UNIT_TOLERANCE = 1e-3


class UnsoundIndexError(Exception):
    """The vectors cannot be had from the files; the message says why, in a few words."""


@dataclass(slots=True)
class LoadedCollection:
    """A collection as it was at one moment.

    `lacking` counts drawers without a vector, `ghosts` vectors without a drawer; `unsound` says
    why there are no vectors, and is empty otherwise.
    """

    id: str
    name: str
    vector_segment: str
    metadata_segment: str
    vectors: Vectors
    metadata: dict[str, str | int | float | bool] = field(default_factory=dict)
    lacking: int = 0
    ghosts: int = 0
    unsound: str = ""

    @property
    def trouble(self) -> str:
        """Why not every drawer can be found by its vector; empty where each can."""
        if self.unsound:
            return self.unsound
        if self.lacking or self.ghosts:
            return f"{self.lacking} drawers without a vector, {self.ghosts} vectors without one"
        return ""


@dataclass(frozen=True, slots=True)
class LoadedPalace:
    """All collections by name, and the number of the last operation that is in them."""

    collections: dict[str, LoadedCollection]
    sequence: int


def load_palace(palace: PalaceLocation, names: Iterable[str] | None = None) -> LoadedPalace:
    """Load the collections of these names, all where None.

    Raises MempalaceError where the database cannot be read, PalaceBusyError where it is written
    to all the time, UnsoundIndexError where it is not as a chromadb known here writes it.
    """
    wanted = None if names is None else frozenset(names)

    def look() -> LoadedPalace:
        records = read_records(palace)
        if records.unknown:
            raise UnsoundIndexError(f"the database is of a kind not known here: {records.unknown}")
        chosen = [one for one in records.collections if wanted is None or one.name in wanted]
        if len({one.name for one in chosen}) != len(chosen):
            raise UnsoundIndexError("two collections have one name")
        return LoadedPalace(
            {record.name: load_collection(palace.path, record) for record in chosen},
            _last_sequence(records),
        )

    return at_one_moment(palace, look).seen


def load_collection(palace: Path, record: CollectionRecord) -> LoadedCollection:
    """A collection with its vectors, from its segment's files and its queue."""
    loaded = LoadedCollection(
        record.id,
        record.name,
        record.vector_segment,
        record.metadata_segment,
        Vectors(record.dimension or 0, record.space),
    )
    try:
        if record.dimension and record.vector_watermark is not None:
            folder = segment_path(palace, record.vector_segment)
            _read_index(folder, record.dimension, loaded.vectors)
        replay(loaded.vectors, _above(record.queue, record.vector_watermark))
    except ReadError as error:
        loaded.unsound = f"its index cannot be read: {error.problem.message}"
    except (UnsoundIndexError, ValueError) as error:
        loaded.unsound = f"its index is not sound: {error}"
    if loaded.unsound:
        loaded.vectors = Vectors(record.dimension or 0, record.space)
    held = _drawers(record)
    loaded.lacking = len(held - loaded.vectors.places.keys())
    loaded.ghosts = len(loaded.vectors.places.keys() - held)
    return loaded


def replay(vectors: Vectors, entries: Iterable[QueueEntry]) -> None:
    """Do to the vectors what the queue says was done. Raises ValueError on one of another size."""
    for entry in entries:
        if entry.operation == Operation.DELETE:
            vectors.remove(entry.id)
        elif entry.vector is not None and not (
            entry.operation == Operation.ADD and entry.id in vectors.places
        ):
            if not vectors.dimension and entry.vector:
                vectors.dimension = len(entry.vector) // 4
            vectors.put(entry.id, np.frombuffer(entry.vector, "<f4"))


def _above(queue: Sequence[QueueEntry], watermark: int | None) -> Iterable[QueueEntry]:
    return (entry for entry in queue if watermark is None or entry.sequence > watermark)


def _last_sequence(records: PalaceRecords) -> int:
    """The highest number that the queue had; what it gave away with a flush is in the index."""
    return records.highest_queued


def _drawers(record: CollectionRecord) -> set[str]:
    """The ids that the collection has, those in the queue that have no row yet included."""
    held = set(record.ids)
    for entry in _above(record.queue, record.metadata_watermark):
        if entry.operation == Operation.DELETE:
            held.discard(entry.id)
        elif entry.operation != Operation.UPDATE:
            held.add(entry.id)
    return held


def _read_index(folder: Path, dimension: int, vectors: Vectors) -> None:
    header = read_header(folder, dimension)
    id_map = read_id_map(folder)
    all_lengths = read_lengths(folder)
    for number, block in enumerate(element_blocks(folder, header, BLOCK_ROWS)):
        labels: list[int] = block.labels.tolist()
        ids = [id_map.ids.get(label) for label in labels]
        present = np.array([one is not None for one in ids], np.bool_)
        _require_sound(block.vectors[present], block.deleted[present], vectors.space)
        start = number * BLOCK_ROWS
        lengths = _usable(all_lengths, start, len(labels), vectors.space)
        vectors.append_block(block.vectors, lengths, ids, labels)
    vectors.next_label = id_map.total + 1
    if len(vectors) != len(id_map.ids):
        lost = len(id_map.ids) - len(vectors)
        raise UnsoundIndexError(f"{PICKLE} names {lost} elements that {LEVEL0} does not hold once")


def _require_sound(rows: NDArray[np.float32], deleted: NDArray[np.bool_], space: str) -> None:
    if deleted.any():
        raise UnsoundIndexError(f"{int(deleted.sum())} drawers have a deleted element")
    squares = np.einsum("ij,ij->i", rows, rows)
    sound = np.isfinite(squares)
    if space == "cosine":
        sound &= np.abs(squares - 1) < 2 * _UNIT_TOLERANCE
    if not sound.all():
        raise UnsoundIndexError(f"{int((~sound).sum())} vectors are none that a model gives")


def _usable(
    lengths: NDArray[np.float32] | None, start: int, count: int, space: str
) -> NDArray[np.float32]:
    """The lengths before chromadb scaled the vectors; 1 where they are unknown.

    Only cosine indexes keep them; the others leave the file to chance.
    """
    ones = np.ones(count, np.float32)
    if space != "cosine" or lengths is None or len(lengths) < start + count:
        return ones
    some = lengths[start : start + count]
    with np.errstate(all="ignore"):
        usable = np.isfinite(some) & (some > 1e-6) & (some < 1e6)
    return np.where(usable, some, ones)
