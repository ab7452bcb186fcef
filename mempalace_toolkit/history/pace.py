"""How fast this machine files drawers, by what its last runs took."""

from __future__ import annotations

from collections.abc import Iterable

from mempalace_toolkit.history.record import RunRecord

RUNS = 5
LEAST_DRAWERS = 50
"""A smaller run is mostly the start of MemPalace, and tells little of a larger one."""


def seconds_a_drawer(runs: Iterable[RunRecord]) -> float | None:
    """Seconds a drawer over the last runs that filed some; None where there were none."""
    telling = [
        (run.filing_ms, run.drawers)
        for run in runs
        if run.filing_ms and run.drawers and run.drawers >= LEAST_DRAWERS
    ][-RUNS:]
    drawers = sum(drawers for _, drawers in telling)
    return sum(spent for spent, _ in telling) / 1000 / drawers if drawers else None
