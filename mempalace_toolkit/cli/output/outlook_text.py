"""What a dry run tells a person of the run to come, beside the sessions."""

from __future__ import annotations

import textwrap

from mempalace_toolkit.amounts import count_of
from mempalace_toolkit.files.sizes import in_bytes
from mempalace_toolkit.report.outlook import Outlook
from mempalace_toolkit.report.values import RunReport


def outlook_lines(report: RunReport, width: int) -> list[str]:
    """The lines, wrapped to the terminal's width; none where nothing was looked at."""
    width = max(40, width)
    return [
        piece
        for line in _lines(report)
        for piece in textwrap.wrap(line, width, subsequent_indent="  ", break_on_hyphens=False)
    ]


def _lines(report: RunReport) -> list[str]:
    outlook = report.outlook
    if outlook is None:
        return []
    lines = [_amount(outlook)] if outlook.pages else []
    if report.index_before:
        index = report.index_before
        lines.append(f"Index: {index.status.replace('_', ' ')}: {index.detail}.")
    if outlook.repair:
        lines += ["The run would repair it first:", *(f"  {step}" for step in outlook.repair)]
    lines.append(_means(outlook))
    if outlook.pages:
        lines.append(
            f"Disk: {in_bytes(outlook.bytes_needed)} needed, about;"
            f" {in_bytes(outlook.bytes_free)} free."
        )
    if outlook.holder:
        lines.append(f"The palace is held by {outlook.holder}; a run waits for it for a while.")
    if outlook.stops:
        lines.append(
            f"As things are, a run would end with exit status {outlook.stops[0].exit_code}."
        )
    return lines


def _amount(outlook: Outlook) -> str:
    how = {"last_runs": "as its last runs took", "probe": "by a short measurement"}
    known = f", {how[outlook.pace_source]}" if outlook.pace_source in how else ""
    return (
        f"About {count_of(outlook.drawers, 'drawer')} on {count_of(outlook.pages, 'page')};"
        f" about {in_time(outlook.seconds)} on this machine{known}."
    )


def _means(outlook: Outlook) -> str:
    program = f"MemPalace {outlook.mempalace}" if outlook.mempalace else "MemPalace: none usable"
    if outlook.fetches_model:
        return f"{program}; the embedding model is not here and is fetched first (some 90 MB)."
    if outlook.model == "minilm":
        return f"{program}, embedding model MiniLM."
    return f"{program}; it brings the embedding model {outlook.model} itself."


def in_time(seconds: float) -> str:
    """`40 seconds`, `6 minutes`, `2.5 hours`."""
    if seconds < 90:
        return count_of(max(1, round(seconds)), "second")
    return f"{round(seconds / 60)} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
