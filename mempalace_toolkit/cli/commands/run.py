"""The whole job as a command: the options that `mempalace-session` and its pi twin share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mempalace_toolkit import __version__
from mempalace_toolkit.cli.context.completion import is_asked_for
from mempalace_toolkit.cli.context.interruption import limited_to
from mempalace_toolkit.cli.context.known import remember
from mempalace_toolkit.cli.context.numbers import whole_number
from mempalace_toolkit.cli.context.palace_options import AsJson, Palace, Wait, named
from mempalace_toolkit.cli.context.session_choices import (
    AgentCommand,
    Choices,
    repair_choice,
    request_of,
)
from mempalace_toolkit.cli.context.untyped_values import QuickCommand
from mempalace_toolkit.cli.output.boundary import end_with, run_app
from mempalace_toolkit.cli.output.run_answer import tell_nothing_to_do, tell_report
from mempalace_toolkit.errors import StoreUnreadableError, UsageError

if TYPE_CHECKING:
    from mempalace_toolkit.cli.context.environment import Surroundings
    from mempalace_toolkit.pipeline import RunRequest
    from mempalace_toolkit.report.values import RunReport
    from mempalace_toolkit.sessions.model import Store


LONGEST_LIMIT = 10_000_000
"""Seconds of a time limit: some 115 days, which every timer takes."""


def run_command(agent_command: Callable[[], AgentCommand], name: str, about: str) -> None:
    """Parse the command line of this process, do the job, exit."""
    app = typer.Typer(
        add_completion=is_asked_for(name), pretty_exceptions_enable=False, rich_markup_mode=None
    )

    help_options = {"help_option_names": ["-h", "--help"]}

    @app.command(name, help=about, context_settings=help_options, cls=QuickCommand)
    def job(
        dry_run: Annotated[
            bool,
            typer.Option(
                "--dry-run", help="Show what a run would do, and what would stop it; write nothing."
            ),
        ] = False,
        as_json: AsJson = False,
        summary: Annotated[
            bool,
            typer.Option(
                "--summary", help="With --json: all counts, but only the first lines of lists."
            ),
        ] = False,
        progress: Annotated[
            bool, typer.Option("--progress", help="With --json: progress on stderr, as JSON lines.")
        ] = False,
        palace: Palace = None,
        store: Annotated[
            Path | None,
            typer.Option(
                metavar="PATH",
                parser=named,
                help="Session store to read instead of the agent's own.",
            ),
        ] = None,
        wing: Annotated[
            str | None, typer.Option(metavar="NAME", help="File everything into this wing.")
        ] = None,
        since: Annotated[
            str | None,
            typer.Option(
                metavar="DATE", help="Take sessions active since then: 2026-11-01, 7d, 12h."
            ),
        ] = None,
        limit: Annotated[
            int | None,
            typer.Option(
                metavar="N",
                parser=whole_number(1),
                help="Take the N newest sessions that have something new.",
            ),
        ] = None,
        session: Annotated[
            str | None, typer.Option(metavar="ID", help="Take only this session.")
        ] = None,
        include_subagents: Annotated[
            bool,
            typer.Option(
                "--include-subagents", help="Also take the sessions of sub-agents, with a label."
            ),
        ] = False,
        repair: Annotated[
            str,
            typer.Option(
                metavar="auto|always|never", help="When to repair the index of a damaged palace."
            ),
        ] = "auto",
        no_repair: Annotated[
            bool, typer.Option("--no-repair", help="The same as --repair never.")
        ] = False,
        wait: Wait = None,
        time_limit: Annotated[
            int,
            typer.Option(
                metavar="SECONDS",
                parser=whole_number(0, LONGEST_LIMIT),
                show_default=False,
                help="Stop the run after this time, with exit code 70 (default: never).",
            ),
        ] = 0,
        verbose: Annotated[
            int,
            typer.Option(
                "-v", "--verbose", count=True, show_default=False, help="Show more messages."
            ),
        ] = 0,
        quiet: Annotated[
            bool, typer.Option("-q", "--quiet", help="Show no report and no progress; errors only.")
        ] = False,
        version: Annotated[bool, typer.Option("--version", "-V", help="Show the version.")] = False,
    ) -> None:
        if version:
            print(f"{name} {__version__}")
            return
        choices = Choices(
            dry_run=dry_run,
            as_json=as_json,
            summary=summary,
            progress=progress,
            palace=palace,
            store=store,
            wing=wing,
            since=since,
            limit=limit,
            session=session,
            include_subagents=include_subagents,
            repair="never" if no_repair else repair,
            wait=wait,
            time_limit=time_limit,
            verbose=verbose,
            quiet=quiet,
        )
        work = _work(agent_command, choices)
        raise typer.Exit(end_with(name, as_json, verbose, work))

    run_app(name, app)


def _work(agent_command: Callable[[], AgentCommand], choices: Choices) -> Callable[[], int]:
    def work() -> int:
        from mempalace_toolkit.cli.context.environment import Surroundings

        repair_choice(choices.repair)
        surroundings = Surroundings.of_process()
        return _take(agent_command(), choices, surroundings)

    return work


def _take(command: AgentCommand, choices: Choices, surroundings: Surroundings) -> int:
    """Do the job, or survey it; the exit status. A scheduled run is noted even without a store."""
    from mempalace_toolkit.cli.output.run_history import Outcome, is_scheduled, with_history

    places = [choices.store] if choices.store else command.locate(surroundings)

    def work(outcome: Outcome) -> int:
        if not places:
            return tell_nothing_to_do(command, choices, surroundings)
        with limited_to(choices.time_limit):
            report = _reported(command, places, choices, surroundings)
        outcome.take(report)
        return tell_report(report, choices)

    if choices.dry_run or not (places or is_scheduled(surroundings)):
        return work(Outcome())
    return with_history(surroundings, command.name, work)


def _reported(
    command: AgentCommand, places: Sequence[Path], choices: Choices, surroundings: Surroundings
) -> RunReport:
    """Open the store and run or survey."""
    request = request_of(command, choices, surroundings)
    remember(palace=str(request.target.palace.path))
    with closing(command.open_store(places)) as store:
        report = _survey_or_run(store, request, choices, surroundings)
    if choices.session and not report.sessions and report.error is None:
        from mempalace_toolkit.sessions.model import is_meant

        unread = [one for one in report.findings if is_meant(one.session, choices.session)]
        if not unread:
            raise UsageError(
                f"no session {choices.session!r} in {', '.join(report.stores)}",
                "--dry-run --json lists the ids",
            )
        report.error = StoreUnreadableError(unread[0].message, "see the findings")
    return report


def _survey_or_run(
    store: Store, request: RunRequest, choices: Choices, surroundings: Surroundings
) -> RunReport:
    from mempalace_toolkit import pipeline
    from mempalace_toolkit.cli.output.progress import echoed, progress_for
    from mempalace_toolkit.history.pace import seconds_a_drawer
    from mempalace_toolkit.history.runs import read_history
    from mempalace_toolkit.log import open_log, settle_log

    if choices.dry_run:
        return pipeline.survey(store, request, seconds_a_drawer(read_history(surroundings.state)))
    moment = datetime.fromtimestamp(surroundings.now_ms / 1000, UTC)
    name = f"{moment:%Y%m%dT%H%M%S}-{request.target.command}.log"
    path, log = open_log(surroundings.state / "logs", name)
    remember(log=str(path))
    shown = echoed(log) if choices.verbose else log
    quiet = choices.quiet or choices.as_json or choices.verbose > 0
    try:
        with log, progress_for(quiet, as_lines=choices.as_json and choices.progress) as progress:
            report = pipeline.run(store, request, progress, shown)
    finally:
        stays = settle_log(path)
        remember(log=str(path) if stays else "")
    report.log = str(path) if stays else ""
    return report
