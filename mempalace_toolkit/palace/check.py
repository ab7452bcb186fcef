"""Proves that the palace's index is sound, or says what is wrong with it; reads only.

Neither chromadb nor MemPalace is imported, and no file is opened for writing.
"""

from __future__ import annotations

from collections.abc import Iterator

from mempalace_toolkit.errors import MempalaceError, PalaceBusyError
from mempalace_toolkit.palace.begun import just_begun
from mempalace_toolkit.palace.checks import CHECKS
from mempalace_toolkit.palace.database import open_database
from mempalace_toolkit.palace.deep import DeepCheck, check_deeply
from mempalace_toolkit.palace.evidence import Evidence
from mempalace_toolkit.palace.findings import Finding
from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.palace.records import (
    CollectionRecord,
    PalaceRecords,
    quick_check,
    read_records,
)
from mempalace_toolkit.palace.segment_files import read_segment
from mempalace_toolkit.palace.strays import SEGMENT_NAME, find_strays, segment_folders

_LOOKED_AT_IN_WHOLE = 192 << 20

__all__ = ["DeepCheck", "check_palace", "gather_evidence"]


def check_palace(palace: PalaceLocation, deep: DeepCheck | None = None) -> tuple[Finding, ...]:
    """Everything that is wrong with the palace's index; sound if no finding is other than harmless.

    Raises PalaceBusyError where the database is locked, MempalaceError where a file of the
    index may not be read; whatever the files hold is a finding.
    """
    return tuple(_findings(palace, deep))


def _findings(palace: PalaceLocation, deep: DeepCheck | None) -> Iterator[Finding]:
    if not palace.has_hnsw_index:
        return
    folders = segment_folders(palace.path)
    live = [name for name in folders if SEGMENT_NAME.fullmatch(name)]
    if not palace.database.exists():
        if live:
            message = f"there is no database beside {len(live)} index folders"
            yield Finding("sqlite_unreadable", message)
        return
    try:
        records = read_records(palace)
    except PalaceBusyError:
        raise
    except MempalaceError as error:
        yield Finding("sqlite_unreadable", error.message)
        return
    if records.hot_journal:
        yield Finding("hot_journal", "a killed writer left a transaction open in the database")
    damage = _page_damage(palace, records, whole=deep is not None)
    if damage:
        yield Finding("sqlite_damaged", f"SQLite says of the database: {damage}")
    if records.unknown:
        if not damage and (live or not _just_begun(palace)):
            yield Finding("unknown_format", f"the database: {records.unknown}")
        return
    yield from find_strays(palace.path, (c.vector_segment for c in records.collections))
    for record in records.collections:
        evidence = gather_evidence(palace, records, record)
        found = [finding for check in CHECKS.values() for finding in check(evidence)]
        yield from found
        if deep is not None:
            yield from check_deeply(palace, evidence, deep)


def _page_damage(palace: PalaceLocation, records: PalaceRecords, whole: bool) -> str:
    """What SQLite finds wrong with the pages that were not read.

    It takes 1.6 s a gigabyte, so a large database is looked at only by a deep check and by
    repair, unless it gave cause.
    """
    small = palace.database.stat().st_size <= _LOOKED_AT_IN_WHOLE
    if not (small or whole or records.unknown):
        return ""
    try:
        return quick_check(palace, whole)
    except PalaceBusyError:
        raise
    except MempalaceError as error:
        return error.message


def _just_begun(palace: PalaceLocation) -> bool:
    with open_database(palace) as database:
        return just_begun(database.connection)


def gather_evidence(
    palace: PalaceLocation, records: PalaceRecords, record: CollectionRecord
) -> Evidence:
    """What the checks look at in one collection."""
    folder = palace.path / record.vector_segment
    there = bool(SEGMENT_NAME.fullmatch(record.vector_segment)) and folder.is_dir()
    files = read_segment(folder, record.dimension) if there else None
    return Evidence(record, files, records.highest_queued)
