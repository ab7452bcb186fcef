"""Check, repair if that is wanted, check again: what a run does around its mining."""

from __future__ import annotations

from dataclasses import dataclass

from mempalace_toolkit.errors import DAMAGED_REMEDY, DamageLeftError
from mempalace_toolkit.index.check.check import DeepCheck
from mempalace_toolkit.index.check.report import IndexReport, check_index, index_report
from mempalace_toolkit.index.repair.apply import repair_palace
from mempalace_toolkit.index.repair.plan import plan_repair
from mempalace_toolkit.index.repair.plan_values import RepairPlan
from mempalace_toolkit.index.repair.reembedding import with_model
from mempalace_toolkit.index.repair.result import RepairResult
from mempalace_toolkit.index.repair.work import RepairSetting
from mempalace_toolkit.index.workers.embedding import Embed
from mempalace_toolkit.palace.location import PalaceLocation


@dataclass(frozen=True, slots=True)
class Healing:
    """The index as it was, as it is now, and what was done in between, if anything."""

    before: IndexReport
    after: IndexReport
    result: RepairResult | None = None

    @property
    def sound(self) -> bool:
        """Whether the palace may be used: nothing harmful found, and what was mended answers."""
        proven = self.result is None or self.result.sound
        return self.after.status != "damaged" and proven


def loses_something(palace: PalaceLocation, plan: RepairPlan) -> DamageLeftError:
    """The error for a repair that nobody has agreed to: what is lost is for a person to decide."""
    return DamageLeftError(
        f"{palace.database} is damaged, and not all of it can be given back: "
        f"a repair would lose {plan.loses}. Nothing was changed",
        "restore the palace from a backup, or accept the loss: "
        "mempalace-toolkit repair --accept-loss --yes",
    )


def plan_without_a_person(
    palace: PalaceLocation, index: IndexReport, embed: Embed | None = None
) -> RepairPlan:
    """The repair of a damaged index that needs no consent: it loses nothing. Reads only.

    A plan that needs the model is made only where `embed`, if there is one, gives vectors.
    Raises DamageLeftError where nothing can be done, or something would be lost.
    """
    plan = plan_repair(palace, index.findings, index.fingerprint)
    if embed is not None:
        plan = with_model(plan, embed)
    if plan.grade == "refuse":
        raise DamageLeftError(plan.refusal, f"{plan.remedy}; {DAMAGED_REMEDY}")
    if plan.loses:
        raise loses_something(palace, plan)
    return plan


def heal(
    palace: PalaceLocation,
    setting: RepairSetting | None,
    deep: DeepCheck | None = None,
) -> Healing:
    """Check the index and repair what is found; without a `setting`, only check.

    The caller holds the palace. Raises what repair_palace raises, and DamageLeftError where a
    repair would lose drawers, which is for a person to decide; the palace is then as it was.
    """
    before = check_index(palace, deep)
    if before.status != "damaged" or setting is None:
        return Healing(before, before)
    other_model = palace.embedding_model != "minilm"
    plan = plan_without_a_person(palace, before, setting.embed if other_model else None)
    result = repair_palace(palace, plan, setting)
    return Healing(before, index_report(result.findings), result)
