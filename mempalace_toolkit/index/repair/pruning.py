"""Removes old indexes that a repair replaced, beyond a disk budget and on proof alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mempalace_toolkit.chroma.records import read_records
from mempalace_toolkit.files.private import write_undone
from mempalace_toolkit.index.quarantine.folders import Quarantined, list_quarantined
from mempalace_toolkit.index.repair.plan import needed_folders
from mempalace_toolkit.palace.location import PalaceLocation

_GOING_PREFIX = ".mempalace-toolkit-pruned-"


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """Which folders go, oldest first, and which stay; of those `needed` ones may not go.

    Where everything fits the budget, nothing is proved and `needed` is empty.
    """

    remove: tuple[Quarantined, ...] = ()
    kept: tuple[Quarantined, ...] = ()
    needed: tuple[Quarantined, ...] = ()


def plan_pruning(palace: PalaceLocation, budget_bytes: int) -> PrunePlan:
    """What a person may have removed: every folder that is not the only copy of a vector.

    Reads only; raises as read_records does. Only for a palace whose index is sound.
    """
    found = list_quarantined(palace.path)
    if _within(found, budget_bytes):
        return PrunePlan(kept=found)
    return plan_prune(found, _only_copies(palace, found), budget_bytes)


def plan_unattended_pruning(palace: PalaceLocation, budget_bytes: int, before: str) -> PrunePlan:
    """What a run may remove: of those, the ones that a repair replaced before this moment.

    `before` is YYYYMMDD-HHMMSS in local time, as in the folders' names.
    """
    found = list_quarantined(palace.path)
    ours = [one for one in found if one.kinds is not None and one.stamp < before]
    if _within(found, budget_bytes) or not ours:
        return PrunePlan(kept=found)
    others = frozenset(one.folder for one in found if one not in ours)
    return plan_prune(found, _only_copies(palace, found) | others, budget_bytes)


def plan_prune(
    quarantined: Iterable[Quarantined], needed: frozenset[Path], budget_bytes: int
) -> PrunePlan:
    """Which folders to remove, oldest first, until the rest fits the budget.

    The `needed` folders stay. They count all the same.
    """
    folders = sorted(quarantined, key=lambda one: (one.stamp, one.folder.name))
    taken = sum(one.size for one in folders)
    remove, kept = [], []
    for one in folders:
        if taken > budget_bytes and one.folder not in needed:
            remove.append(one)
            taken -= one.size
        else:
            kept.append(one)
    return PrunePlan(tuple(remove), tuple(kept), tuple(one for one in kept if one.folder in needed))


def prune(palace: Path, plan: PrunePlan) -> tuple[Quarantined, ...]:
    """Remove what the plan says; what was removed. The caller holds the palace.

    A folder first loses its name in one step: a prune that is killed leaves it whole, or as a
    hidden rest that the next one removes. Raises WriteUndoneError.
    """
    try:
        for rest in palace.glob(f"{_GOING_PREFIX}*"):
            shutil.rmtree(rest)
        for one in plan.remove:
            going = palace / f"{_GOING_PREFIX}{one.folder.name}"
            one.folder.rename(going)
            shutil.rmtree(going)
    except OSError as error:
        raise write_undone(Path(error.filename or palace), error) from error
    return plan.remove


def holders_of_only_copies(palace: PalaceLocation) -> frozenset[Path]:
    """The quarantined folders that must stay. Reads only; raises as read_records does."""
    return _only_copies(palace, list_quarantined(palace.path))


def _within(found: Iterable[Quarantined], budget_bytes: int) -> bool:
    return sum(one.size for one in found) <= budget_bytes


def _only_copies(palace: PalaceLocation, found: Iterable[Quarantined]) -> frozenset[Path]:
    """The folders that hold the only proven copy of a vector, or of which nothing is proven.

    Where no collection has the segment, or there is no chromadb database, nobody knows what
    the folder's vectors belong to.
    """
    known: set[str] = set()
    needed: frozenset[Path] = frozenset()
    if palace.has_hnsw_index and palace.database.is_file():
        known = {record.vector_segment for record in read_records(palace).collections}
        needed = needed_folders(palace)
    return needed | {one.folder for one in found if one.segment not in known}
