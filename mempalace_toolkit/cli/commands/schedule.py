"""`mempalace-toolkit schedule`: install, remove, status, show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mempalace_toolkit.cli.context.help_pages import HelpfulCommand, HelpfulGroup
from mempalace_toolkit.cli.context.palace_options import AsJson
from mempalace_toolkit.cli.context.schedule_options import ScheduleOptions
from mempalace_toolkit.cli.output.boundary import end_with, print_answer, tell
from mempalace_toolkit.errors import ConfigurationError, ExitCode, error_status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mempalace_toolkit.cli.context.schedule_context import Places
    from mempalace_toolkit.schedule.job import JobSetting
    from mempalace_toolkit.schedule.steps import Plan

NAME = "mempalace-toolkit schedule"
DEVBOX = "opencode-devbox"
DEFAULT_JOBS = ("session", "pi-session")


class _WithDevbox(HelpfulCommand):
    """A command whose `--devbox` may stand without a name: before an option, a job, or the end."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        from mempalace_toolkit.schedule.job import stems

        named = []
        for place, word in enumerate(args, 1):
            following = args[place] if place < len(args) else "-"
            bare = word == "--devbox" and (following.startswith("-") or following in stems())
            named.append(f"{word}={DEVBOX}" if bare else word)
        return super().parse_args(ctx, named)


schedule_app = typer.Typer(
    cls=HelpfulGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Run the jobs unattended: systemd, launchd or cron.",
)

