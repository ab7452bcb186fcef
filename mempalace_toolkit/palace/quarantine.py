"""Segments set aside under MemPalace's names: who they are, why, setting aside, and back."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from mempalace_toolkit.errors import UsageError
from mempalace_toolkit.palace.check import check_palace
from mempalace_toolkit.palace.exchange import exchange, sync_folder
from mempalace_toolkit.palace.findings import Finding
from mempalace_toolkit.palace.location import DATABASE, PalaceLocation
from mempalace_toolkit.palace.replaced import noted

Reason = Literal["drift", "corrupt"]

UNSAFE_KINDS = frozenset(
    {
        "pickle_missing",
        "pickle_unreadable",
        "file_missing",
        "header_impossible",
        "level0_short",
        "torn_persist",
        "links_damaged",
        "entry_point_invalid",
        "labels_differ",
        "labels_repeated",
        "sparse_bloat",
    }
)
"""What kills chromadb, or has it overwrite what is left, when it opens such a segment."""

STALE_KINDS = frozenset(
    {"ids_missing", "ids_ghost", "watermark_ahead", "watermarks_disordered", "sequence_reused"}
)
"""What proves that an index is not its database's, and does no harm when it is opened."""

_STAMP = "%Y%m%d-%H%M%S"
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_SEGMENT = re.compile(_UUID)
_NAME = re.compile(rf"({_UUID})\.(drift|corrupt)-(\d{{8}}-\d{{6}}.*)")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A segment folder that was set aside. `stamp` is local time as YYYYMMDD-HHMMSS.

    `size` is bytes on the disk; a sparse file counts what it takes, not what it claims.
    `kinds` are the findings for which a repair replaced it, None where no repair did.
    """

    folder: Path
    segment: str
    reason: str
    stamp: str
    size: int
    kinds: tuple[str, ...] | None = None

    def moment(self) -> datetime | None:
        """When it was set aside, in local time; None where the name tells no time."""
        with suppress(ValueError):
            return datetime.strptime(self.stamp[:15], _STAMP)
        return None

    def as_json(self) -> dict[str, object]:
        """The object under `pruned` and `quarantined`; `kinds` is null where not known."""
        return {
            "name": self.folder.name,
            "segment": self.segment,
            "reason": self.reason,
            "kinds": None if self.kinds is None else list(self.kinds),
            "stamp": self.stamp,
            "size": self.size,
        }


def quarantine_stale_hnsw(palace_path: str, stale_seconds: float = 3600.0) -> list[str]:
    """Set aside every segment that is proven unsafe; the new paths, [] where there is no palace.

    Unsafe is what kills chromadb or has it destroy data. An index that is only proven not to
    match its database is set aside when it is also older than that by `stale_seconds`. A
    difference of mtimes alone condemns nothing: a lagging flush looks the same. The caller
    holds the palace.
    """
    palace = PalaceLocation(Path(palace_path).absolute(), "chroma", "minilm")
    if not palace.database.is_file():
        return []
    moved = []
    stamp = time.strftime(_STAMP)
    for segment, kinds in _kinds_by_segment(check_palace(palace)).items():
        folder = palace.path / segment
        if not _SEGMENT.fullmatch(segment) or not folder.is_dir():
            continue
        lag = _mtime_difference(folder)
        unsafe = kinds & UNSAFE_KINDS
        if unsafe or (kinds & STALE_KINDS and lag > stale_seconds):
            aside = set_aside(folder, "drift", stamp)
            _log.warning(
                "%s set aside as %s: %s; older than its database by %.0f s",
                segment,
                aside.name,
                ", ".join(sorted(kinds)),
                lag,
            )
            moved.append(str(aside))
    return moved


def _kinds_by_segment(findings: Iterable[Finding]) -> dict[str, set[str]]:
    kinds: dict[str, set[str]] = {}
    for finding in findings:
        if finding.segment and not finding.harmless:
            kinds.setdefault(finding.segment, set()).add(finding.kind)
    return kinds


def _mtime_difference(folder: Path) -> float:
    """How many seconds the segment's data is older than the database."""
    database = folder.with_name(DATABASE).stat().st_mtime
    data = folder / "data_level0.bin"
    return database - (data if data.exists() else folder).stat().st_mtime


def aside_name(folder: Path, reason: Reason, stamp: str) -> Path:
    """The first free name for a segment that is set aside at `stamp` (YYYYMMDD-HHMMSS)."""
    moment = datetime.strptime(stamp, _STAMP)
    while True:
        path = folder.with_name(f"{folder.name}.{reason}-{moment.strftime(_STAMP)}")
        if not path.exists():
            return path
        moment += timedelta(seconds=1)


def set_aside(folder: Path, reason: Reason, stamp: str) -> Path:
    """Rename a segment's folder to MemPalace's name for it; the new path."""
    aside = aside_name(folder, reason, stamp)
    folder.rename(aside)
    sync_folder(folder.parent)
    return aside


def list_quarantined(palace: Path) -> tuple[Quarantined, ...]:
    """Every quarantined segment of a palace, oldest first."""
    if not palace.is_dir():
        return ()
    found = []
    for folder in palace.iterdir():
        match = _NAME.fullmatch(folder.name)
        if match and folder.is_dir() and not folder.is_symlink():
            size, kinds = _bytes_taken(folder), noted(folder)
            found.append(Quarantined(folder, match[1], match[2], match[3], size, kinds))
    return tuple(sorted(found, key=lambda one: (one.stamp, one.folder.name)))


def _bytes_taken(folder: Path) -> int:
    return sum(file.lstat().st_blocks * 512 for file in folder.rglob("*"))


def restore(palace: Path, name: str) -> Path:
    """Give a quarantined segment its own name back; the path it has then.

    A segment that has that name now takes the quarantined one's in exchange, so that nothing
    is lost and a second call undoes the first. Raises UsageError for a name that is not there.
    The caller holds the palace.
    """
    match = _NAME.fullmatch(name)
    if not match or not (palace / name).is_dir():
        raise UsageError(
            f"no quarantined segment {name} in {palace}",
            "list them: mempalace-toolkit quarantine list",
        )
    target = palace / match[1]
    if target.exists():
        exchange(palace / name, target)
    else:
        (palace / name).rename(target)
        sync_folder(palace)
    return target
