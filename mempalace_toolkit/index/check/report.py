"""Whether the palace's vector index is sound, as one value for a report."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Literal

from mempalace_toolkit.index.check.check import Counted, DeepCheck, look_at_palace
from mempalace_toolkit.index.check.fingerprint import Fingerprint
from mempalace_toolkit.index.check.model import check_models
from mempalace_toolkit.index.evidence.findings import KINDS, Finding
from mempalace_toolkit.index.evidence.folders import segment_folders
from mempalace_toolkit.palace.location import PalaceLocation

NO_PALACE_YET = "there is no palace yet; the first run makes it"

_NOTHING_WRONG = "nothing is wrong with it"

IndexStatus = Literal["no_index", "sound", "damaged"]


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What is known of the index at one moment; `detail` is a line for a person.

    `fingerprint` is that of the files that were looked at, where it could be taken.
    """

    status: IndexStatus
    detail: str
    findings: tuple[Finding, ...] = ()
    fingerprint: Fingerprint | None = None
    counted: tuple[Counted, ...] = ()

    @property
    def drawers(self) -> int:
        """The drawers of all collections that could be looked into."""
        return sum(one.drawers for one in self.counted)

    @property
    def vectors(self) -> int:
        """The vectors that searches find."""
        return sum(one.vectors for one in self.counted)

    def as_json(self) -> dict[str, object]:
        """The object under `index`."""
        return {
            "status": self.status,
            "detail": self.detail,
            "collections": len(self.counted),
            "drawers": self.drawers,
            "vectors": self.vectors,
            "findings": [finding.as_json() for finding in self.findings],
        }


def check_index(palace: PalaceLocation, deep: DeepCheck | None = None) -> IndexReport:
    """Look at the palace's index without writing anything.

    Raises PalaceBusyError where the database is locked, MempalaceError where a file of the
    index may not be read.
    """
    if not palace.has_hnsw_index:
        return IndexReport("no_index", f"no HNSW index with the {palace.backend} backend")
    if not palace.database.exists() and not segment_folders(palace.path):
        return IndexReport("no_index", NO_PALACE_YET)
    other_models = check_models(palace)
    look = look_at_palace(palace, None if other_models else deep)
    misread = {one.collection for one in look.findings if one.kind == "dimension_wrong"}
    models = (one for one in other_models if one.collection not in misread)
    return index_report((*look.findings, *models), look.fingerprint, look.counted)


def index_report(
    findings: tuple[Finding, ...],
    fingerprint: Fingerprint | None = None,
    counted: tuple[Counted, ...] = (),
) -> IndexReport:
    """What these findings say of the index."""
    harm = Counter(finding.kind for finding in findings if not finding.harmless)
    if harm:
        named = "; ".join(
            f"{KINDS[kind].meaning} ({kind}{f', {count} times' if count > 1 else ''})"
            for kind, count in harm.items()
        )
        return IndexReport("damaged", named, findings, fingerprint, counted)
    proved = IndexReport("sound", _NOTHING_WRONG, findings, fingerprint, counted)
    if not counted:
        return proved
    return replace(
        proved,
        detail=f"{proved.drawers:,} drawers and {proved.vectors:,} vectors in {len(counted)}"
        f" collection{'s' if len(counted) > 1 else ''}: each drawer has its vector, and each"
        " vector its drawer",
    )
