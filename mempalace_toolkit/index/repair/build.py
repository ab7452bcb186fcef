"""Builds a collection's index beside the palace's and verifies it, and touches nothing else.

The scratch palace holds ids and vectors only, in the order of the drawers' row ids, so that
label order stays row order; its one segment is what is wanted.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from mempalace_toolkit.chroma.segment.files import read_segment
from mempalace_toolkit.errors import MempalaceError, WriteUndoneError
from mempalace_toolkit.files.sizes import in_bytes
from mempalace_toolkit.index.graph.parallel import can_build, cores
from mempalace_toolkit.index.repair.plan import SCRATCH_PREFIX
from mempalace_toolkit.index.salvage.salvaged import Salvage
from mempalace_toolkit.index.workers.run import ChildTask, run_child
from mempalace_toolkit.palace.location import PalaceLocation

# Every call of chromadb's costs the more the larger the queue is: 100,000 drawers took 70 s in
# blocks of 1,000 and 47 s in these. It takes 5,461 at once.
_BLOCK = 5000
_MINUTE = 60.0
_DRAWER_SECONDS = 0.05


def scratch_folder(palace: Path, collection: str) -> Path:
    """Where a collection's index is built: on the palace's filesystem, hidden from MemPalace."""
    return palace / f"{SCRATCH_PREFIX}{collection}"


def remove_scratch(palace: Path) -> None:
    """Remove what killed repairs left half-built. Nothing else is ever in there."""
    for folder in palace.glob(f"{SCRATCH_PREFIX}*"):
        shutil.rmtree(folder)


def require_room(palace: Path, needed: int) -> None:
    """Raise WriteUndoneError unless the palace's disk has so many bytes free."""
    free = shutil.disk_usage(palace).free
    if free < needed:
        raise WriteUndoneError(
            f"{palace}: repair needs {in_bytes(needed)} of disk, {in_bytes(free)} are free",
            "free some space, then run again: nothing was changed",
        )


def build_index(
    palace: PalaceLocation,
    found: Salvage,
    environment: Mapping[str, str],
    threads: int,
    breadth: int = 1,
) -> Path:
    """Build the index of all drawers in a child; the new segment's folder, in the scratch.

    Links are looked for `breadth` times as widely as the collection says. Where faiss fails,
    chromadb builds it. Raises MempalaceError where the child fails, dies, or built something
    else.
    """
    folder = scratch_folder(palace.path, found.record.id)
    if can_build(found.record.settings.max_neighbors):
        try:
            return _build(folder, found, environment, threads, breadth, parallel=True)
        except MempalaceError:
            shutil.rmtree(folder, ignore_errors=True)
    return _build(folder, found, environment, threads, breadth, parallel=False)


def _build(
    folder: Path,
    found: Salvage,
    environment: Mapping[str, str],
    threads: int,
    breadth: int,
    parallel: bool,
) -> Path:
    record = found.record
    folder.mkdir()
    task = {
        "folder": str(folder),
        "total": len(record.ids),
        "dimension": found.dimension,
        "space": record.space,
        "m": record.settings.max_neighbors,
        "ef_construction": breadth * record.settings.ef_construction,
        "threads": threads or cores(),
        "parallel": parallel,
    }
    seconds = 5 * _MINUTE + _DRAWER_SECONDS * len(record.ids)
    largest = 64 * found.dimension * len(record.ids) + (1 << 30)
    answer = run_child(
        ChildTask("child_rebuild", task, environment, seconds, largest), stream(found)
    )
    built = folder / str(answer["segment"])
    verify_built(built, found)
    return built


def stream(found: Salvage, positions: np.ndarray | None = None) -> Iterator[bytes]:
    """Ids and vectors as the children read them: a JSON list a block, then raw f32.

    Raises MempalaceError for a vector that is not there.
    """
    every = np.arange(len(found.record.ids)) if positions is None else positions
    for start in range(0, len(every), _BLOCK):
        block = every[start : start + _BLOCK]
        vectors = found.vectors(block)
        if not np.all(np.isfinite(vectors)):
            raise MempalaceError(
                f"vectors of {found.record.name} changed while they were read", "run again"
            )
        yield json.dumps([found.record.ids[place] for place in block.tolist()]).encode() + b"\n"
        yield np.ascontiguousarray(vectors, "<f4").tobytes()


def verify_built(built: Path, found: Salvage) -> None:
    """Raise MempalaceError unless the folder holds exactly the drawers and their vectors."""
    files = read_segment(built, found.dimension)
    ids = found.record.ids
    wrong = "; ".join(problem.message for problem in files.problems)
    if not wrong and (files.id_map is None or files.elements is None):
        wrong = "it was not flushed"
    if not wrong and files.id_map is not None and files.elements is not None:
        labels = files.id_map.labels
        if len(labels) != len(ids) or any(drawer not in labels for drawer in ids):
            wrong = f"it holds {len(labels)} of {len(ids)} drawers"
        elif not _all_finite(files.elements.vectors):
            wrong = "it holds vectors that are not finite"
    if wrong:
        raise MempalaceError(
            f"the index rebuilt for {found.record.name} is not whole: {wrong}",
            "run again; the old index is in place",
        )


def _all_finite(vectors: np.ndarray) -> bool:
    parts = (vectors[start : start + _BLOCK] for start in range(0, len(vectors), _BLOCK))
    return all(bool(np.isfinite(part).all()) for part in parts)
