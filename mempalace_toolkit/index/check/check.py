"""Proves that the palace's index is sound, or says what is wrong with it; reads only.

Neither chromadb nor MemPalace is imported, and no file is opened for writing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mempalace_toolkit.chroma.database import moved, open_database
from mempalace_toolkit.chroma.just_created import just_begun
from mempalace_toolkit.chroma.records import (
    CollectionRecord,
    PalaceRecords,
    quick_check,
    read_records,
)
from mempalace_toolkit.chroma.segment.files import read_segment
from mempalace_toolkit.errors import MempalaceError, PalaceBusyError
from mempalace_toolkit.index.check.database.tables import check_tables, is_chromadb
from mempalace_toolkit.index.check.deep import DeepCheck, check_deeply
from mempalace_toolkit.index.check.fingerprint import Fingerprint
from mempalace_toolkit.index.check.moment import LOOKS, at_one_moment
from mempalace_toolkit.index.check.rules import CHECKS
from mempalace_toolkit.index.evidence.evidence import Evidence
from mempalace_toolkit.index.evidence.findings import Finding
from mempalace_toolkit.index.evidence.folders import find_strays, segment_folders
from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.palace.open_elsewhere import may_be_open_elsewhere
from mempalace_toolkit.palace.segment_names import SEGMENT_NAME

_LOOKED_AT_IN_WHOLE = 192 << 20
_WRITING_SECONDS = 0.5  # chromadb writes the five files of an index one after another
_BESIDE_THE_INDEX = ("fulltext_damaged", "documents_missing", "metadata_missing",
                     "metadata_damaged", "metadata_orphaned")  # fmt: skip

__all__ = ["Counted", "DeepCheck", "Look", "check_palace", "gather_evidence", "look_at_palace"]


@dataclass(frozen=True, slots=True)
class Counted:
    """What was looked at in one collection: its drawers, and the vectors that searches find."""

    drawers: int
    vectors: int


@dataclass(frozen=True, slots=True)
class Look:
    """What was found, all of one moment, and the files in which it was found.

    `counted` has an entry for each collection that could be looked into.
    """

    findings: tuple[Finding, ...]
    fingerprint: Fingerprint | None
    counted: tuple[Counted, ...] = ()

    @property
    def harmless(self) -> bool:
        """Whether nothing is wrong."""
        return all(finding.harmless for finding in self.findings)


def check_palace(palace: PalaceLocation, deep: DeepCheck | None = None) -> tuple[Finding, ...]:
    """Everything that is wrong with the palace's index; see look_at_palace."""
    return look_at_palace(palace, deep).findings


def look_at_palace(palace: PalaceLocation, deep: DeepCheck | None = None) -> Look:
    """Everything that is wrong with the palace's index; sound if no finding is other than harmless.

    Raises PalaceBusyError where the database is locked or another process writes to the
    palace all the time, MempalaceError where a file of the index may not be read; whatever
    the files hold is a finding.
    """
    for _ in range(LOOKS):
        moment = at_one_moment(palace, lambda: _look(palace, deep is not None))
        found, evidences, counted = moment.seen
        if deep is not None:  # outside: no writer waits for the model
            found += tuple(one for e in evidences for one in check_deeply(palace, e, deep))
        look = Look(found, moment.fingerprint, tuple(counted))
        if look.harmless:
            return look
        # A writer may stand still between two files of an index, all of which have just been
        # seen. What is damaged stays as it is.
        if may_be_open_elsewhere(palace.path):
            time.sleep(_WRITING_SECONDS)
        if not moment.is_over(palace):
            return look
    raise moved(palace)


def _look(
    palace: PalaceLocation, deep: bool
) -> tuple[tuple[Finding, ...], list[Evidence], list[Counted]]:
    evidences: list[Evidence] = []
    counted: list[Counted] = []
    return tuple(_findings(palace, deep, evidences, counted)), evidences, counted


def _findings(
    palace: PalaceLocation, deep: bool, evidences: list[Evidence], counted: list[Counted]
) -> Iterator[Finding]:
    """What is wrong; `deep` leaves the `evidences` of what the model is to look at."""
    if not palace.has_hnsw_index:
        return
    folders = segment_folders(palace.path)
    live = [name for name in folders if SEGMENT_NAME.fullmatch(name)]
    if not palace.database.exists():
        if folders:
            message = f"there is no database beside {len(folders)} index folders"
            yield Finding("sqlite_unreadable", message)
        return
    tables = _table_damage(palace, deep)
    try:
        records = None if _hides_the_index(tables) else read_records(palace)
    except PalaceBusyError:
        raise
    except MempalaceError as error:
        yield Finding("sqlite_unreadable", error.message)
        return
    if records is None:
        yield from tables
        damage = _page_damage(palace, deep)
        if damage:
            yield Finding("sqlite_damaged", f"SQLite says of the database: {damage}")
        return
    yield from tables
    if records.hot_journal:
        yield Finding("hot_journal", "a killed writer left a transaction open in the database")
    damage = _page_damage(palace, deep or bool(records.unknown))
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
        counted.append(Counted(len(evidence.expected_ids), len(evidence.indexed_ids or ())))
        if deep:
            evidences.append(evidence)


def _table_damage(palace: PalaceLocation, whole: bool) -> tuple[Finding, ...]:
    """What is wrong with the tables, where they are chromadb's and can be read at all."""
    try:
        with open_database(palace) as opened:
            if just_begun(opened.connection) or not is_chromadb(opened.connection):
                return ()
            return tuple(check_tables(palace.path, opened.connection, whole))
    except PalaceBusyError:
        raise
    except MempalaceError:
        return ()  # read_records tells it


def _hides_the_index(tables: Sequence[Finding]) -> bool:
    """Whether the tables do not tell what the index should be: they are mended first."""
    return any(one.in_tables and one.kind not in _BESIDE_THE_INDEX for one in tables)


def _page_damage(palace: PalaceLocation, whole: bool) -> str:
    """What SQLite finds wrong with the pages that were not read.

    It takes 1.6 s a gigabyte, so a large database is looked at only by a deep check and by
    repair, unless it gave cause.
    """
    small = palace.database.stat().st_size <= _LOOKED_AT_IN_WHOLE
    if not (small or whole):
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
