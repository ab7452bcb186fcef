"""Do the watermarks and the queue's sequence agree: where not, writes get lost."""

from __future__ import annotations

from collections.abc import Iterator

from mempalace_toolkit.index.evidence.evidence import Evidence
from mempalace_toolkit.index.evidence.findings import Finding


def check_watermarks(evidence: Evidence) -> Iterator[Finding]:
    """VECTOR ≤ METADATA ≤ the highest number in the queue.

    The queue always keeps the entry that equals the lower watermark, and numbers the next one
    after its highest. So a watermark above that will swallow the writes to come.
    """
    vector, metadata = evidence.record.vector_watermark, evidence.record.metadata_watermark
    highest = evidence.highest_queued
    numbers = {"vector": vector or 0, "metadata": metadata or 0, "highest_queued": highest}
    if (vector or 0) > highest:
        yield evidence.finding(
            "watermark_ahead",
            f"the index is at {vector}, the queue ends at {highest}",
            **numbers,
        )
    if (vector or 0) > (metadata or 0):
        yield evidence.finding(
            "watermarks_disordered",
            f"the index is at {vector}, the drawers are at {metadata or 0}",
            **numbers,
        )
    if (metadata or 0) > highest:
        yield evidence.finding(
            "sequence_reused",
            f"the next write gets number {highest + 1}, which was given before {metadata}",
            **numbers,
        )
