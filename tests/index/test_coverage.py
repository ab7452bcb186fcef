"""Up to which operation a segment folder follows its database, on small values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mempalace_toolkit.chroma.records import CollectionRecord, QueueEntry
from mempalace_toolkit.chroma.segment.files import Elements, IdMap, SegmentFiles
from mempalace_toolkit.chroma.settings import IndexSettings
from mempalace_toolkit.index.salvage.coverage import coverage_of

UPDATE, UPSERT, DELETE = 1, 2, 3


def record(
    sequences: str, watermark: int | None, queue: tuple[tuple[int, int, str], ...] = ()
) -> CollectionRecord:
    """Drawers `a:1 b:2`, in the order of their rows; the queue as (sequence, operation, id)."""
    pairs = [one.split(":") for one in sequences.split()]
    return CollectionRecord(
        id="c",
        name="drawers",
        dimension=2,
        settings=IndexSettings("l2"),
        vector_segment="v",
        metadata_segment="m",
        vector_watermark=watermark,
        metadata_watermark=99,
        ids=tuple(drawer for drawer, _ in pairs),
        row_ids=np.arange(1, len(pairs) + 1),
        sequences=np.array([int(number) for _, number in pairs]),
        queue=tuple(
            QueueEntry(sequence, operation, drawer, _vector(drawer, operation))
            for sequence, operation, drawer in queue
        ),
    )


def _vector(drawer: str, operation: int) -> bytes | None:
    """A vector that says the drawer's name."""
    if operation != UPSERT:
        return None
    return np.array([ord(drawer), 1], "<f4").tobytes()


def folder(labels: str, with_map: bool = True) -> SegmentFiles:
    """Elements `a b c`, labels 1, 2, 3, in this order; `-` is a deleted one,
    and a capital another text of the drawer."""
    names = labels.split()
    ids = {name.lower(): place + 1 for place, name in enumerate(names) if name != "-"}
    count = len(names)
    elements = Elements(
        labels=np.arange(1, count + 1).astype(np.uint64),
        deleted=np.array([name == "-" for name in names]),
        link_counts=np.zeros(count, np.uint16),
        links=np.zeros((count, 32), np.uint32),
        vectors=np.array([[ord(name), 1] for name in names], np.float32).reshape(count, 2),
        lengths=None,
    )
    id_map = IdMap(ids, {label: name for name, label in ids.items()}, count) if with_map else None
    return SegmentFiles(Path("v"), None, elements, id_map, ())


@pytest.mark.parametrize(
    ("case", "drawers", "watermark", "queue", "held", "last_applied", "places"),
    [
        ("all that was flushed is there", "a:1 b:2 c:3", 3, (), "a b c", 3, [0, 1, 2]),
        ("a tail is in the queue", "a:1 b:2 c:3", 2, ((3, UPSERT, "c"),), "a b", 2, [0, 1, -1]),
        ("older: c and d came later", "a:1 b:2 c:3 d:4", 4, (), "a b", 2, [0, 1, -1, -1]),
        ("b fell out of it", "a:1 b:2 c:3 d:4", 4, (), "a - c d", 4, [0, -1, 2, 3]),
        (
            "older, its last drawer touched later, which only the sample shows",
            "b:2 a:5 c:6",
            6,
            (),
            "b a",
            5,
            [0, 1, -1],
        ),
        ("older, a filed again since", "b:2 c:3 a:5 d:6", 6, (), "a b c", 3, [1, 2, -1, -1]),
        (
            "b fell out; the queue shows it follows",
            "a:1 b:2 c:9",
            9,
            ((9, UPSERT, "c"),),
            "a - c",
            9,
            [0, -1, 2],
        ),
        ("never flushed", "a:1 b:2", None, ((1, UPSERT, "a"),), "a b", 2, [0, 1]),
        ("the live one holds another text", "a:1 b:7", 7, ((7, UPSERT, "b"),), "a B", 6, [0, 1]),
    ],
)
def test_a_folder_is_known_to_follow_up_to(
    case: str,
    drawers: str,
    watermark: int | None,
    queue: tuple[tuple[int, int, str], ...],
    held: str,
    last_applied: int,
    places: list[int],
) -> None:
    coverage = coverage_of(record(drawers, watermark, queue), folder(held), live=True)
    assert coverage is not None
    assert (coverage.last_applied, coverage.elements.tolist()) == (last_applied, places), case


@pytest.mark.parametrize(
    ("case", "drawers", "watermark", "queue", "held", "places"),
    [
        ("confirmed", "a:1 b:2 c:3", 3, ((3, UPSERT, "c"),), "a b c", [0, 1, 2]),
        ("nothing confirms it", "a:1 b:2 c:3", 3, (), "a b c", None),
        ("not what the queue has", "a:1 b:2 c:3", 3, ((3, UPSERT, "c"),), "a c b", None),
        ("b deleted long ago", "a:1 c:3", 3, ((3, UPSERT, "c"),), "a - c", [0, 2]),
        (
            "one deleted since then",
            "a:1 c:3 d:5",
            3,
            ((3, UPSERT, "c"), (4, DELETE, "b"), (5, UPSERT, "d")),
            "a b c",
            None,
        ),
        (
            "the last one deleted since then",
            "a:1 b:2 d:5",
            3,
            ((2, UPSERT, "b"), (3, UPSERT, "c"), (4, DELETE, "c"), (5, UPSERT, "d")),
            "a b c",
            None,
        ),
        (
            "killed when the map was replaced",
            "a:1 c:3 d:5",
            3,
            ((3, UPSERT, "c"), (4, DELETE, "b"), (5, UPSERT, "d")),
            "a - c d",
            [0, 2, 3],
        ),
        ("more elements than drawers", "a:1 b:2", 2, ((2, UPSERT, "b"),), "a b c", None),
    ],
)
def test_a_lost_map_is_rewritten_by_rank_where_all_agrees(
    case: str,
    drawers: str,
    watermark: int,
    queue: tuple[tuple[int, int, str], ...],
    held: str,
    places: list[int] | None,
) -> None:
    coverage = coverage_of(
        record(drawers, watermark, queue), folder(held, with_map=False), live=True
    )
    assert (coverage.elements.tolist() if coverage else None) == places, case
