"""What a test palace holds: operations as MemPalace does them, and what is true after them.

A palace is a pure function of its `Shape`. Vectors come from `embed`, a model of a sentence's
digest alone, so that text and vector can be compared without the real model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

DRAWERS = "mempalace_drawers"
CLOSETS = "mempalace_closets"
_BATCH = 100
_LATENT = 24


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a palace is and how it was used.

    `sizes` is drawers ever written, a collection; `threshold` is `hnsw:sync_threshold`.
    `churned` palaces had deletes, re-adds, replacements and metadata-only updates; with
    `tail_deletes` some deletes are still in the queue; `emptied` ones had all deleted again.
    `share` is how much of the history has happened.
    """

    sizes: Mapping[str, int] = field(default_factory=lambda: {DRAWERS: 460, CLOSETS: 270})
    dimension: int = 384
    space: str = "cosine"
    threshold: int = 200
    churned: bool = True
    tail_deletes: bool = True
    emptied: bool = False
    share: float = 1.0
    batch: int = 20


SHAPES: Mapping[str, Shape] = {
    "usual": Shape(),
    "usual_earlier": Shape(share=0.65),
    "killed": Shape({DRAWERS: 700, CLOSETS: 90}, threshold=20),
    "fuzzed": Shape({DRAWERS: 60, CLOSETS: 25}, dimension=8, threshold=20, batch=10),
    "older": Shape({DRAWERS: 90, CLOSETS: 45}, dimension=16, threshold=20, batch=10),
    "no_tail_deletes": Shape(tail_deletes=False),
    "mempalace_sized": Shape({DRAWERS: 2340, CLOSETS: 1150}, threshold=1000, batch=_BATCH),
    "never_flushed": Shape({DRAWERS: 150, CLOSETS: 40}),
    "one_flushed": Shape({DRAWERS: 460, CLOSETS: 30}),
    "tiny": Shape({DRAWERS: 3, CLOSETS: 1}, churned=False),
    "empty": Shape({DRAWERS: 0, CLOSETS: 0}),
    "drawers_only": Shape({DRAWERS: 460}),
    "three_collections": Shape({DRAWERS: 300, CLOSETS: 260, "notes": 420}),
    "eight_dimensions": Shape(dimension=8),
    "l2": Shape(space="l2", dimension=32),
    "ip": Shape(space="ip", dimension=32),
    "unchurned": Shape(churned=False),
    "all_deleted": Shape({DRAWERS: 300, CLOSETS: 0}, churned=False, emptied=True),
}


@dataclass(frozen=True, slots=True)
class Drawer:
    """A drawer as written: its id, its text and its metadata. `embed` gives its vector."""

    id: str
    text: str
    metadata: Mapping[str, str | int | float]


@dataclass(frozen=True, slots=True)
class Operation:
    """A call on a collection: `upsert` and `describe` (metadata only) of drawers, or `delete`."""

    collection: str
    call: str
    drawers: tuple[Drawer, ...]


def embed(texts: list[str], dimension: int) -> NDArray[np.float32]:
    """A vector a text, near a plane of few dimensions so that it has neighbours; 0.5 to 2 long."""
    basis = _basis(dimension)
    rows = [_latent(text, basis.shape[0], dimension) for text in texts]
    if not rows:
        return np.zeros((0, dimension), np.float32)
    latent, noise, length = (np.stack(part) for part in zip(*rows, strict=True))
    rows_near_plane: NDArray[np.float64] = latent @ basis + 0.05 * noise
    norms = np.linalg.norm(rows_near_plane, axis=1, keepdims=True)
    scaled: NDArray[np.float64] = rows_near_plane / norms * length
    return scaled.astype(np.float32)


@lru_cache(maxsize=8)
def _basis(dimension: int) -> NDArray[np.float64]:
    return np.random.default_rng(3).standard_normal((min(_LATENT, dimension), dimension))


def _latent(text: str, latent: int, dimension: int) -> tuple[NDArray[np.float64], ...]:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
    random = np.random.default_rng(seed)
    return (
        random.standard_normal(latent),
        random.standard_normal(dimension),
        random.uniform(0.5, 2.0, 1),
    )


