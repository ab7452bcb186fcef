"""Exchanges a damaged database for one recovered from it, once that is proven.

Killed anywhere, a repair leaves the old database or the new one in place: the new one is built
and tried in a hidden folder, gets the name that the old one will have, and both are exchanged
in one step. The old one is never removed. Indexes that the new one shows to be damaged are
repaired in the same repair; if one cannot be, all is put back.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mempalace_toolkit.chroma.database import open_database
from mempalace_toolkit.chroma.records import CollectionRecord, read_records
from mempalace_toolkit.errors import DamageLeftError
from mempalace_toolkit.files.exchange import exchange, sync_path
from mempalace_toolkit.files.private import write_undone
from mempalace_toolkit.index.check.check import check_palace
from mempalace_toolkit.index.check.database.tables import check_tables
from mempalace_toolkit.index.evidence.findings import Finding
from mempalace_toolkit.index.evidence.folders import segment_path
from mempalace_toolkit.index.quarantine.folders import aside_name
from mempalace_toolkit.index.recovery.mended_database import mend_database
from mempalace_toolkit.index.recovery.plan import DatabasePlan
from mempalace_toolkit.index.recovery.rebuild import recover_database
from mempalace_toolkit.index.repair.build import require_room, scratch_folder
from mempalace_toolkit.index.repair.prove import prove_collection
from mempalace_toolkit.index.repair.work import RepairSetting
from mempalace_toolkit.index.salvage.salvage import salvage
from mempalace_toolkit.palace.location import PalaceLocation

_HINT = "nothing was changed; restore the palace from a backup"


@dataclass(frozen=True, slots=True)
class RebuiltDatabase:
    """`kept` is the damaged database's new name. `undo` puts all back while it is open."""

    plan: DatabasePlan
    kept: Path
    undo: ExitStack


@contextmanager
def rebuilt_database(
    palace: PalaceLocation, plan: DatabasePlan, setting: RepairSetting
) -> Iterator[RebuiltDatabase]:
    """The palace with the recovered database in place; an exception puts the old one back.

    The caller holds the palace. Raises DamageLeftError where the new one is not sound,
    WriteUndoneError on a full disk, MempalaceError where a child failed.
    """
    scratch = scratch_folder(palace.path, "database")
    with ExitStack() as undo:
        try:
            setting.before_step("room")
            _find_room(palace, plan)
            undo.callback(shutil.rmtree, scratch, ignore_errors=True)
            setting.before_step("recover")
            database = _write_anew(palace, plan, scratch, setting)
            setting.before_step("try database")
            _try(palace, plan, scratch, setting)
            setting.before_step("exchange database")
            kept = aside_name(palace.database, "corrupt", setting.stamp)
            sync_path(database)
            database.rename(kept)
            undo.callback(kept.rename, database)
            exchange(kept, palace.database)
            undo.callback(exchange, kept, palace.database)
        except OSError as error:
            raise write_undone(Path(error.filename or palace.path), error) from error
        yield RebuiltDatabase(plan, kept, undo)
        undo.pop_all()
        shutil.rmtree(scratch, ignore_errors=True)


def _write_anew(
    palace: PalaceLocation, plan: DatabasePlan, scratch: Path, setting: RepairSetting
) -> Path:
    """The new database: its rows mended, where the pages can be read; else recovered, and then
    mended where that is not enough."""
    if plan.mends:
        return mend_database(palace, palace, scratch, setting.environment)
    recovered = recover_database(palace, scratch, setting.environment)
    new = PalaceLocation(scratch, palace.backend, palace.embedding_model)
    with open_database(new) as opened:
        left = any(finding.in_tables for finding in check_tables(new.path, opened.connection))
    if not left:
        return recovered
    mended = mend_database(palace, new, scratch / "mended", setting.environment)
    mended.replace(recovered)
    mended.parent.rmdir()
    return recovered


def _find_room(palace: PalaceLocation, plan: DatabasePlan) -> None:
    require_room(palace.path, plan.bytes_needed)
    for suffix in ("-journal", "-wal"):
        if palace.database.with_name(palace.database.name + suffix).exists():
            raise DamageLeftError(
                f"{palace.database}{suffix} belongs to the damaged database", _HINT
            )


def _try(palace: PalaceLocation, plan: DatabasePlan, scratch: Path, setting: RepairSetting) -> None:
    """Check the new database against the indexes, and query those that are sound through it.

    The check sees the real folders; a child opens copies of them, as chromadb writes to what
    it opens.
    """
    new = PalaceLocation(scratch, palace.backend, palace.embedding_model)
    records = read_records(new).collections
    if sum(len(record.ids) for record in records) != plan.drawers:
        raise DamageLeftError("the recovered database does not hold what was counted", _HINT)
    for record in records:
        folder = segment_path(palace.path, record.vector_segment)
        if folder.is_dir():
            (scratch / folder.name).symlink_to(folder)
    findings = [one for one in check_palace(new) if not one.harmless]
    refused = [one for one in findings if one.remedy in ("refuse", "rebuild_palace")]
    if refused:
        raise DamageLeftError(f"the new database: {refused[0].message}", _HINT)
    trial = PalaceLocation(scratch / "trial", palace.backend, palace.embedding_model)
    trial.path.mkdir()
    shutil.copyfile(new.database, trial.database)
    for record in _unharmed(records, findings):
        _query(new, trial, record, setting)
    shutil.rmtree(trial.path)


def _unharmed(
    records: Sequence[CollectionRecord], findings: Sequence[Finding]
) -> list[CollectionRecord]:
    return [
        record
        for record in records
        if not any(one.concerns(record.name, record.vector_segment) for one in findings)
    ]


def _query(
    new: PalaceLocation, trial: PalaceLocation, record: CollectionRecord, setting: RepairSetting
) -> None:
    live = segment_path(new.path, record.vector_segment)
    if live.is_dir():
        shutil.copytree(live.resolve(), trial.path / record.vector_segment)
    proof = prove_collection(trial, salvage(new.path, record), setting.environment, record.name)
    if not proof.holds:
        raise DamageLeftError(f"the recovered database does not answer: {proof.line()}", _HINT)
