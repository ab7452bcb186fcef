"""What a repair works with, and one collection on its way through it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.index.evidence.folders import segment_path
from mempalace_toolkit.index.repair.plan_values import CollectionPlan
from mempalace_toolkit.index.repair.prove import Proof
from mempalace_toolkit.index.salvage.salvaged import Salvage
from mempalace_toolkit.index.workers.embedding import Embed
from mempalace_toolkit.palace.location import PalaceLocation


@dataclass(frozen=True, slots=True)
class RepairSetting:
    """What a repair works with.

    `stamp` is the moment as YYYYMMDD-HHMMSS, for the names of what is kept. Without `embed`
    nothing is embedded: the sample is not compared, and drawers without a vector make the
    repair fail. `threads` is 0 for all cores that may be used. `before_step` is told each step's
    name, for progress and for tests.
    """

    home: Path
    environment: Mapping[str, str]
    stamp: str
    embed: Embed | None
    sample: int = 16
    threads: int = 0
    before_step: Callable[[str], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Sample:
    """Drawers by position, and their vectors as the model gives them now, a row each."""

    places: list[int]
    vectors: Future[NDArray[np.float32]]


@dataclass(slots=True)
class Work:
    """One collection on its way: what was found, and what the steps have made of it so far."""

    palace: PalaceLocation
    plan: CollectionPlan
    found: Salvage
    setting: RepairSetting
    undo: ExitStack = field(default_factory=ExitStack)
    built: Path | None = None
    fresh: Path | None = None
    kept: Path | None = None
    renamed: list[tuple[Path, Path]] = field(default_factory=list)
    embedded: int = 0
    sampled: int = 0
    compared: int = 0
    unsampled: str = ""
    sample: Sample | None = None
    proof: Proof | None = None

    @property
    def live(self) -> Path:
        """The segment's own folder."""
        return segment_path(self.palace.path, self.plan.segment)


Step = tuple[str, Callable[[Work], None]]
"""A step's name, and what it does; what must be undone it pushes onto the work's `undo`."""
