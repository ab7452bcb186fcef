"""Which drawers' vectors survive, where, and by what proof: queue, index, quarantined indexes.

A vector is accepted only as the one of the drawer's present text. `embeddings.seq_id` is the
operation that last touched a drawer, so the question is which operations a copy contains; what
answers it for a folder is in `coverage.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.chroma.operations import Operation
from mempalace_toolkit.chroma.records import CollectionRecord
from mempalace_toolkit.chroma.segment.bounded_read import release
from mempalace_toolkit.chroma.segment.files import Elements, SegmentFiles, read_for_salvage
from mempalace_toolkit.index.evidence.folders import segment_path
from mempalace_toolkit.index.quarantine.folders import list_quarantined
from mempalace_toolkit.index.salvage.coverage import (
    Coverage,
    coverage_of,
    indexed_drawers,
    only_described,
)
from mempalace_toolkit.index.salvage.pairing import paired
from mempalace_toolkit.index.salvage.row_order import infer_order
from mempalace_toolkit.index.salvage.salvaged import Origin, Salvage

_BLOCK = 4096
_UNIT_TOLERANCE = 1e-3


def salvage(
    palace: Path,
    record: CollectionRecord,
    map_wrong: bool = False,
    mapped: bool = False,
    wrong: Mapping[str, int] | None = None,
) -> Salvage:
    """Look for every drawer's vector: in the queue, in the index, in quarantined indexes.

    With `map_wrong` no folder's map of ids is believed: the drawers' order must tell. `mapped`
    elements take no memory beyond a block, and are for a palace that nothing else has open.
    `wrong` are drawers, each with its sequence number, whose vector was compared with their
    text and is another's: no folder is believed about them.
    """
    dimension = record.dimension or 0
    total = len(record.ids)
    found = Salvage(
        record,
        dimension,
        np.zeros(total, np.int8),
        np.full(total, -1, np.int16),
        np.zeros(total, np.int64),
        [],
        {},
        {},
        np.zeros(total, np.bool_),
    )
    if not total or not dimension:
        return found
    _take_from_queue(found)
    live: SegmentFiles | None = None
    folders = list(_folders(palace, record))
    for folder, origin in folders:
        if folder.is_dir() and (origin == Origin.LIVE or not np.all(found.origin)):
            there = read_for_salvage(folder, dimension, mapped)
            files = paired(there, folders[0][0], [one for one, _ in folders[1:]], dimension)
            if origin == Origin.LIVE and files is not there:
                wrong = {}  # each was compared with what another index's map gives it
            _take_from_folder(found, files, origin, map_wrong)
            live = files if origin == Origin.LIVE else live
    _leave_out(found, wrong or {})
    if live is not None and len(found.missing()):
        current = indexed_drawers(record) & ~_compared_wrong(record, wrong or {})
        if np.any(current & (found.origin == Origin.NOWHERE)):
            found.inferred = infer_order(record, live, current, map_wrong)
    return found


def _leave_out(found: Salvage, wrong: Mapping[str, int]) -> None:
    left = np.flatnonzero(_compared_wrong(found.record, wrong) & (found.folder >= 0))
    found.origin[left], found.folder[left] = Origin.NOWHERE, -1


def _compared_wrong(record: CollectionRecord, wrong: Mapping[str, int]) -> NDArray[np.bool_]:
    """The drawers that were not written again since they were compared."""
    numbers = record.sequences.tolist() if wrong else []
    result = np.zeros(len(record.ids), np.bool_)
    for place, number in enumerate(numbers):
        result[place] = wrong.get(record.ids[place]) == number
    return result


def _folders(palace: Path, record: CollectionRecord) -> Iterator[tuple[Path, int]]:
    """The live segment's folder, then those quarantined, newest first."""
    yield segment_path(palace, record.vector_segment), Origin.LIVE
    for one in reversed(list_quarantined(palace)):
        if one.segment == record.vector_segment:
            yield one.folder, Origin.QUARANTINED


def _take_from_queue(found: Salvage) -> None:
    """The last vector written, where the queue has the operation that last touched the drawer.

    Without that operation the entry may be of another time: after a queue was emptied it
    counts anew.
    """
    record = found.record
    last: dict[str, bytes] = {}
    touched: dict[str, int] = {}
    positions = {drawer: place for place, drawer in enumerate(record.ids)}
    for entry in record.queue:
        place = positions.get(entry.id)
        if place is None or entry.sequence > record.sequences[place]:
            continue
        touched[entry.id] = entry.sequence
        if entry.operation == Operation.DELETE:
            last.pop(entry.id, None)
        elif entry.vector is not None and len(entry.vector) == 4 * found.dimension:
            last[entry.id] = entry.vector
        elif entry.vector is not None or entry.operation != Operation.UPDATE:
            last.pop(
                entry.id, None
            )  # it had a vector, which is lost: the one before is of another text
    for drawer, vector in last.items():
        place = positions[drawer]
        row = np.frombuffer(vector, "<f4")
        if touched[drawer] == record.sequences[place] and np.all(np.isfinite(row)):
            found.queued[place] = vector
            found.origin[place] = Origin.QUEUE


def _take_from_folder(found: Salvage, files: SegmentFiles, origin: int, map_wrong: bool) -> None:
    if files.elements is None:
        return
    coverage = coverage_of(found.record, files, origin == Origin.LIVE, map_wrong)
    if coverage is not None:
        if origin == Origin.LIVE:
            found.indexed = coverage.elements >= 0
        wanted = np.flatnonzero((found.origin == Origin.NOWHERE) & _proven(coverage, found.record))
        take(found, wanted, coverage.elements[wanted], (files.folder, files.elements), origin)


def take(
    found: Salvage,
    drawers: NDArray[np.int64],
    places: NDArray[np.int64],
    folder: tuple[Path, Elements],
    origin: int,
) -> None:
    """Take the drawers' vectors from these elements, where they can be vectors at all."""
    sound = np.zeros(len(drawers), np.bool_)
    for start in range(0, len(drawers), _BLOCK):
        part = slice(start, start + _BLOCK)
        sound[part] = _sound(folder[1], places[part], found.record.space)
        release(folder[1].vectors)
    drawers, places = drawers[sound], places[sound]
    if len(drawers):
        found.origin[drawers] = origin
        found.folder[drawers] = len(found.folders)
        found.element[drawers] = places
        found.folders.append(folder)


def _proven(coverage: Coverage, record: CollectionRecord) -> NDArray[np.bool_]:
    """Whether the folder holds each drawer's present vector."""
    present = coverage.elements >= 0
    current: NDArray[np.bool_] = present & (record.sequences <= coverage.last_applied)
    flushed = (
        record.vector_watermark is not None and coverage.last_applied >= record.vector_watermark
    )
    if flushed or (record.queue and record.queue[0].sequence <= coverage.last_applied):
        # The queue has all that was done since: these were touched, their vectors were not.
        current |= present & only_described(record, coverage.last_applied)
    return current


def _sound(elements: Elements, places: NDArray[np.int64], space: str) -> NDArray[np.bool_]:
    """Whether these vectors can be what was written: finite, and of length 1 for cosine."""
    with np.errstate(all="ignore"):
        norms = np.linalg.norm(elements.vectors[places], axis=1)
        sound = np.isfinite(norms)
        if space == "cosine":
            sound &= np.abs(norms - 1) < _UNIT_TOLERANCE
    result: NDArray[np.bool_] = sound
    return result
