"""Coverage of a segment folder: the last operation that it has surely taken in; its elements.

What is evidence, strongest first. The folder has an element of every drawer that was touched up
to the VECTOR watermark: it is the one that was flushed there. Or the vector of an operation that
is still in the queue is in it: it has taken in that operation. Or it has the drawer with the
highest row id of those in it: it was written after that one was added, whatever else it lacks (an
index from a backup lacks what came later, a damaged map lacks single ones). Labels are given in the
order of row ids, so that drawers that were deleted and filed again since then stand out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.chroma.operations import Operation
from mempalace_toolkit.chroma.records import CollectionRecord, QueueEntry
from mempalace_toolkit.chroma.segment.files import Elements, SegmentFiles, is_cut
from mempalace_toolkit.longest_run import increasing

_SAME = 1e-5


@dataclass(frozen=True, slots=True)
class Coverage:
    """`elements` is the place of each drawer's element, -1 for none; `last_applied` the last
    operation that the folder is known to contain."""

    elements: NDArray[np.int64]
    last_applied: int


def coverage_of(
    record: CollectionRecord, files: SegmentFiles, live: bool, map_wrong: bool = False
) -> Coverage | None:
    """What the folder holds of the record's drawers; None where nothing can be told.

    Where the map is known to be wrong, it is as if the folder had lost it.
    That it has every drawer proves nothing of a folder that is not `live`: one that was set
    aside long ago has them all, too, if drawers were only replaced since.
    """
    if files.elements is None:
        return None
    if files.id_map is None or map_wrong:
        return _coverage_by_rank(record, files.elements)
    labels = labels_of(record, files.id_map.labels)
    places = places_of(files.elements, labels)
    evidence, bound = _queue_evidence(
        record, files.elements, files.id_map.labels, record.vector_watermark
    )
    watermark = record.vector_watermark
    if not is_cut(files):  # a map newer than the data has labels of which there is no element yet
        labels = np.where(np.isin(labels, files.elements.labels.astype(np.int64)), labels, 0)
    complete = live and bound is None and _has_all_flushed(record, labels)
    if watermark is not None and (complete or evidence >= watermark):
        return Coverage(places, watermark)
    last_applied = max(evidence, _last_added(record, labels))
    if bound is not None:
        last_applied = min(last_applied, bound)
    return Coverage(np.where(_increasing(labels), places, -1), last_applied)


def _has_all_flushed(record: CollectionRecord, labels: NDArray[np.int64]) -> bool:
    watermark = record.vector_watermark if record.vector_watermark is not None else -1
    return bool(np.all(labels[record.sequences <= watermark] > 0))


def labels_of(record: CollectionRecord, labels: Mapping[str, int]) -> NDArray[np.int64]:
    """Each drawer's label in the map, 0 for none."""
    return np.fromiter(map(labels.get, record.ids, repeat(0)), np.int64, len(record.ids))


