"""Whether the palace's vector index is sound, as one value for a report."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from mempalace_toolkit.index.check.check import DeepCheck, look_at_palace
from mempalace_toolkit.index.check.fingerprint import Stamp
from mempalace_toolkit.index.check.model import check_models
from mempalace_toolkit.index.evidence.findings import Finding
from mempalace_toolkit.palace.location import PalaceLocation

IndexStatus = Literal["no_index", "sound", "damaged"]


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What is known of the index at one moment; `detail` is a line for a person.

    `stamp` are the files that were looked at, where they can be told from later ones.
    """

    status: IndexStatus
    detail: str
    findings: tuple[Finding, ...] = ()
    stamp: Stamp | None = None

    def as_json(self) -> dict[str, object]:
        """The object under `index`."""
        return {
            "status": self.status,
            "detail": self.detail,
            "findings": [finding.as_json() for finding in self.findings],
        }


def check_index(palace: PalaceLocation, deep: DeepCheck | None = None) -> IndexReport:
    """Look at the palace's index without writing anything.

    Raises PalaceBusyError where the database is locked, MempalaceError where a file of the
    index may not be read.
    """
    if not palace.has_hnsw_index:
        return IndexReport("no_index", f"no HNSW index with the {palace.backend} backend")
    if not palace.database.exists() and palace.is_empty():
        return IndexReport("no_index", "the palace is empty")
    other_models = check_models(palace)
    look = look_at_palace(palace, None if other_models else deep)
    return index_report((*look.findings, *other_models), look.stamp)


def index_report(findings: tuple[Finding, ...], stamp: Stamp | None = None) -> IndexReport:
    """What these findings say of the index."""
    harm = Counter(finding.kind for finding in findings if not finding.harmless)
    if harm:
        told = ", ".join(f"{kind} ({count})" if count > 1 else kind for kind, count in harm.items())
        return IndexReport("damaged", told, findings, stamp)
    return IndexReport("sound", "nothing is wrong with it", findings, stamp)
