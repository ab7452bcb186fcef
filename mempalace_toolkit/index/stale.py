"""Sets aside index folders that chromadb must not open: the library function for other tools."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from pathlib import Path

from mempalace_toolkit.index.check.check import check_palace
from mempalace_toolkit.index.evidence.findings import Finding
from mempalace_toolkit.index.quarantine.folders import STAMP, UNSAFE_KINDS, set_aside
from mempalace_toolkit.palace.location import DATABASE, PalaceLocation
from mempalace_toolkit.palace.segment_names import SEGMENT_NAME

STALE_KINDS = frozenset(
    {"ids_missing", "ids_ghost", "watermark_ahead", "watermarks_disordered", "sequence_reused"}
)
"""What proves that an index is not its database's, and does no harm when it is opened."""

_log = logging.getLogger(__name__)


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
    stamp = time.strftime(STAMP)
    for segment, kinds in _kinds_by_segment(check_palace(palace)).items():
        folder = palace.path / segment
        if not SEGMENT_NAME.fullmatch(segment) or not folder.is_dir():
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