def places_of(elements: Elements, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the elements with these labels are; -1 for none, for deleted ones, for doubles."""
    held = np.array(elements.labels, np.int64)
    order = np.argsort(held, kind="stable")
    held = held[order]
    first = np.searchsorted(held, labels, "left")
    once = np.searchsorted(held, labels, "right") - first == 1
    if not len(held):
        return np.full(len(labels), -1, np.int64)
    place = order[np.minimum(first, len(held) - 1)]
    usable = once & (labels > 0) & ~elements.deleted[place]
    result: NDArray[np.int64] = np.where(usable, place, -1)
    return result


def _queue_evidence(
    record: CollectionRecord, elements: Elements, labels: Mapping[str, int], until: int | None
) -> tuple[int, int | None]:
    """The highest operation in the queue, not after `until`, whose vector is in the folder, -1
    for none; and the operation before the first above it for which it has another vector."""
    limit = until if until is not None else -1
    last = {entry.id: entry for entry in record.queue if entry.sequence <= limit}
    entries = sorted(last.values(), key=lambda one: -one.sequence)
    given = np.fromiter((labels.get(entry.id, 0) for entry in entries), np.int64, len(entries))
    bound = None
    for entry, place in zip(entries, places_of(elements, given).tolist(), strict=True):
        if place < 0 or entry.vector is None:
            continue
        difference = _difference(elements.vectors[place], entry.vector, record.space)
        if difference < _SAME:
            return entry.sequence, bound
        if difference < np.inf:
            bound = entry.sequence - 1
    return -1, bound


def outdated_operations(
    record: CollectionRecord, elements: Elements, labels: Mapping[str, int]
) -> int:
    """How many operations in the queue the folder should have taken in and has not.

    The queue keeps the operation of the VECTOR watermark itself. A folder that was flushed
    there has the vector of the last operation on each drawer, or already a later one's.
    """
    flushed: dict[str, list[QueueEntry]] = {}
    watermark = record.vector_watermark if record.vector_watermark is not None else -1
    for entry in record.queue:
        if entry.sequence <= watermark and (
            entry.vector is not None or entry.operation == Operation.DELETE
        ):
            flushed[entry.id] = []
        if entry.id in flushed:
            flushed[entry.id].append(entry)
    given = np.fromiter((labels.get(drawer, 0) for drawer in flushed), np.int64, len(flushed))
    outdated = 0
    for entries, place in zip(flushed.values(), places_of(elements, given).tolist(), strict=True):
        vectors = [entry.vector for entry in entries if entry.vector is not None]
        if place < 0 or entries[0].vector is None:
            continue
        nearest = min(_difference(elements.vectors[place], one, record.space) for one in vectors)
        outdated += _SAME < nearest < np.inf
    return outdated


def _difference(held: NDArray[np.float32], written: bytes, space: str) -> float:
    """How far the element is from what an operation wrote; infinite where it is damaged."""
    if len(written) != 4 * len(held) or not np.all(np.isfinite(held)) or not np.any(held):
        return float("inf")
    vector = np.frombuffer(written, "<f4").astype(np.float64)
    if space == "cosine":
        vector = vector / (np.linalg.norm(vector) or 1.0)
    return float(np.max(np.abs(held - vector)))


def _last_added(record: CollectionRecord, labels: NDArray[np.int64]) -> int:
    """The folder was written after its last drawer was added: at or before this operation.

    A drawer's sequence is that of its addition or higher; the drawers added after it were
    touched after it was added, so the least of theirs is a bound, too.
    """
    present = np.flatnonzero(_increasing(labels) & (labels > 0))
    return int(record.sequences[present[-1] :].min()) if len(present) else -1


def _increasing(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The labels that are in the longest increasing run among the drawers'; 0 is no label."""
    given = np.flatnonzero(labels > 0)
    kept = np.zeros(len(labels), np.bool_)
    kept[given[increasing(labels[given].tolist())]] = True
    return kept


def _coverage_by_rank(record: CollectionRecord, elements: Elements) -> Coverage | None:
    """The map of a folder that lost it: drawers in order of row id, elements in order of label.

    The folder is either of the watermark, and then no delete may be pending, as the drawers
    deleted since are in the folder and not among the rows; or a writer was killed just when
    it replaced the map, and the elements are of the end of the queue. Either must agree in
    number, and have vectors of the queue where the ranks put them, and no other there.
    """
    labels = np.asarray(elements.labels).astype(np.int64)
    used = np.flatnonzero(~np.asarray(elements.deleted) & (labels > 0))
    if not len(used) or len(used) > len(record.ids) or len(np.unique(labels[used])) != len(used):
        return None
    ranked = used[np.argsort(labels[used], kind="stable")]
    by_drawer = dict(zip(record.ids, labels[ranked].tolist(), strict=False))
    for until in _last_applied_by_rank(record, len(ranked)):
        evidence, bound = _queue_evidence(record, elements, by_drawer, until)
        if evidence >= 0 and bound is None:
            places = np.full(len(record.ids), -1, np.int64)
            places[: len(ranked)] = ranked
            return Coverage(places, until)
    return None


def _last_applied_by_rank(record: CollectionRecord, count: int) -> list[int]:
    """Up to where the queue may have been followed by a folder of so many drawers."""
    candidates = []
    if count == len(record.ids) and record.queue:
        candidates.append(record.queue[-1].sequence)
    watermark = record.vector_watermark
    pending = [entry for entry in record.queue if entry.sequence > (watermark or 0)]
    later = record.sequences[count:]
    if (
        watermark is not None
        and all(entry.operation != Operation.DELETE for entry in pending)
        and (not len(later) or int(later.min()) > watermark)
    ):
        candidates.append(watermark)
    return candidates


def indexed_drawers(record: CollectionRecord) -> NDArray[np.bool_]:
    """The drawers whose present vector a folder of the VECTOR watermark has, if it has them."""
    watermark = record.vector_watermark
    if watermark is None:
        return np.zeros(len(record.ids), np.bool_)
    return (record.sequences <= watermark) | only_described(record, watermark)


def only_described(record: CollectionRecord, last_applied: int) -> NDArray[np.bool_]:
    """Drawers whose operations after `last_applied` are all queued and all without a vector."""
    last: dict[str, int] = {}
    changed: set[str] = set()
    for entry in record.queue:
        if entry.sequence > last_applied:
            last[entry.id] = entry.sequence
            if entry.vector is not None or entry.operation != Operation.UPDATE:
                changed.add(entry.id)
    described = np.zeros(len(record.ids), np.bool_)
    if last.keys() - changed:
        for place, drawer in enumerate(record.ids):
            if drawer in last and drawer not in changed:
                described[place] = last[drawer] == record.sequences[place]
    return described
