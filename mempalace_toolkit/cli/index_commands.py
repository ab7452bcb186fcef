"""`mempalace-toolkit check`, `repair` and `quarantine`: the palace's index, by hand."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mempalace_toolkit.cli.boundary import end_with, print_json, tell
from mempalace_toolkit.cli.session_command import named
from mempalace_toolkit.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from mempalace_toolkit.cli.environment import Surroundings
    from mempalace_toolkit.palace.embedding import Embed
    from mempalace_toolkit.palace.index import IndexReport
    from mempalace_toolkit.palace.location import PalaceLocation
    from mempalace_toolkit.palace.quarantine import Quarantined
    from mempalace_toolkit.pipeline import RunRequest

NAME = "mempalace-toolkit"
MOST_FINDINGS = 20
BUDGET_GIGABYTES = 2.0

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
Palace = Annotated[
    Path | None,
    typer.Option(metavar="DIR", parser=named, help="Another palace than MemPalace's."),
]
Wait = Annotated[
    float, typer.Option(metavar="SECONDS", min=0, help="How long to wait for a busy palace.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan; write nothing.")]

quarantine_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Index folders that were set aside.",
)


def check(
    palace: Palace = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also embed a sample of drawers and compare.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Prove that the palace's index is sound. Reads only. Exits 65 on damage."""

    def work() -> int:
        from mempalace_toolkit.palace.deep import DeepCheck
        from mempalace_toolkit.palace.index import check_index

        request = _request(palace, f"{NAME} check")
        embed = _embedder(request) if deep else None
        report = check_index(request.palace, DeepCheck(embed) if embed else None)
        if as_json:
            print_json({**_head("check", report), **report.as_json(), "error": None})
        else:
            _show(report, request.palace)
        return ExitCode.DAMAGED if report.status == "damaged" else ExitCode.OK

    raise typer.Exit(end_with(f"{NAME} check", as_json, 0, work))


def repair(
    palace: Palace = None,
    dry_run: DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    wait: Wait = 60.0,
    as_json: AsJson = False,
) -> None:
    """Repair the palace's index from the vectors that it still holds."""

    def work() -> int:
        request = _request(palace, f"{NAME} repair")
        return _repair(request, (dry_run, yes, as_json), wait)

    raise typer.Exit(end_with(f"{NAME} repair", as_json, 0, work))


def _repair(request: RunRequest, choices: tuple[bool, bool, bool], wait: float) -> int:
    from mempalace_toolkit.cli.progress import progress_for
    from mempalace_toolkit.palace.index import check_index
    from mempalace_toolkit.palace.lock import palace_lock
    from mempalace_toolkit.palace.plan import plan_repair
    from mempalace_toolkit.palace.repair import repair_palace
    from mempalace_toolkit.pipeline import repair_setting

    dry_run, yes, as_json = choices
    report = check_index(request.palace)
    plan = plan_repair(request.palace, report.findings)
    if not as_json:
        _show(report, request.palace)
        print("\n".join(f"  {line}" for line in plan.steps()))
    if dry_run or plan.grade in ("nothing", "refuse"):
        if as_json:
            print_json({**_head("repair", report), "plan": plan.as_json(), "repair": None})
        return ExitCode.DAMAGED if report.status == "damaged" and not dry_run else ExitCode.OK
    if not yes and sys.stdin.isatty() and not typer.confirm("Repair it?", err=True):
        tell("nothing was changed")
        return ExitCode.DAMAGED
    with (
        palace_lock(request.palace.path, request.home, wait, request.command),
        progress_for(as_json) as progress,
    ):
        result = repair_palace(request.palace, plan, repair_setting(request, progress))
    if as_json:
        after = check_index(request.palace)
        print_json({**_head("repair", after), "repair": result.as_json(), "error": None})
    else:
        for one in result.collections:
            print(f"  {one.proof.line()}; {one.embedded:,} embedded again, {one.seconds:.1f} s")
        print("The index is sound." if result.sound else "The index is still damaged.")
    return ExitCode.OK if result.sound else ExitCode.DAMAGED


@quarantine_app.command("list")
def quarantine_list(palace: Palace = None, as_json: AsJson = False) -> None:
    """Show what was set aside, when, why and how large it is."""

    def work() -> int:
        from mempalace_toolkit.palace.quarantine import list_quarantined

        found = list_quarantined(_request(palace, NAME).palace.path)
        if as_json:
            head = {"version": 1, "command": f"{NAME} quarantine list", "status": "ok"}
            print_json({**head, "quarantined": [_as_json(one) for one in found]})
        else:
            print("\n".join(map(_line, found)) or "Nothing was set aside.")
        return ExitCode.OK

    raise typer.Exit(end_with(f"{NAME} quarantine list", as_json, 0, work))


