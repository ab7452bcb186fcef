"""Is the index there, and could its files be read at all."""

from __future__ import annotations

from collections.abc import Iterator

from mempalace_toolkit.index.evidence.evidence import Evidence
from mempalace_toolkit.index.evidence.findings import Finding


def check_folder(evidence: Evidence) -> Iterator[Finding]:
    """A folder that is gone, and every file that is missing, cut, bloated or nonsense."""
    if evidence.files is None:
        flushed = evidence.record.vector_watermark is not None
        if flushed and evidence.indexed_ids != evidence.expected_ids:
            drawers = len(evidence.expected_ids)
            message = f"the index of {drawers} drawers is gone"
            yield evidence.finding("segment_missing", message, drawers=drawers)
        return
    for problem in evidence.files.problems:
        if evidence.never_flushed and problem.kind != "sparse_bloat":
            continue
        yield evidence.finding(problem.kind, problem.message)
