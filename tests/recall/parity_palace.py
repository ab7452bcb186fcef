"""Run as a child: builds a palace of the benchmark corpus with closets, copies and all dates.

PALACE VECTORS.npz. The index searches so widely that it misses no neighbour, so that answers can
be compared word for word. Part of it is on the disk, part of it in the queue.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.recall.corpus import read_corpus
from tests.palaces.building import open_palace

SESSIONS = 9
LONGEST = 250
COPIED = 3
"""So many drawers of the first session are in another file, too."""


@dataclass(frozen=True)
class Written:
    """A drawer or a closet as it is written."""

    id: str
    text: str
    metadata: dict[str, Any]


def drawers() -> list[Written]:
    """A drawer a turn of the first sessions, with what MemPalace keeps of each.

    Each text once: which of two that are equally near is the last of a pool, is left to chance.
    """
    made = list({one.text: one for one in _drawers()}.values())
    copies = [
        Written(f"{one.id}_copy", one.text, {**one.metadata, "source_file": "/backup/old.jsonl"})
        for one in made[:COPIED]
    ]
    return made + copies


def _drawers() -> Iterator[Written]:
    for number, talk in enumerate(read_corpus()[0][:SESSIONS]):
        for place, turn in enumerate(talk.turns):
            day = 1 + (number * 7 + place) % 28
            metadata: dict[str, Any] = {
                "wing": f"wing{number % 4}",
                "room": ("technical", "decisions", "planning")[place % 3],
                "source_file": f"/spool/{number % 4}/{talk.ref.id}.jsonl",
                "chunk_index": place,
                "source_mtime": 1_700_000_000.5 + number,
                "filed_at": f"2026-01-{day:02d}T12:00:00",
            }
            if place % 2:
                metadata["authored_at"] = f"2026-01-{day:02d}T09:30:00+00:00"
            if place % 5 == 4:
                metadata["parent_drawer_id"] = f"parent_{talk.ref.id}"
                metadata["reviewed"] = bool(number % 2)
            yield Written(f"drawer_{talk.ref.id}_{place:03d}", turn.text[:LONGEST], metadata)


def closets() -> list[Written]:
    """A closet for every second session: lines that point to its drawers."""
    made: dict[str, list[Written]] = {}
    for one in drawers():
        made.setdefault(one.metadata["source_file"], []).append(one)
    return [
        Written(
            f"closet_{number}",
            "\n".join(f"{one.text[:60]}|Mara|→{one.id}" for one in some[:6]),
            {"wing": some[0].metadata["wing"], "room": "technical", "source_file": source},
        )
        for number, (source, some) in enumerate(made.items())
        if number % 2 == 0
    ]


def main() -> None:
    """Build."""
    client = open_palace(sys.argv[1])
    vectors = np.load(sys.argv[2])
    for name, written in (("mempalace_drawers", drawers()), ("mempalace_closets", closets())):
        collection = client.create_collection(
            name,
            metadata={
                "hnsw:space": "cosine",
                "hnsw:search_ef": 2000,
                "hnsw:construction_ef": 400,
                "hnsw:num_threads": 1,
                "hnsw:batch_size": 20,
                "hnsw:sync_threshold": 60,
            },
            embedding_function=None,
        )
        for start in range(0, len(written), 25):
            some = written[start : start + 25]
            collection.upsert(
                ids=[one.id for one in some],
                documents=[one.text for one in some],
                metadatas=[one.metadata for one in some],
                embeddings=vectors[name][start : start + 25],
            )
        first = [one.id for one in written[:9:4]]
        collection.delete(ids=first[:1])
        collection.update(ids=first[1:], metadatas=[{"hall": "seen"} for _ in first[1:]])
    Path(sys.argv[1], "built").touch()


if __name__ == "__main__":
    main()