@quarantine_app.command("restore")
def quarantine_restore(
    name: Annotated[str, typer.Argument(help="A name that `quarantine list` shows.")],
    palace: Palace = None,
    dry_run: DryRun = False,
    wait: Wait = 60.0,
) -> None:
    """Give a folder that was set aside its own name back; a second call undoes the first."""

    def work() -> int:
        from mempalace_toolkit.palace.lock import palace_lock
        from mempalace_toolkit.palace.quarantine import list_quarantined, restore

        request = _request(palace, f"{NAME} quarantine restore")
        known = {one.folder.name for one in list_quarantined(request.palace.path)}
        if name not in known:
            raise UsageError(f"{name} was not set aside here", f"see `{NAME} quarantine list`")
        if dry_run:
            print(f"Would give {name} its own name back.")
            return ExitCode.OK
        with palace_lock(request.palace.path, request.home, wait, request.command):
            print(f"It is {restore(request.palace.path, name)} now. Check it: {NAME} check")
        return ExitCode.OK

    raise typer.Exit(end_with(f"{NAME} quarantine restore", False, 0, work))


@quarantine_app.command("prune")
def quarantine_prune(
    palace: Palace = None,
    budget: Annotated[
        float, typer.Option(metavar="GB", min=0, help="How much may stay.")
    ] = BUDGET_GIGABYTES,
    dry_run: DryRun = False,
    wait: Wait = 60.0,
) -> None:
    """Remove the oldest folders beyond a budget; never the only copy of a vector."""

    def work() -> int:
        from mempalace_toolkit.palace.index import check_index
        from mempalace_toolkit.palace.lock import palace_lock
        from mempalace_toolkit.palace.plan import needed_folders
        from mempalace_toolkit.palace.quarantine import list_quarantined, plan_prune

        request = _request(palace, f"{NAME} quarantine prune")
        place = request.palace
        if check_index(place).status == "damaged":
            raise UsageError("the index is damaged: nothing is removed", f"{NAME} repair first")
        with palace_lock(place.path, request.home, wait, request.command):
            found = list_quarantined(place.path)
            plan = plan_prune(found, needed_folders(place), int(budget * 1e9))
            for one in plan.remove:
                print(("Would remove " if dry_run else "Removed ") + _line(one))
                if not dry_run:
                    shutil.rmtree(one.folder)
        print(f"{len(found) - len(plan.remove)} kept, {len(plan.needed)} of them needed.")
        return ExitCode.OK

    raise typer.Exit(end_with(f"{NAME} quarantine prune", False, 0, work))


def _request(palace: Path | None, command: str) -> RunRequest:
    from mempalace_toolkit.cli.environment import Surroundings
    from mempalace_toolkit.model.ensure import ModelRequest
    from mempalace_toolkit.model.location import model_folder
    from mempalace_toolkit.pipeline import RunRequest

    here: Surroundings = Surroundings.of_process()
    return RunRequest(
        command=command,
        agent="opencode",
        palace=here.palace(palace, here.configuration()),
        data=here.data,
        home=here.home,
        model=ModelRequest(cache=model_folder(here.home)),
        environment=here.environment,
        now_ms=here.now_ms,
        stamp=here.stamp,
    )


def _embedder(request: RunRequest) -> Embed:
    from mempalace_toolkit.cli.progress import Quiet
    from mempalace_toolkit.pipeline import repair_setting

    embed = repair_setting(request, Quiet()).embed
    if embed is None:
        raise UsageError(
            f"the model {request.palace.embedding_model} is not known here",
            "leave out --deep",
        )
    return embed


def _head(command: str, report: IndexReport) -> dict[str, object]:
    status = "damaged" if report.status == "damaged" else "ok"
    return {"version": 1, "command": f"{NAME} {command}", "status": status}


def _show(report: IndexReport, palace: PalaceLocation) -> None:
    print(f"{palace.path}: {report.status.replace('_', ' ')}: {report.detail}.")
    for finding in report.findings[:MOST_FINDINGS]:
        where = finding.collection or finding.segment
        print(f"  {finding.kind}{f' in {where}' if where else ''}: {finding.message}")
    if len(report.findings) > MOST_FINDINGS:
        print(f"  and {len(report.findings) - MOST_FINDINGS} more; --json lists them all")


def _line(one: Quarantined) -> str:
    return f"{one.folder.name}  {one.size / 1e6:,.1f} MB"


def _as_json(one: Quarantined) -> dict[str, object]:
    told = {name: getattr(one, name) for name in ("segment", "reason", "stamp", "size")}
    return {"name": one.folder.name, **told}


__all__: Sequence[str] = ("check", "quarantine_app", "repair")
