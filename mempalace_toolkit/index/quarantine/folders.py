"""Segments set aside under MemPalace's names: who they are, why, setting aside, and back."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from mempalace_toolkit.errors import UsageError
from mempalace_toolkit.files.exchange import exchange, sync_path
from mempalace_toolkit.index.quarantine.note import noted
from mempalace_toolkit.palace.segment_names import QUARANTINED_NAME

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

STAMP = "%Y%m%d-%H%M%S"


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A segment folder that was set aside. `stamp` is local time as YYYYMMDD-HHMMSS,
    or what a person wrote in its place.

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
            return datetime.strptime(self.stamp[:15], STAMP)
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


def aside_name(folder: Path, reason: Reason, stamp: str) -> Path:
    """The first free name for a segment that is set aside at `stamp` (YYYYMMDD-HHMMSS)."""
    moment = datetime.strptime(stamp, STAMP)
    while True:
        path = folder.with_name(f"{folder.name}.{reason}-{moment.strftime(STAMP)}")
        if not path.exists():
            return path
        moment += timedelta(seconds=1)


def set_aside(folder: Path, reason: Reason, stamp: str) -> Path:
    """Rename a segment's folder to MemPalace's name for it; the new path."""
    aside = aside_name(folder, reason, stamp)
    folder.rename(aside)
    sync_path(folder.parent)
    return aside


def list_quarantined(palace: Path) -> tuple[Quarantined, ...]:
    """Every quarantined segment of a palace, oldest first."""
    if not palace.is_dir():
        return ()
    found = []
    for folder in palace.iterdir():
        match = QUARANTINED_NAME.fullmatch(folder.name)
        if match and folder.is_dir() and not folder.is_symlink():
            size, kinds = _bytes_taken(folder), noted(folder)
            found.append(Quarantined(folder, match[1], match[2], match[3], size, kinds))
    return tuple(sorted(found, key=lambda one: (one.stamp, one.folder.name)))


def _bytes_taken(folder: Path) -> int:
    return sum(file.lstat().st_blocks * 512 for file in folder.rglob("*"))


def quarantined_path(palace: Path, name: str) -> tuple[Path, str]:
    """The quarantined folder of that name, and its segment. Raises UsageError for no such one.

    Restoring one gives those beside it the segment's new id: one that had this name before is
    known by the rest of its name.
    """
    match = QUARANTINED_NAME.fullmatch(name)
    found = list_quarantined(palace) if match else ()
    suffix = name[len(match[1]) :] if match else ""
    alike = [one for one in found if one.folder.name.removeprefix(one.segment) == suffix]
    exact = [one for one in alike if one.folder.name == name]
    if len(exact or alike) != 1:
        raise UsageError(
            f"no quarantined segment {name} in {palace}",
            "list them: mempalace-toolkit quarantine list",
        )
    one = (exact or alike)[0]
    return one.folder, one.segment


def restore(palace: Path, name: str) -> Path:
    """Give a quarantined segment its own name back; the path it has then.

    A segment that has that name now takes the quarantined one's in exchange, so that nothing
    is lost and a second call undoes the first. Raises UsageError for a name that is not there.
    The caller holds the palace.
    """
    folder, segment = quarantined_path(palace, name)
    target = palace / segment
    if target.exists():
        exchange(folder, target)
    else:
        folder.rename(target)
        sync_path(palace)
    return target
