"""What one run of a job answers: its report as text or JSON, or where it looked for a store."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mempalace_toolkit.cli.context.session_choices import (
    AgentCommand,
    Choices,
)
from mempalace_toolkit.cli.output.boundary import print_answer, tell
from mempalace_toolkit.errors import ExitCode

if TYPE_CHECKING:
    from mempalace_toolkit.cli.context.environment import Surroundings
    from mempalace_toolkit.report.values import RunReport, SessionLine

FEW_LINES = 10
"""So many sessions, wings and findings are listed with `--summary`."""


def tell_nothing_to_do(command: AgentCommand, choices: Choices, surroundings: Surroundings) -> int:
    """Say where a store was looked for, and what may hold its sessions; the exit status."""
    from mempalace_toolkit.report.values import RunReport

    searched = [str(place) for place in command.searched(surroundings)]
    copies = list(command.left_copies(surroundings))
    if choices.as_json:
        palace = surroundings.palace(choices.palace, surroundings.configuration())
        report = RunReport(command.name, str(palace.path), searched=searched, findings=copies)
        _print_report(report, [], choices)
    elif not choices.quiet:
        print(f"Nothing to do: no {command.agent} sessions on this machine. Looked at:")
        print("\n".join(f"  {place}" for place in searched))
        for finding in copies:
            tell(f"{finding.kind}: {finding.message}")
    return ExitCode.OK


def _print_report(report: RunReport, listed: Sequence[SessionLine], choices: Choices) -> None:
    own = report.as_json(listed, FEW_LINES if choices.summary else None)
    palace, error, log = report.palace, report.error, report.log
    print_answer(report.command, report.status, own, palace=palace, error=error, log=log)


def tell_report(report: RunReport, choices: Choices) -> int:
    """Show the report as text, or print it as JSON; the exit status."""
    from mempalace_toolkit.cli.output import text
    from mempalace_toolkit.cli.output.outlook_text import outlook_lines

    if choices.as_json:
        listed = report.sessions
        if not choices.dry_run:
            listed = [line for line in listed if line.action not in ("unchanged", "skipped")]
        _print_report(report, listed, choices)
    else:
        width = shutil.get_terminal_size().columns
        if not choices.quiet and (told := text.none_chosen(report, choices.since, choices.limit)):
            print(told)
        if choices.dry_run:
            print(text.session_table(report.sessions, text.table_width()))
            print("\n".join(outlook_lines(report, width)))
            print(text.dry_run_summary(report))
        elif not choices.quiet:
            print(text.run_summary(report, text.table_width()))
    if report.error:
        tell(f"{report.command}: {report.error.message}")
        tell(f"  {report.error.hint}")
    if not choices.quiet:
        for line in text.finding_lines(report):
            tell(line)
    sys.stdout.flush()
    return report.exit_code
