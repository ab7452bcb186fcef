"""Around the mining of a run: the index is checked, and repaired where that is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mempalace_toolkit.chroma.contents import roll_back_journal
from mempalace_toolkit.errors import DamageLeftError
from mempalace_toolkit.index.check.deep import DeepCheck
from mempalace_toolkit.index.quarantine.note import note_replaced
from mempalace_toolkit.index.repair.heal import heal
from mempalace_toolkit.index.repair.pruning import plan_unattended_pruning, prune
from mempalace_toolkit.index.repair.result import RepairResult
from mempalace_toolkit.index.repair.work import RepairSetting
from mempalace_toolkit.index.workers.embedding import Embed, palace_embedder
from mempalace_toolkit.model.ensure import ensure
from mempalace_toolkit.model.location import status
from mempalace_toolkit.pipeline.kept_embedding import (
    KeptEmbedding,
    forget_embedded,
    repair_folder,
)
from mempalace_toolkit.pipeline.request import PalaceRequest, RunRequest, timed
from mempalace_toolkit.report.values import Observer, RunReport

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def keep_sound(
    request: RunRequest, observer: Observer, report: RunReport, mined: bool = False
) -> None:
    """Check the index, and repair it if that is wanted. Raises DamageLeftError.

    Where drawers were `mined`, the model is there, and a sample is compared with it.
    """
    palace = request.target.palace
    setting, deep = None, None
    if request.repair != "never":
        setting = repair_setting(request.target, observer, keep=True)
        if setting.embed and request.repair == "always":
            deep = DeepCheck(setting.embed, thorough=True)
        elif mined:
            deep = sample_check(request.target)
    with timed(report, "check"):
        healing = heal(palace, setting, deep)
    report.index_before = report.index_before or healing.before
    report.index_after = healing.after
    if healing.result is not None:
        report.repairs.append(healing.result)
        note_kept(healing.result)
    if not healing.sound:
        raise DamageLeftError(
            f"the palace's index is damaged: {healing.after.detail}",
            "mempalace-toolkit repair --dry-run shows what can be done",
        )
    forget_embedded(request.target)


def sample_check(request: PalaceRequest) -> DeepCheck | None:
    """A comparison of a few drawers with their texts, where the model is there; else none.

    Where one of them is wrong all are compared, so that a repair knows what to embed.
    """
    there = request.palace.embedding_model == "minilm" and status(request.model.cache).present
    embed = palace_embedder(request.palace, request.environment) if there else None
    return DeepCheck(embed, thorough=True, optional=True) if embed else None


def note_kept(result: RepairResult) -> None:
    """Note what a repair replaced by an index that answers: a later run may remove it."""
    for one in result.collections:
        if one.kept and one.proof.holds:
            note_replaced(Path(one.kept), one.plan.kinds)


def prune_replaced(request: RunRequest, report: RunReport) -> None:
    """Remove what earlier repairs replaced, beyond the budget, where this run found no damage."""
    before, after = report.index_before, report.index_after
    clean = before and after and before.status == after.status == "sound"
    if clean and not report.repairs and request.repair != "never":
        target = request.target
        plan = plan_unattended_pruning(target.palace, target.quarantine_bytes, target.stamp)
        report.pruned += prune(target.palace.path, plan)


def repair_setting(
    request: PalaceRequest, observer: Observer, *, keep: bool = False
) -> RepairSetting:
    """What a repair works with; the model is made present when it is first needed.

    With `keep` what it embeds stays on the disk until the index is sound.
    """
    embed = palace_embedder(request.palace, request.environment)

    def embed_with_model(texts: Sequence[str]) -> NDArray[np.float32]:
        if request.palace.embedding_model == "minilm":  # MemPalace brings the others itself
            ensure(request.model, observer.stage)
        return embed(texts)

    embedding: Embed = embed_with_model
    if keep and request.palace.embedding_model == "minilm":
        folder = repair_folder(request)
        embedding = KeptEmbedding(embed_with_model, folder, request.model.cache)
    return RepairSetting(
        home=request.home,
        environment=request.environment,
        stamp=request.stamp,
        embed=embedding,
        before_step=lambda step: observer.stage(f"repairing the index: {step}"),
    )


def heal_after_crash(request: RunRequest, observer: Observer, report: RunReport) -> None:
    """After a crash of MemPalace: nothing is left open, and the index is sound."""
    if request.server is None:
        roll_back_journal(request.target.palace)
    keep_sound(request, observer, report)
