"""Applies a repair plan: `repair_palace(palace, plan, setting)`, undone as a whole if it fails.

The caller holds the toolkit's palace lock; MemPalace's own is taken here for the whole repair,
because what is written meanwhile would be missing from the rebuilt index.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from mempalace_toolkit.chroma.contents import roll_back_journal
from mempalace_toolkit.chroma.records import CollectionRecord, read_records
from mempalace_toolkit.errors import DamageLeftError, OtherTextsError
from mempalace_toolkit.files.exchange import finish_exchanges
from mempalace_toolkit.files.private import told_as_full, write_undone
from mempalace_toolkit.index.check.check import check_palace
from mempalace_toolkit.index.check.fingerprint import palace_fingerprint
from mempalace_toolkit.index.check.moment import at_one_moment
from mempalace_toolkit.index.evidence.findings import Finding
from mempalace_toolkit.index.recovery.plan import DatabasePlan
from mempalace_toolkit.index.repair.build import remove_scratch
from mempalace_toolkit.index.repair.plan import plan_collection, plan_repair, salvage_for
from mempalace_toolkit.index.repair.plan_values import CollectionPlan, RepairPlan
from mempalace_toolkit.index.repair.prove import prove_collection
from mempalace_toolkit.index.repair.rebuild_database import rebuilt_database
from mempalace_toolkit.index.repair.rebuild_steps import STEPS, THOROUGH_STEPS, put_back
from mempalace_toolkit.index.repair.replacement import finish_replacements
from mempalace_toolkit.index.repair.result import CollectionResult, RepairResult
from mempalace_toolkit.index.repair.top_up import TOP_UP_STEPS
from mempalace_toolkit.index.repair.work import RepairSetting, Step, Work
from mempalace_toolkit.index.workers.prefork import warm_children
from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.palace.mempalace_lock import hold_mempalace_lock
from mempalace_toolkit.palace.open_elsewhere import clients_of, sees_all_processes


def repair_palace(palace: PalaceLocation, plan: RepairPlan, setting: RepairSetting) -> RepairResult:
    """Do what the plan says; collections are repaired one after another, each in full.

    The findings are looked up again once the palace is held, so a plan that is out of date
    does no harm: it says that the person agreed, and what is found now is repaired; a plan with
    the fingerprint of the very same files spares that look. Raises
    DamageLeftError where the palace cannot be repaired here or the result was not sound and
    was undone, WriteUndoneError on a full disk, PalaceBusyError, ModelError, MempalaceError.
    """
    started = time.monotonic()
    if plan.grade == "nothing":
        return RepairResult(plan, (), check_palace(palace), time.monotonic() - started)
    children = plan.collections or plan.database
    with ExitStack() as stack:
        held = stack.enter_context(hold_mempalace_lock(palace.path, setting.home))
        if children:
            stack.enter_context(warm_children(setting.environment, held))
        setting.before_step("sweep")
        _sweep(palace)
        if plan.rolls_back:
            setting.before_step("roll_back")
            roll_back_journal(palace)
        current = _current(palace, plan)
        if current.grade == "refuse":
            raise DamageLeftError(current.refusal, current.remedy)
        if current.database is not None:
            result = _repair_with_database(palace, current, current.database, setting)
        else:
            results = _repair_collections(palace, current, current.findings, setting)
            result = RepairResult(current, results, check_palace(palace))
    replaced = [Path(one.kept) for one in result.collections if one.kept]
    return replace(
        result,
        restart=clients_of(replaced),
        unseen=not sees_all_processes(),
        seconds=time.monotonic() - started,
    )


def _current(palace: PalaceLocation, plan: RepairPlan) -> RepairPlan:
    """The plan for what the palace is now: the same where no file has changed since."""
    if plan.fingerprint is not None and plan.fingerprint == palace_fingerprint(palace.path):
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
        _repair_collection(palace, one, findings, setting, outer) for one in plan.collections
    )


def _known_only_to(plan: RepairPlan) -> list[Finding]:
    """The findings of the plan that a check without the model cannot see again."""
    return [one for one in plan.findings if one.kind in ("labels_swapped", "vectors_outdated")]


def _sweep(palace: PalaceLocation) -> None:
    try:
        remove_scratch(palace.path)
        finish_exchanges(palace.path)
        finish_replacements(palace)
    except OSError as error:
        raise write_undone(palace.path, error) from error


def _repair_collection(
    palace: PalaceLocation,
    plan: CollectionPlan,
    findings: Sequence[Finding],
    setting: RepairSetting,
    outer: ExitStack | None,
) -> CollectionResult:
    started = time.monotonic()
    name, segment = plan.collection, plan.segment
    own = [one for one in findings if not one.harmless and one.concerns(name, segment)]
    work = at_one_moment(palace, lambda: _work(palace, segment, own, setting)).seen
    topping_up = work.plan.grade == "top_up"
    try:
        run_steps(work, TOP_UP_STEPS if topping_up else STEPS)
    except OtherTextsError:
        work = at_one_moment(palace, lambda: _work(palace, segment, own, setting)).seen
        run_steps(work, THOROUGH_STEPS)
    if outer is not None:
        outer.callback(put_back, work)
    setting.before_step("prove")
    proof = work.proof or prove_collection(palace, work.found, setting.environment, name)
    return CollectionResult(
        plan=work.plan,
        embedded=work.embedded,
        sampled=work.sampled + work.compared,
        unsampled=work.unsampled,
        kept=str(work.kept or ""),
        proof=proof,
        seconds=round(time.monotonic() - started, 3),
    )


def _record(palace: PalaceLocation, segment: str) -> CollectionRecord:
    return next(one for one in read_records(palace).collections if one.vector_segment == segment)


def _work(
    palace: PalaceLocation, segment: str, findings: Sequence[Finding], setting: RepairSetting
) -> Work:
    record = _record(palace, segment)
    found = salvage_for(palace, record, findings, mapped=True)
    return Work(palace, plan_collection(record, found, findings), found, setting)


def run_steps(work: Work, steps: Sequence[Step]) -> None:
    """Run the steps in order; whatever stops them, what was done is undone, last first."""
    with work.undo:
        try:
            with told_as_full(work.palace.path):
                for name, step in steps:
                    work.setting.before_step(name)
                    step(work)
        except OSError as error:
            raise write_undone(Path(error.filename or work.palace.path), error) from error
