"""Does the queue still hold what the index has not taken in."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mempalace_toolkit.index.evidence.evidence import Evidence
from mempalace_toolkit.index.evidence.findings import Finding


def check_queue(evidence: Evidence) -> Iterator[Finding]:
    """A drawer that was touched after the VECTOR watermark has that operation in the queue.

    Without it the index keeps the vector of an earlier text, or none.
    """
    record = evidence.record
    later = record.sequences > (record.vector_watermark or 0)
    queued = np.array([entry.sequence for entry in record.queue], np.int64)
    gone = int(np.count_nonzero(later & ~np.isin(record.sequences, queued)))
    if gone:
        yield evidence.finding(
            "queue_gap",
            f"the queue lacks the operations of {gone} drawers that the index has not taken in",
            drawers=gone,
        )