def drawer(collection: str, number: int, version: int = 0) -> Drawer:
    """A drawer of a page of eight; a higher version is the same drawer with another text."""
    wing, room = f"wing{number % 5}", ("technical", "decisions", "planning")[number % 3]
    page = f"/spool/{wing}/session{number // 8}.jsonl"
    digest = hashlib.sha256(f"{collection}|{page}|{number % 8}".encode()).hexdigest()[:24]
    return Drawer(
        f"drawer_{wing}_{room}_{digest}",
        f"> Why did build {number} of {wing} fail?\nBecause of {room}; take {version}.",
        {
            "wing": wing,
            "room": room,
            "source_file": page,
            "chunk_index": number % 8,
            "chunk_total": 8,
            "source_mtime": 1_700_000_000.25 + number // 8,
            "ingest_mode": "convos",
            "filed_at": f"2025-06-01T12:00:{version % 60:02d}",
        },
    )


def operations(shape: Shape) -> list[Operation]:
    """All that was ever done to the palace, collections by turns as a mine does it."""
    history = list(_by_turns(shape))
    return history[: int(len(history) * shape.share)]


def _by_turns(shape: Shape) -> Iterator[Operation]:
    pending = [_collection_operations(shape, name, size) for name, size in shape.sizes.items()]
    while pending:
        for one in list(pending):
            operation = next(one, None)
            if operation is None:
                pending.remove(one)
            else:
                yield operation


def _collection_operations(shape: Shape, name: str, size: int) -> Iterator[Operation]:
    half = size // 2
    yield from _upserts(shape, name, range(half))
    if shape.churned and size >= 20:
        gone = range(0, half, 7)
        yield from _in_batches(shape, name, "delete", [drawer(name, n) for n in gone])
        yield from _in_batches(shape, name, "upsert", [drawer(name, n, 1) for n in gone[::2]])
        changed = range(1, half, 11)
        yield from _in_batches(shape, name, "upsert", [drawer(name, n, 2) for n in changed])
        seen = [_seen(drawer(name, n)) for n in range(half + 1) if n % 7 and n % 11 == 3]
        yield from _in_batches(shape, name, "describe", seen[:5])
    yield from _upserts(shape, name, range(half, size))
    if shape.churned and size >= 20:
        yield from _tail(shape, name, size)
    if shape.emptied:
        yield from _in_batches(shape, name, "delete", [drawer(name, n) for n in range(size)])


def _tail(shape: Shape, name: str, size: int) -> Iterator[Operation]:
    half = size // 2
    if shape.tail_deletes:
        yield Operation(name, "delete", (drawer(name, half + 1), drawer(name, size - 1)))
        yield Operation(name, "upsert", (drawer(name, half + 1, 5),))
    yield Operation(name, "upsert", (drawer(name, half + 3, 6), drawer(name, half + 4, 6)))
    yield Operation(name, "describe", (_seen(drawer(name, half + 5)),))


def _seen(one: Drawer) -> Drawer:
    return replace(one, metadata={**one.metadata, "hall": "seen"})


def _upserts(shape: Shape, name: str, numbers: range) -> Iterator[Operation]:
    yield from _in_batches(shape, name, "upsert", [drawer(name, n) for n in numbers])


def _in_batches(shape: Shape, name: str, call: str, drawers: list[Drawer]) -> Iterator[Operation]:
    for start in range(0, len(drawers), shape.batch):
        yield Operation(name, call, tuple(drawers[start : start + shape.batch]))


def truth(shape: Shape) -> dict[str, dict[str, Drawer]]:
    """Every live drawer after all operations, by collection and id."""
    state: dict[str, dict[str, Drawer]] = {name: {} for name in shape.sizes}
    for operation in operations(shape):
        follow(state[operation.collection], operation)
    return state


def follow(drawers: dict[str, Drawer], operation: Operation) -> None:
    """Do to a dict what the operation does to a collection."""
    for one in operation.drawers:
        if operation.call == "delete":
            drawers.pop(one.id, None)
        elif operation.call == "upsert":
            drawers[one.id] = one
        else:
            drawers[one.id] = replace(drawers[one.id], metadata=one.metadata)


def writing(seed: int, start: int) -> Iterator[Operation]:
    """An endless, seeded run of upserts, replacements, re-adds and deletes."""
    random = np.random.default_rng(seed)
    number = start
    while True:
        name = (DRAWERS, CLOSETS)[int(random.random() < 0.3)]
        new = range(number, number + int(random.integers(1, 12)))
        number = new.stop
        yield Operation(name, "upsert", _versions(name, new, 0))
        old = sorted(set(random.integers(0, number, 6).tolist()))
        call = "delete" if random.random() < 0.4 else "upsert"
        yield Operation(name, call, _versions(name, old, int(random.integers(1, 50))))


def _versions(name: str, numbers: Iterable[int], version: int) -> tuple[Drawer, ...]:
    return tuple(drawer(name, int(n), version) for n in numbers)
