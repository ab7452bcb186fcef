"""Applies a repair plan: `repair_palace(palace, plan, setting)`, undone as a whole if it fails.

The caller holds the toolkit's palace lock; MemPalace's own is taken here for the whole repair,
because what is written meanwhile would be missing from the rebuilt index.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mempalace_toolkit.errors import DamageLeftError
from mempalace_toolkit.files import write_undone
from mempalace_toolkit.palace.check import check_palace
from mempalace_toolkit.palace.database_plan import DatabasePlan
from mempalace_toolkit.palace.drawers import roll_back_journal
from mempalace_toolkit.palace.findings import KINDS, Finding
from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.palace.mempalace_lock import hold_mempalace_lock
from mempalace_toolkit.palace.plan import (
    CollectionPlan,
    RepairPlan,
    plan_collection,
    plan_repair,
    salvage_for,
    to_add,
)
from mempalace_toolkit.palace.prove import Proof, prove_collection
from mempalace_toolkit.palace.rebuild import remove_scratch, stream
from mempalace_toolkit.palace.rebuild_palace import rebuilt_database
from mempalace_toolkit.palace.rebuild_steps import STEPS, find_room, put_back
from mempalace_toolkit.palace.records import CollectionRecord, read_records
from mempalace_toolkit.palace.reembedding import (
    EMBED_BATCH,
    begin_sample,
    compare_sample,
    embed_drawers,
)
from mempalace_toolkit.palace.repair_work import RepairSetting, Step, Work
from mempalace_toolkit.palace.spawn import ChildTask, run_child
from mempalace_toolkit.palace.stamp import palace_stamp
from mempalace_toolkit.palace.warm import warm_children

__all__ = ["RepairResult", "RepairSetting", "repair_palace"]

_START_SECONDS = 300.0
_DRAWER_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class CollectionResult:
    """What was done for a collection, and what a client saw of it afterwards.

    `sampled` drawers were embedded again only to compare; `unsampled` says why, where none.
    `kept` is the old index's folder, empty where there was none.
    """

    plan: CollectionPlan
    embedded: int
    sampled: int
    unsampled: str
    kept: str
    proof: Proof
    seconds: float


@dataclass(frozen=True, slots=True)
class RepairResult:
    """What was done for the palace, and what a check finds now.

    `kept` is the damaged database's new name, where it was replaced.
    """

    plan: RepairPlan
    collections: tuple[CollectionResult, ...]
    findings: tuple[Finding, ...]
    seconds: float = 0.0
    kept: str = ""

    @property
    def sound(self) -> bool:
        """Whether no damage is left and every repaired collection answered."""
        proven = all(one.proof.holds for one in self.collections)
        return proven and all(finding.harmless for finding in self.findings)

    def as_json(self) -> dict[str, object]:
        """The object under `repair`."""
        return {
            "plan": self.plan.as_json(),
            "collections": [{**asdict(one), "proven": one.proof.holds} for one in self.collections],
            "findings": [finding.as_json() for finding in self.findings],
            "kept": self.kept,
            "sound": self.sound,
            "seconds": round(self.seconds, 3),
        }


def repair_palace(palace: PalaceLocation, plan: RepairPlan, setting: RepairSetting) -> RepairResult:
    """Do what the plan says; collections are repaired one after another, each in full.

    The findings are looked up again once the palace is held, so a plan that is out of date
    does no harm: it says that the person agreed, and what is found now is repaired; a plan with
    the stamp of the very same files spares that look. Raises
    DamageLeftError where the palace cannot be repaired here or the result was not sound and
    was undone, WriteUndoneError on a full disk, PalaceBusyError, ModelError, MempalaceError.
    """
    started = time.monotonic()
    if plan.grade == "nothing":
        return RepairResult(plan, (), check_palace(palace), time.monotonic() - started)
    children = plan.collections or plan.database
    warm = warm_children(setting.environment) if children else nullcontext()
    with hold_mempalace_lock(palace.path, setting.home), warm:
        setting.before_step("sweep")
        _sweep(palace)
        if plan.rolls_back:
            setting.before_step("roll_back")
            roll_back_journal(palace)
        current = _current(palace, plan)
        if current.grade == "refuse":
            raise DamageLeftError(current.refusal, "restore the palace from a backup")
        if current.database is not None:
            result = _repair_with_database(palace, current, current.database, setting)
        else:
            results = _repair_collections(palace, current, current.findings, setting)
            result = RepairResult(current, results, check_palace(palace))
    return replace(result, seconds=time.monotonic() - started)


def _current(palace: PalaceLocation, plan: RepairPlan) -> RepairPlan:
    """The plan for what the palace is now: the same where no file has changed since."""
    if plan.stamp is not None and plan.stamp == palace_stamp(palace.path):
        return plan
    findings = (*check_palace(palace), *_known_only_to(plan))
    now = plan_repair(palace, findings)
    return replace(now, rolls_back=plan.rolls_back, leftovers=plan.leftovers)


def _repair_with_database(
    palace: PalaceLocation, plan: RepairPlan, database: DatabasePlan, setting: RepairSetting
) -> RepairResult:
    """First the database, then the indexes that it shows to be damaged; all of it or nothing."""
    with rebuilt_database(palace, database, setting) as rebuilt:
        findings = check_palace(palace)
        needed = plan_repair(palace, findings)
        if needed.grade in ("refuse", "rebuild_palace"):
            raise DamageLeftError(
                f"the recovered database is damaged: {needed.steps()[0]}: undone",
                "restore the palace from a backup",
            )
        results = _repair_collections(palace, needed, findings, setting, rebuilt.undo)
        done = replace(plan, collections=needed.collections)
        result = RepairResult(done, results, check_palace(palace), kept=str(rebuilt.kept))
        if not result.sound:
            left = next((one.message for one in result.findings if not one.harmless), "")
            raise DamageLeftError(
                f"the palace is not sound with its recovered database ({left}): undone",
                "restore the palace from a backup",
            )
    return result


def _repair_collections(
    palace: PalaceLocation,
    plan: RepairPlan,
    findings: Sequence[Finding],
    setting: RepairSetting,
    outer: ExitStack | None = None,
) -> tuple[CollectionResult, ...]:
    return tuple(
        _repair_collection(palace, one.collection, findings, setting, outer)
        for one in plan.collections
    )


def _known_only_to(plan: RepairPlan) -> list[Finding]:
    """The findings of the plan that a check without the model cannot see again."""
    return [
        Finding("labels_swapped", KINDS["labels_swapped"].meaning, one.collection, one.segment)
        for one in plan.collections
        if "labels_swapped" in one.kinds
    ]


def _sweep(palace: PalaceLocation) -> None:
    try:
        remove_scratch(palace.path)
    except OSError as error:
        raise write_undone(palace.path, error) from error


def _repair_collection(
    palace: PalaceLocation,
    name: str,
    findings: Sequence[Finding],
    setting: RepairSetting,
    outer: ExitStack | None,
) -> CollectionResult:
    started = time.monotonic()
    record = _record(palace, name)
    own = [one for one in findings if not one.harmless and one.collection in ("", name)]
    work = _work(palace, record, own, setting)
    topping_up = work.plan.grade == "top_up"
    run_steps(work, TOP_UP_STEPS if topping_up else STEPS)
    if outer is not None:
        outer.callback(put_back, work)
    setting.before_step("prove")
    proof = prove_collection(palace, work.found, setting.environment, name)
    return CollectionResult(
        plan=work.plan,
        embedded=work.embedded,
        sampled=work.sampled + work.compared,
        unsampled=work.unsampled,
        kept=str(work.kept or ""),
        proof=proof,
        seconds=round(time.monotonic() - started, 3),
    )


def _record(palace: PalaceLocation, name: str) -> CollectionRecord:
    return next(one for one in read_records(palace).collections if one.name == name)


def _work(
    palace: PalaceLocation,
    record: CollectionRecord,
    findings: Sequence[Finding],
    setting: RepairSetting,
) -> Work:
    found = salvage_for(palace, record, findings, mapped=True)
    return Work(palace, plan_collection(record, found, findings), found, setting)


def run_steps(work: Work, steps: Sequence[Step]) -> None:
    """Run the steps in order; whatever stops them, what was done is undone, last first."""
    with work.undo:
        try:
            for name, step in steps:
                work.setting.before_step(name)
                step(work)
        except OSError as error:
            raise write_undone(Path(error.filename or work.palace.path), error) from error


def add_missing(work: Work) -> None:
    """Write the vectors that the index lacks, through chromadb in a child.

    It writes those that are known while the next ones are embedded. Nothing is to be undone:
    each write is whole by itself, and doing it again is harmless.
    """
    positions = to_add(work.found)
    task = {
        "folder": str(work.palace.path),
        "collection": work.plan.collection,
        "dimension": work.found.dimension,
    }
    seconds = _START_SECONDS + _DRAWER_SECONDS * len(positions)
    largest = 64 * work.found.dimension * len(work.found.record.ids) + (4 << 30)
    run_child(
        ChildTask("child_upsert", task, work.setting.environment, seconds, largest),
        _embedded(work, positions),
    )


def _embedded(work: Work, positions: NDArray[np.int64]) -> Iterator[bytes]:
    """These drawers for the child, those without a vector embedded a batch at a time."""
    for start in range(0, len(positions), EMBED_BATCH):
        batch = positions[start : start + EMBED_BATCH]
        embed_drawers(work, np.intersect1d(batch, work.found.missing()))
        yield from stream(work.found, batch)


TOP_UP_STEPS: tuple[Step, ...] = (
    ("room", find_room),
    ("sample", begin_sample),
    ("compare", compare_sample),
    ("add", add_missing),
)
