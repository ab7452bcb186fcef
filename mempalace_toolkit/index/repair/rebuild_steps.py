"""The rebuild of one collection's index as a list of named steps, each with its undoing.

A process killed before, in or after any of them leaves the old index or the new one, and at
worst a folder that the next repair removes or sets aside:

- until `switch` the palace is as it was, but for a hidden scratch folder, or the new index in
  a folder that nothing uses;
- `switch` is one transaction, from which on the new index is the collection's;
- until `set aside` is done the old folder still has its old name, which nothing uses.
"""

from __future__ import annotations

import shutil
import uuid

from mempalace_toolkit.chroma.watermarks import replace_segment, undo_replacing
from mempalace_toolkit.errors import DamageLeftError
from mempalace_toolkit.files.exchange import sync_path
from mempalace_toolkit.index.check.check import check_palace
from mempalace_toolkit.index.quarantine.folders import UNSAFE_KINDS, Reason, aside_name
from mempalace_toolkit.index.repair.build import build_index, require_room, scratch_folder
from mempalace_toolkit.index.repair.order_proof import prove_order
from mempalace_toolkit.index.repair.prove import prove_collection
from mempalace_toolkit.index.repair.reembedding import (
    begin_sample,
    compare_all,
    compare_sample,
    embed_missing,
)
from mempalace_toolkit.index.repair.replacement import NOTE, note_replacing, rename_aside
from mempalace_toolkit.index.repair.work import RepairSetting, Step, Work
from mempalace_toolkit.palace.location import PalaceLocation

_WIDER = (4, 16)

__all__ = ["STEPS", "THOROUGH_STEPS", "RepairSetting", "find_room"]


def find_room(work: Work) -> None:
    """Raise WriteUndoneError unless the disk has room for what will be written."""
    require_room(work.palace.path, work.plan.bytes_needed)


def build(work: Work) -> None:
    """Build the new index in the scratch folder."""
    if not len(work.found.record.ids):
        return
    scratch = scratch_folder(work.palace.path, work.found.record.id)
    work.undo.callback(shutil.rmtree, scratch, ignore_errors=True)
    setting = work.setting
    work.built = build_index(work.palace, work.found, setting.environment, setting.threads)


def try_built(work: Work) -> None:
    """Have a child query the new index where it was built, and build another one if need be.

    Of 600 orders of 444 vectors, 6 gave a graph in which nothing leads to one of them (l2,
    hnswlib 0.7.6); of 12 builds of 344 vectors of four dimensions by inner product 10 did with
    breadth 100, none with 400 (chromadb 1.5.9). Raises DamageLeftError.
    """
    if work.built is None:
        return
    scratch = PalaceLocation(work.built.parent, "chroma", work.palace.embedding_model)
    setting = work.setting
    for breadth in (*_WIDER, 0):
        proof = prove_collection(scratch, work.found, setting.environment, "rebuilt")
        if not breadth or not proof.is_worth_another_try:
            break
        shutil.rmtree(scratch.path)
        work.built = build_index(
            work.palace, work.found, setting.environment, setting.threads, breadth
        )
    if not proof.holds:
        raise DamageLeftError(
            f"the rebuilt index does not answer: {proof.line()}",
            "run again; the old index is in place",
        )


def place(work: Work) -> None:
    """Give the new index a folder and an id of its own, which nothing uses yet."""
    work.fresh = work.palace.path / str(uuid.uuid4())
    if work.live.exists():
        work.kept = aside_name(work.fresh, _reason(work), work.setting.stamp)
    if work.built is not None:
        note_replacing(work.built, work.plan.segment, work.kept.name if work.kept else "")
        work.built.rename(work.fresh)
        work.undo.callback(work.fresh.rename, work.built)
        sync_path(work.palace.path)


def switch(work: Work) -> None:
    """Name the new index in the database, and the operations that it contains."""
    assert work.fresh is not None
    record = work.found.record
    reached = record.metadata_watermark
    if reached is None and len(record.sequences):
        reached = int(record.sequences.max())
    if not len(record.ids):
        reached = None
    change = replace_segment(work.palace, record, work.fresh.name, reached)
    work.undo.callback(undo_replacing, work.palace, change)


def set_aside_old(work: Work) -> None:
    """Rename the old index's folder, and those that were set aside before it."""
    assert work.fresh is not None
    for before, after in rename_aside(work.palace.path, work.plan.segment, work.fresh.name):
        work.undo.callback(after.rename, before)
        work.renamed.append((before, after))
    if work.kept is not None:
        if work.kept.exists():  # one that was just renamed has the name
            work.kept = aside_name(work.fresh, _reason(work), work.setting.stamp)
        work.live.rename(work.kept)
        work.undo.callback(work.kept.rename, work.live)
    sync_path(work.palace.path)


def _reason(work: Work) -> Reason:
    return "corrupt" if UNSAFE_KINDS & set(work.plan.kinds) else "drift"


def check_again(work: Work) -> None:
    """Raise DamageLeftError where a check still finds damage in this collection."""
    segment = work.fresh.name if work.fresh else work.plan.segment
    left = [
        finding
        for finding in check_palace(work.palace)
        if not finding.harmless
        and finding.collection
        and finding.concerns(work.plan.collection, segment)
    ]
    if left:
        raise DamageLeftError(
            f"{work.plan.collection} is still damaged after its rebuild ({left[0].message}): "
            "undone, the old index is in place",
            "mempalace-toolkit repair --deep --yes embeds again what is wrong",
        )


def put_back(work: Work) -> None:
    """Give a collection its old folder back, for the old database; the new one stays aside."""
    if work.kept is not None:
        work.kept.rename(work.live)
    for before, after in work.renamed:
        after.rename(before)
    if work.fresh is not None and work.built is not None:
        work.fresh.rename(aside_name(work.live, "drift", work.setting.stamp))


def clean(work: Work) -> None:
    """Remove the scratch folder; what was done stays."""
    work.undo.pop_all()
    if work.fresh is not None:
        (work.fresh / NOTE).unlink(missing_ok=True)
    shutil.rmtree(scratch_folder(work.palace.path, work.found.record.id), ignore_errors=True)


STEPS: tuple[Step, ...] = (
    ("room", find_room),
    ("order", prove_order),
    ("embed", embed_missing),
    ("sample", begin_sample),
    ("build", build),
    ("try", try_built),
    ("compare", compare_sample),
    ("place", place),
    ("switch", switch),
    ("set aside", set_aside_old),
    ("check", check_again),
    ("clean", clean),
)

THOROUGH_STEPS: tuple[Step, ...] = (*STEPS[:2], ("compare all", compare_all), *STEPS[2:])
"""The same where a sample was contradicted: every vector is compared with its text."""