Jobs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[JOB...]",
        help="session, pi-session, session-daily, pi-session-daily, repair.",
        show_default=False,
    ),
]
SchedulerName = Annotated[
    str,
    typer.Option(
        "--scheduler",
        metavar="auto|systemd|launchd|cron",
        help="Scheduler to use (auto: the one that is there).",
    ),
]
At = Annotated[
    str | None,
    typer.Option("--at", metavar="WHEN", help='"Mon 03:00", "Mon,Thu 03:00", "daily 03:00".'),
]
Devbox = Annotated[
    str | None,
    typer.Option(
        "--devbox",
        metavar="[NAME]",
        help=f"Run the job in this container (without a name: {DEVBOX}).",
    ),
]
ContainerUser = Annotated[
    str, typer.Option("--container-user", metavar="USER", help="User in the container.")
]
Engine = Annotated[str, typer.Option("--engine", metavar="docker|podman", help="Container engine.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite files that were changed by hand.")]
Adopt = Annotated[
    bool,
    typer.Option("--adopt", help="Replace jobs that another recipe installed; keep their times."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the steps; change nothing.")]


@schedule_app.command("install", cls=_WithDevbox)
def install(
    jobs: Jobs = None,
    scheduler: SchedulerName = "auto",
    at: At = None,
    devbox: Devbox = None,
    container_user: ContainerUser = "",
    engine: Engine = "docker",
    force: Force = False,
    adopt: Adopt = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Install jobs (session and pi-session), or bring them up to date."""
    names = tuple(jobs or ())
    wish = ScheduleOptions(names, scheduler, at, devbox, container_user, engine, force, adopt)

    def work() -> int:
        from mempalace_toolkit.cli.context.schedule_context import Places
        from mempalace_toolkit.schedule.steps import apply

        places = Places.of_process()
        name, module = places.scheduler(wish.scheduler)
        places.here.configuration()  # a job that could not run is not installed
        settings = places.settings(wish, DEFAULT_JOBS, module)
        # All of them first: what cannot be done is known before anything is.
        plans = [places.plan_install(module, one, wish) for one in settings]
        if not dry_run:
            for setting in settings:
                apply(places.plan_install(module, setting, wish), places.account)
        told = [
            {**_told(plan, places.next_runs(setting.when)), "when": str(setting.when)}
            for plan, setting in zip(plans, settings, strict=True)
        ]
        warnings = places.warnings(name, settings, wish)
        _answer("install", told, dry_run, as_json, warnings=warnings)
        for warning in warnings:
            tell(warning)
        return ExitCode.OK

    raise typer.Exit(end_with(f"{NAME} install", as_json, 0, work))


@schedule_app.command("remove", cls=_WithDevbox)
def remove(
    jobs: Jobs = None,
    scheduler: SchedulerName = "auto",
    devbox: Devbox = None,
    force: Force = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Remove jobs (all of them) and everything that installing them made."""
    wish = ScheduleOptions(tuple(jobs or ()), scheduler, devbox=devbox, force=force)

    def work() -> int:
        from mempalace_toolkit.cli.context.schedule_context import Places
        from mempalace_toolkit.schedule.steps import apply

        places = Places.of_process()
        told = []
        planned = [
            (module, stem, module.plan_remove(stem, places.account, wish.force))
            for module in places.all_schedulers(wish.scheduler).values()
            for stem in places.stems(wish)
        ]
        for module, stem, plan in planned:
            if plan.steps:
                told.append(_told(plan, ()))
            if plan.steps and not dry_run:
                apply(module.plan_remove(stem, places.account, wish.force), places.account)
        _answer("remove", told, dry_run, as_json)
        return ExitCode.OK

    raise typer.Exit(end_with(f"{NAME} remove", as_json, 0, work))


@schedule_app.command("show", cls=_WithDevbox)
def show(
    jobs: Jobs = None,
    scheduler: SchedulerName = "auto",
    at: At = None,
    devbox: Devbox = None,
    container_user: ContainerUser = "",
    engine: Engine = "docker",
    as_json: AsJson = False,
) -> None:
    """Print exactly what installing would write, and the next three run times."""
    wish = ScheduleOptions(tuple(jobs or ()), scheduler, at, devbox, container_user, engine)

    def work() -> int:
        from mempalace_toolkit.cli.context.schedule_context import Places
        from mempalace_toolkit.cli.output.schedule_text import shown_job

        places = Places.of_process()
        _, module = places.scheduler(wish.scheduler)
        rendered = [
            (one, module.render(one, places.account), places.next_runs(one.when))
            for one in places.settings(wish, DEFAULT_JOBS)
        ]
        if as_json:
            told = [_as_json(*one) for one in rendered]
            print_answer(f"{NAME} show", "ok", {"jobs": told})
        else:
            print("\n".join(shown_job(*one) for one in rendered))
        return ExitCode.OK

    raise typer.Exit(end_with(f"{NAME} show", as_json, 0, work))


@schedule_app.command("status", cls=_WithDevbox)
def status(
    jobs: Jobs = None,
    scheduler: SchedulerName = "auto",
    devbox: Devbox = None,
    as_json: AsJson = False,
) -> None:
    """Say what is installed, when it ran and runs, and what is wrong. Exits 65 on a problem."""
    wish = ScheduleOptions(tuple(jobs or ()), scheduler, devbox=devbox)

    def work() -> int:
        from mempalace_toolkit.cli.context.schedule_context import Places
        from mempalace_toolkit.cli.output.schedule_text import status_json, status_text

        places = Places.of_process()
        overview = places.overview(wish)
        broken = _broken_configuration(places)
        if as_json:
            verdict = "problems" if overview.has_problems else "ok"
            verdict = error_status(broken) if broken else verdict
            print_answer(f"{NAME} status", verdict, status_json(overview), error=broken)
        else:
            print(status_text(overview))
        if broken:
            tell(f"{NAME} status: no job can run: {broken.message}")
            tell(f"  {broken.hint}")
            return broken.exit_code
        return ExitCode.DAMAGED if overview.has_problems else ExitCode.OK

    raise typer.Exit(end_with(f"{NAME} status", as_json, 0, work))


def _broken_configuration(places: Places) -> ConfigurationError | None:
    """Why the configuration cannot be used; None where it can."""
    try:
        places.here.configuration()
    except ConfigurationError as error:
        return error
    return None


def _told(plan: Plan, next_runs: Sequence[int]) -> dict[str, Any]:
    return {
        "job": plan.job,
        "scheduler": plan.scheduler,
        "steps": plan.lines(),
        "next_runs_ms": list(next_runs),
    }


def _as_json(
    setting: JobSetting, files: dict[Any, bytes], next_runs: Sequence[int]
) -> dict[str, object]:
    texts = {str(path): content.decode() for path, content in files.items()}
    when = str(setting.when)
    return {"job": setting.stem, "when": when, "next_runs_ms": list(next_runs), "files": texts}


def _answer(
    command: str, told: list[dict[str, Any]], dry_run: bool, as_json: bool, **more: object
) -> None:
    from mempalace_toolkit.cli.output.schedule_text import done_text

    if as_json:
        verdict = "ok" if any(one["steps"] for one in told) else "noop"
        print_answer(f"{NAME} {command}", verdict, {"jobs": told, **more}, dry_run=dry_run)
    else:
        lines: Iterable[str] = [done_text(command, one, dry_run) for one in told]
        print("\n".join(lines) or "Nothing is installed.")
