"""A run's report as text for a person: tables that fit the terminal, a summary in lines."""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from rich.cells import cell_len, set_cell_size

from mempalace_toolkit.amounts import count_of
from mempalace_toolkit.files.sizes import in_bytes
from mempalace_toolkit.report.values import ACTIONS, RunReport, SessionLine

MOST_FINDINGS = 10

_WIDE = 120  # from so many cells on a table of sessions has room for their ids

_JOINER = "\u200d"  # what makes one sign of several emoji


def session_table(lines: Sequence[SessionLine], width: int) -> str:
    """One line a session: action, wing, turns, last activity, id where it fits, title, reason."""
    if not lines:
        return "No sessions."
    wing_width = min(16, max(4, *(cell_len(line.wing) for line in lines)))
    id_width = max(cell_len(line.id) for line in lines) + 1 if width >= _WIDE else 0
    fixed = 9 + 1 + wing_width + 1 + 6 + 1 + 16 + 1 + id_width
    title_width = max(12, width - fixed)
    head = f"{'ACTION':9} {fit('WING', wing_width)} {'TURNS':>6} {'LAST ACTIVITY':16} "
    rows = [f"{head}{fit('ID', id_width) if id_width else ''}TITLE"]
    for line in lines:
        title = line.title or "(untitled)"
        if line.reason:
            title = f"{line.reason}: {title}"
        elif line.kept:
            title = f"{line.kept} kept that the store lost: {title}"
        rows.append(
            f"{line.action:9} {fit(line.wing, wing_width)} {line.turns:6}"
            f" {local_time(line.updated):16} {fit(line.id, id_width) if id_width else ''}"
            f"{fit(title, title_width).rstrip()}"
        )
    return "\n".join(rows)


def dry_run_summary(report: RunReport) -> str:
    """What a run would do, in one or two lines."""
    actions = report.actions
    todo = sum(actions[name] for name in ("new", "grown", "rewritten"))
    told = [f"{counted(actions)}."]
    if todo:
        told.append(f"Would take {count_of(todo, 'session')} into {report.palace}.")
    if report.withdrawn:
        told.append(f"Would withdraw {_undone(report)}.")
    told += _kept(report)
    if not todo and not report.withdrawn and report.error is None:
        told.append("Nothing to do.")
    return "\n".join(told) + " Nothing was written."


def none_chosen(report: RunReport, since: str | None, limit: int | None) -> str:
    """Why no session is shown, where the options left none; empty where some are."""
    if report.sessions or report.actions or report.findings or report.error:
        return ""
    if since is not None:
        return f"No session was active since {since} (--since)."
    if limit is not None:
        return "Every session is filed already; --limit counts those that have something new."
    return ""


def _undone(report: RunReport) -> str:
    """How much talk leaves because it was undone."""
    turns = sum(line.withdrawn for line in report.sessions)
    sessions = report.actions["withdrawn"]
    if not sessions:
        return f"{count_of(report.withdrawn, 'page')} of what was undone"
    return (
        f"{count_of(turns, 'undone turn')} of {count_of(sessions, 'session')}"
        f" from {count_of(report.withdrawn, 'page')}"
    )


def _kept(report: RunReport) -> list[str]:
    """How much talk stays that the store has no more; empty where there is none."""
    lines = [line for line in report.sessions if line.kept]
    turns = sum(line.kept for line in lines)
    told = (
        f"Kept: {count_of(turns, 'turn')} of {count_of(len(lines), 'session')}"
        " that the store has no more."
    )
    return [told] if lines else []


def counted(actions: Counter[str]) -> str:
    """`3 new, 1 grown, 40 unchanged`, without the actions that no session met."""
    told = [f"{actions[name]} {name}" for name in ACTIONS if actions[name]]
    return ", ".join(told) or "no sessions"


def run_summary(report: RunReport, width: int) -> str:
    """What a run did: sessions, drawers a wing, index, time, log."""
    lines = [] if report.error is None or report.wings else [_nothing_filed(report)]
    lines.append(f"Sessions: {counted(report.actions)}.")
    if report.wings:
        wing_width = min(30, max(4, *(cell_len(wing.wing) for wing in report.wings)))
        lines.append(
            f"{fit('WING', wing_width)} {'SESSIONS':>8} {'PAGES':>6} {'DRAWERS':>8} RESULT"
        )
        for wing in report.wings:
            drawers = "?" if wing.drawers is None else str(wing.drawers)
            row = f"{fit(wing.wing, wing_width)} {wing.sessions:8} {wing.pages:6} {drawers:>8} "
            lines.append(row + fit(wing.result, max(10, width - len(row))).rstrip())
    if report.withdrawn:
        lines.append(f"Withdrawn: {_undone(report)}.")
    lines += _kept(report)
    if report.drawers_after is not None:
        filed = report.filed or 0
        lines.append(f"Drawers: {filed} filed, {report.drawers_after} in the palace.")
    for repair in report.repairs:
        was = report.index_before.detail if report.index_before else "damaged"
        lines += [f"Index was damaged: {was}. Repaired:", *map(_step, repair.plan.steps())]
        lines += map(_step, repair.restart_lines())
    if report.index_after:
        lines.append(f"Index: {report.index_after.status.replace('_', ' ')}.")
    if report.pruned:
        size = in_bytes(sum(folder.size for folder in report.pruned))
        folders = count_of(len(report.pruned), "replaced index folder")
        lines.append(f"Removed: {folders}, {size}.")
    spent = ", ".join(f"{stage} {took:.1f} s" for stage, took in report.seconds.items())
    if spent:
        lines.append(f"Time: {spent}.")
    if report.drawers_before == 0 and report.filed:  # somebody's first run
        lines.append('Ask what was said: mempalace-toolkit search "what did we decide"')
    if report.log:
        lines.append(f"Log: {report.log}")
    return "\n".join(lines)


def _nothing_filed(report: RunReport) -> str:
    """What a run that failed before it filed anything says first."""
    waiting = sum(report.actions[name] for name in ("new", "grown", "rewritten"))
    if not waiting:
        return "Nothing was filed."
    new = f"What is new in {count_of(waiting, 'session')}"
    return f"Nothing was filed. {new} is kept for the next run."


def _step(line: str) -> str:
    return f"  {line}"


def finding_lines(report: RunReport) -> list[str]:
    """The findings, the first of them one by one."""
    told = [
        f"{finding.message} ({', '.join(filter(None, (finding.kind, finding.session)))})"
        for finding in report.findings[:MOST_FINDINGS]
    ]
    if len(report.findings) > MOST_FINDINGS:
        told.append(f"and {len(report.findings) - MOST_FINDINGS} more; --json lists them all")
    return told


def table_width() -> int:
    """The cells that a table may fill: the terminal's; in a pipe or a file nothing is cut."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS"):
        return shutil.get_terminal_size().columns
    return 10_000


def local_time(milliseconds: int) -> str:
    """`2026-11-21 03:04` where the reader is."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000).strftime("%Y-%m-%d %H:%M")
    except (OverflowError, ValueError, OSError):
        return "?"


def fit(text: str, width: int) -> str:
    """`text` on one line in exactly `width` terminal cells, cut with an ellipsis."""
    if text.isascii() and text.isprintable():
        return text.ljust(width) if len(text) <= width else text[: width - 1] + "…"
    shown = text
    if not text.isprintable():
        shown = "".join(c if c.isprintable() or c == _JOINER else " " for c in text)
    if cell_len(shown) <= width:
        return set_cell_size(shown, width)
    return set_cell_size(set_cell_size(shown, width - 1).rstrip() + "…", width)
