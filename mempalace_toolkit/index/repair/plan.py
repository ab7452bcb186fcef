"""What repair would do about a palace's findings: graded, counted, printable, without doing it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.chroma.records import CollectionRecord, quick_check, read_records
from mempalace_toolkit.errors import MempalaceError, PalaceBusyError
from mempalace_toolkit.files.exchange import unfinished_exchanges
from mempalace_toolkit.index.check.fingerprint import Fingerprint
from mempalace_toolkit.index.check.moment import at_one_moment
from mempalace_toolkit.index.evidence.findings import Finding, Remedy, strongest
from mempalace_toolkit.index.recovery.mended_database import plan_mending
from mempalace_toolkit.index.recovery.plan import DatabasePlan, plan_database
from mempalace_toolkit.index.repair.plan_values import CollectionPlan, RepairPlan
from mempalace_toolkit.index.repair.replacement import unfinished
from mempalace_toolkit.index.salvage.salvage import salvage
from mempalace_toolkit.index.salvage.salvaged import Origin, Salvage
from mempalace_toolkit.palace.location import PalaceLocation

SCRATCH_PREFIX = ".mempalace-toolkit-rebuild-"
"""How the folders begin in which indexes are built; a killed repair leaves its own behind."""

_SLACK_BYTES = 32 << 20


def plan_repair(
    palace: PalaceLocation, findings: Sequence[Finding], fingerprint: Fingerprint | None = None
) -> RepairPlan:
    """What repair would do about these findings. Reads only; raises as read_records does.

    `fingerprint` is that of the files before they were checked.
    """
    plan = at_one_moment(palace, lambda: _plan(palace, findings)).seen
    return replace(plan, findings=tuple(findings), fingerprint=fingerprint)


def _plan(palace: PalaceLocation, findings: Sequence[Finding]) -> RepairPlan:
    harm = [finding for finding in findings if not finding.harmless]
    refused = [one for one in harm if one.remedy == "refuse"]
    if refused:
        if refused[0].kind == "model_differs":
            told = refused[0].message.rpartition("Set ")
            return RepairPlan("refuse", refusal=told[0].strip(), remedy=f"set {told[2]}")
        why = f"{palace.path}: {refused[0].message}. This version does not touch such a palace"
        return RepairPlan("refuse", refusal=why)
    rolls_back = any(one.remedy == "roll_back" for one in harm)
    leftovers = sum(1 for _ in palace.path.glob(f"{SCRATCH_PREFIX}*"))
    exchanges = len(unfinished_exchanges(palace.path))
    leftovers += len(unfinished(palace.path)) + exchanges
    if exchanges and not palace.database.exists():
        return RepairPlan("sweep", leftovers=leftovers)  # what it is shows when it has its name
    damage = _database_damage(palace, harm)
    if damage:
        return _rebuild_palace(palace, damage, rolls_back, leftovers)
    mends = [one for one in harm if one.in_tables]
    if mends:
        kinds = tuple(dict.fromkeys(one.kind for one in mends))
        database = plan_mending(palace, mends[0].message, kinds)
        free = shutil.disk_usage(palace.path).free
        return RepairPlan("rebuild_palace", (), rolls_back, "", free, leftovers, database)
    harm = [one for one in harm if one.remedy != "roll_back"]
    if not harm:
        grade: Remedy = "roll_back" if rolls_back else "sweep" if leftovers else "nothing"
        return RepairPlan(grade, rolls_back=rolls_back, leftovers=leftovers)
    plans = []
    for record in read_records(palace).collections:
        own = [one for one in harm if one.concerns(record.name, record.vector_segment)]
        if own:
            plans.append(plan_collection(record, salvage_for(palace, record, own), own))
    grade = strongest(one.grade for one in plans)
    free = shutil.disk_usage(palace.path).free
    return RepairPlan(grade, tuple(plans), rolls_back, "", free, leftovers)


def _database_damage(palace: PalaceLocation, harm: Sequence[Finding]) -> str:
    """What is wrong with the database's pages. A check does not read all of a large one's."""
    told = next(
        (one.message for one in harm if one.remedy == "rebuild_palace" and not one.in_tables), ""
    )
    if told or not palace.has_hnsw_index or not palace.database.exists():
        return told
    try:
        return quick_check(palace)
    except PalaceBusyError:
        raise
    except MempalaceError as error:
        return error.message


def _rebuild_palace(
    palace: PalaceLocation, damage: str, rolls_back: bool, leftovers: int
) -> RepairPlan:
    database = plan_database(palace, damage)
    if isinstance(database, DatabasePlan):
        free = shutil.disk_usage(palace.path).free
        return RepairPlan("rebuild_palace", (), rolls_back, "", free, leftovers, database)
    return RepairPlan(
        "refuse",
        refusal=f"{palace.database}: {damage}; {database}. Drawers and texts are in that file "
        "alone: restore it from a backup; the vectors in the index folders stay as they are",
    )


def salvage_for(
    palace: PalaceLocation,
    record: CollectionRecord,
    findings: Iterable[Finding],
    mapped: bool = False,
) -> Salvage:
    """The collection's vectors, trusted as far as its findings allow; see `salvage`."""
    mine = (one for one in findings if one.concerns(record.name, record.vector_segment))
    own = [one for one in mine if one.collection]
    wrong = {drawer: number for one in own for drawer, number in one.drawers.items()}
    map_wrong = any(one.kind == "labels_swapped" and not one.drawers for one in own)
    return salvage(palace.path, record, map_wrong, mapped, wrong)


def plan_collection(
    record: CollectionRecord, found: Salvage, findings: Sequence[Finding]
) -> CollectionPlan:
    """The grade and the figures for one collection."""
    kinds = {finding.kind for finding in findings}
    by_order = len(found.inferable())
    grade = strongest(finding.remedy for finding in findings)
    adds = len(to_add(found)) if grade == "top_up" else 0
    return CollectionPlan(
        collection=record.name,
        segment=record.vector_segment,
        grade=grade,
        drawers=len(record.ids),
        from_queue=found.count(Origin.QUEUE),
        from_live=found.count(Origin.LIVE) + by_order,
        by_order=by_order,
        from_quarantined=found.count(Origin.QUARANTINED),
        to_embed=found.count(Origin.NOWHERE) - by_order,
        adds=adds,
        kinds=tuple(sorted(kinds)),
        bytes_needed=_bytes_needed(found, adds if grade == "top_up" else len(record.ids)),
    )


def to_add(found: Salvage) -> NDArray[np.int64]:
    """The drawers that a top-up writes, by position: those whose vector is not in the index,
    nor on its way there in the queue.

    An index that differs from the queue it has taken in is not topped up, so what both have
    need not be written.
    """
    record = found.record
    watermark = record.vector_watermark if record.vector_watermark is not None else -1
    on_its_way = (found.origin == Origin.QUEUE) & (record.sequences > watermark)
    taken_in = (found.origin == Origin.QUEUE) & found.indexed
    return np.flatnonzero((found.origin != Origin.LIVE) & ~on_its_way & ~taken_in)


def _bytes_needed(found: Salvage, drawers: int) -> int:
    """A scratch database with queue and ids, and an index beside it."""
    return drawers * (3 * 4 * found.dimension + 1000) + _SLACK_BYTES if drawers else 0


def needed_folders(palace: PalaceLocation) -> frozenset[Path]:
    """The quarantined folders that hold the only proven copy of a vector."""
    needed: set[Path] = set()
    for record in read_records(palace).collections:
        needed |= salvage(palace.path, record).holders()
    return frozenset(needed)
