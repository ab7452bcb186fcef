"""What a person asks of a palace's index, outside of a run: repair, restore, prune."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mempalace_toolkit.errors import DamageLeftError
from mempalace_toolkit.index.check.report import IndexReport, check_index, index_report
from mempalace_toolkit.index.quarantine.folders import Quarantined
from mempalace_toolkit.index.repair.apply import repair_palace
from mempalace_toolkit.index.repair.plan_values import RepairPlan
from mempalace_toolkit.index.repair.pruning import PrunePlan, plan_pruning, prune
from mempalace_toolkit.index.repair.restoring import restore_index
from mempalace_toolkit.index.repair.result import RepairResult
from mempalace_toolkit.palace.mempalace_lock import hold_mempalace_lock
from mempalace_toolkit.palace.toolkit_lock import palace_lock
from mempalace_toolkit.pipeline.index_health import note_kept, repair_setting
from mempalace_toolkit.pipeline.kept_embedding import forget_embedded
from mempalace_toolkit.pipeline.request import PalaceRequest
from mempalace_toolkit.report.values import Observer


def repair_now(
    request: PalaceRequest, observer: Observer, plan: RepairPlan
) -> tuple[RepairResult, IndexReport]:
    """Hold the palace and do what was planned; the result, and the index as it is now.

    Raises what repair_palace raises; the palace is then as it was.
    """
    palace = request.palace
    with palace_lock(palace.path, request.home, request.wait, request.command):
        result = repair_palace(palace, plan, repair_setting(request, observer, keep=True))
        note_kept(result)
        if result.sound:
            forget_embedded(request)
        return result, index_report(result.findings)


def restore_now(request: PalaceRequest, name: str) -> Path:
    """Hold the palace and give back a quarantined index; see `restore_index`."""
    palace = request.palace
    with (
        palace_lock(palace.path, request.home, request.wait, request.command),
        hold_mempalace_lock(palace.path, request.home),
    ):
        return restore_index(palace, name)


def prune_now(request: PalaceRequest, agreed: Sequence[Quarantined] | None = None) -> PrunePlan:
    """Hold the palace and remove what is beyond the budget. Raises as plan_prune_now does.

    Where a person `agreed` to some folders, no other one goes.
    """
    palace = request.palace.path
    with palace_lock(palace, request.home, request.wait, request.command):
        plan = plan_prune_now(request)
        if agreed is not None:
            shown = {one.folder for one in agreed}
            plan = replace(plan, remove=tuple(o for o in plan.remove if o.folder in shown))
        prune(palace, plan)
    return plan


def plan_prune_now(request: PalaceRequest) -> PrunePlan:
    """What `prune_now` would do. Reads only; raises DamageLeftError where there is damage."""
    index = check_index(request.palace)
    if index.status == "damaged":
        raise DamageLeftError(
            f"nothing is removed while the palace's index is damaged: {index.detail}",
            "mempalace-toolkit repair",
        )
    return plan_pruning(request.palace, request.quarantine_bytes)
