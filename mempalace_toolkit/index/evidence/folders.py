"""Folders in a palace that no collection uses: index folders set aside, and left ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from mempalace_toolkit.errors import DamageLeftError
from mempalace_toolkit.index.evidence.findings import Finding
from mempalace_toolkit.palace.segment_names import QUARANTINED_NAME, SEGMENT_NAME


def segment_path(palace: Path, segment: str) -> Path:
    """The folder of a segment's index. Nothing but a UUID ever becomes a path: an empty id would
    be the palace itself, `../other` another one. Raises DamageLeftError."""
    if not SEGMENT_NAME.fullmatch(segment):
        raise DamageLeftError(
            f"{palace}: the segment id {segment[:60]!r} is no UUID: it was not followed",
            "mempalace-toolkit repair --dry-run shows what can be done",
        )
    return palace / segment


def segment_folders(palace: Path) -> list[str]:
    """Names of the folders that are, or once were, index folders."""
    try:
        names = sorted(entry.name for entry in palace.iterdir() if entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [n for n in names if SEGMENT_NAME.fullmatch(n) or QUARANTINED_NAME.fullmatch(n)]


def find_strays(palace: Path, segments: Iterable[str]) -> Iterator[Finding]:
    """A harmless finding for each index folder that is not one of the `segments`."""
    used = set(segments)
    for name in segment_folders(palace):
        quarantined = QUARANTINED_NAME.fullmatch(name)
        if quarantined:
            message = f"{name} was set aside"
            yield Finding("segment_quarantined", message, segment=name)
        elif name not in used:
            yield Finding("segment_stray", f"{name} belongs to no collection", segment=name)
