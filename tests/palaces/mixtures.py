"""Indexes whose five files are of two moments: what a torn copy or a restored backup leaves."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from mempalace_toolkit.chroma.records import read_records
from mempalace_toolkit.chroma.segment.files import FILES, read_segment
from mempalace_toolkit.palace.location import PalaceLocation
from tests.palaces.making import DRAWERS, embed
from tests.palaces.opening import Chroma, Seen
from tests.palaces.segment_editing import segment_folder

# Between the two moments the index is flushed at least once: its threshold is 200 operations.
SCENES: dict[str, list[tuple[str, list[int], int]]] = {
    "updates": [
        ("upsert", [*range(5, 445, 4)], 9),
        ("upsert", [*range(460, 600)], 0),
        ("upsert", [*range(3, 63, 3)], 4),
    ],
    "deletions": [
        ("delete", [*range(10, 450, 9)], 0),
        ("upsert", [*range(10, 120, 18)], 3),
        ("upsert", [*range(460, 640)], 0),
        ("delete", [*range(400, 420, 2)], 0),
        ("upsert", [*range(640, 655)], 0),
    ],
}
MIXTURES = [
    tuple(name for name, old in zip(FILES, chosen, strict=True) if old)
    for chosen in product((False, True), repeat=len(FILES))
    if any(chosen) and not all(chosen)
]
"""The files that are of the older moment: 30 choices, without none and all."""


@dataclass(frozen=True)
class Moments:
    """One palace before and after it was written to, and what clients see of the later one."""

    early: Path
    late: Path
    seen: dict[str, Seen]


def two_moments(folder: Path, made: Callable[[str], Path], chroma: Chroma, scene: str) -> Moments:
    """The two moments of a scene, below the folder."""
    early, late, asked = folder / "early", folder / "late", folder / "asked"
    subprocess.run(["cp", "-a", made("unchurned"), early], check=True)
    subprocess.run(["cp", "-a", early, late], check=True)
    for call, numbers, version in SCENES[scene]:
        more = {"call": call, "numbers": numbers, "version": version, "dimension": 384}
        chroma.answer("upsert", late, collection=DRAWERS, **more)
    subprocess.run(["cp", "-a", late, asked], check=True)
    seen = chroma.ask(asked)
    shutil.rmtree(asked)
    return Moments(early, late, seen)


def mixed(moments: Moments, older: Iterable[str], into: Path) -> PalaceLocation:
    """The later palace, these files of its index being of the earlier moment."""
    subprocess.run(["cp", "-a", moments.late, into], check=True)
    for name in older:
        shutil.copy2(segment_folder(moments.early) / name, segment_folder(into) / name)
    return PalaceLocation(into, "chroma", "minilm")


def overwritten(palace: PalaceLocation, seen: dict[str, Seen], data_of: Path) -> int:
    """How many drawers' present vectors are in neither the queue nor the data file.

    `data_of` is the palace that the data file is from, whose own header counts it.
    """
    elements = read_segment(segment_folder(data_of), 384).elements
    assert elements is not None
    held = np.asarray(elements.vectors)
    record = next(one for one in read_records(palace).collections if one.name == DRAWERS)
    queued = {entry.vector for entry in record.queue}
    vectors = embed([*seen[DRAWERS].texts.values()], 384)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    found = (unit @ held.T).max(axis=1) > 0.9999
    return sum(
        not there and vector.tobytes() not in queued
        for there, vector in zip(found, vectors, strict=True)
    )
