"""Adds the vectors that an index lacks, where few are missing and nothing else is wrong."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.index.repair.build import stream
from mempalace_toolkit.index.repair.plan import to_add
from mempalace_toolkit.index.repair.prove import known_drawers, proof_of
from mempalace_toolkit.index.repair.rebuild_steps import find_room
from mempalace_toolkit.index.repair.reembedding import (
    EMBED_BATCH,
    begin_sample,
    compare_sample,
    embed_drawers,
)
from mempalace_toolkit.index.repair.work import Step, Work
from mempalace_toolkit.index.workers.run import ChildTask, run_child

_START_SECONDS = 300.0
_DRAWER_SECONDS = 2.0


def add_missing(work: Work) -> None:
    """Write the vectors that the index lacks, through chromadb in a child, and prove the result.

    It writes those that are known while the next ones are embedded. Nothing is to be undone:
    each write is whole by itself, and doing it again is harmless.
    """
    positions, known = to_add(work.found), known_drawers(work.found)
    task = {
        "folder": str(work.palace.path),
        "collection": work.plan.collection,
        "tenant": work.found.record.tenant,
        "database": work.found.record.database,
        "dimension": work.found.dimension,
        "space": work.found.record.space,
    }
    seconds = _START_SECONDS + _DRAWER_SECONDS * len(positions)
    largest = 64 * work.found.dimension * len(work.found.record.ids) + (4 << 30)
    said = run_child(
        ChildTask("child_upsert", task, work.setting.environment, seconds, largest),
        _blocks(work, positions, known),
    )
    if len(known):
        work.proof = proof_of(work.found, len(known), said)


def _blocks(work: Work, positions: NDArray[np.int64], known: NDArray[np.int64]) -> Iterator[bytes]:
    """These drawers for the child, those without a vector embedded a batch at a time; then the
    known ones, which it is to ask for."""
    for start in range(0, len(positions), EMBED_BATCH):
        batch = positions[start : start + EMBED_BATCH]
        embed_drawers(work, np.intersect1d(batch, work.found.missing()))
        yield from stream(work.found, batch)
    yield b"[]\n"
    yield from stream(work.found, known)


TOP_UP_STEPS: tuple[Step, ...] = (
    ("room", find_room),
    ("sample", begin_sample),
    ("compare", compare_sample),
    ("add", add_missing),
)
