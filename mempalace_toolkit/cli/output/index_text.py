"""What a check of the palace's index found, as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mempalace_toolkit.index.check.report import IndexReport
    from mempalace_toolkit.palace.location import PalaceLocation

MOST_FINDINGS = 20


def show_index(report: IndexReport, palace: PalaceLocation) -> None:
    """Print the state of the index, and the first of many findings."""
    print(f"{palace.path}: {report.status.replace('_', ' ')}: {report.detail}.")
    for finding in report.findings[:MOST_FINDINGS]:
        where = finding.collection or finding.segment
        print(f"  {finding.message} ({finding.kind}{f' in {where}' if where else ''})")
    if len(report.findings) > MOST_FINDINGS:
        print(f"  and {len(report.findings) - MOST_FINDINGS} more; --json lists them all")
