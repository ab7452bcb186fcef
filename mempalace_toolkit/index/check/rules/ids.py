"""Does the index, with the queue applied, hold exactly the drawers."""

from __future__ import annotations

from collections.abc import Iterator

from mempalace_toolkit.index.evidence.evidence import Evidence
from mempalace_toolkit.index.evidence.findings import Finding


def check_ids(evidence: Evidence) -> Iterator[Finding]:
    """Drawers that no search can find, and ids in the index that are no drawers."""
    indexed, expected = evidence.indexed_ids, evidence.expected_ids
    if indexed is None:
        return
    missing, ghosts = len(expected - indexed), len(indexed - expected)
    numbers = {"drawers": len(expected), "indexed": len(indexed)}
    if missing:
        yield evidence.finding(
            "ids_missing",
            f"{missing} of {len(expected)} drawers are not in the index",
            missing=missing,
            **numbers,
        )
    if ghosts:
        yield evidence.finding(
            "ids_ghost",
            f"the index holds {ghosts} ids that belong to no drawer",
            ghosts=ghosts,
            **numbers,
        )
