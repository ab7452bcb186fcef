"""Are the vectors those of the operations that the index should have taken in."""

from __future__ import annotations

from collections.abc import Iterator

from mempalace_toolkit.index.evidence.evidence import Evidence
from mempalace_toolkit.index.evidence.findings import Finding
from mempalace_toolkit.index.salvage.coverage import outdated_operations


def check_outdated(evidence: Evidence) -> Iterator[Finding]:
    """A folder or a data file of an earlier moment, as a restored backup leaves it beside."""
    files = evidence.files
    if files is None or files.elements is None or files.id_map is None or evidence.never_flushed:
        return
    outdated = outdated_operations(evidence.record, files.elements, files.id_map.labels)
    if outdated:
        yield evidence.finding(
            "vectors_outdated",
            f"{outdated} drawers have another vector than the queue says: the index, or a file of"
            " it, is of another moment than the database",
            operations=outdated,
        )
