"""`mempalace-toolkit quarantine list`, `restore` and `prune`: index folders that were set aside."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mempalace_toolkit.amounts import count_of
from mempalace_toolkit.cli.context.help_pages import HelpfulCommand, HelpfulGroup
from mempalace_toolkit.cli.context.numbers import amount
from mempalace_toolkit.cli.context.palace_options import (
    NAME,
    AsJson,
    DryRun,
    Palace,
    Wait,
    Yes,
    index_request,
    with_budget,
)
from mempalace_toolkit.cli.output.boundary import agreed, end_with, print_answer, tell
from mempalace_toolkit.errors import (
    ConsentError,
    ExitCode,
    ToolkitError,
)
from mempalace_toolkit.files.sizes import in_bytes

if TYPE_CHECKING:
    from mempalace_toolkit.index.quarantine.folders import Quarantined
    from mempalace_toolkit.index.repair.pruning import PrunePlan
    from mempalace_toolkit.pipeline import PalaceRequest

COMMAND = f"{NAME} quarantine"
MOST_KINDS = 3

quarantine_app = typer.Typer(
    cls=HelpfulGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Index folders that were set aside.",
)


@quarantine_app.command("list", cls=HelpfulCommand)
def quarantine_list(palace: Palace = None, as_json: AsJson = False) -> None:
    """Show what was set aside, when and why, how large it is, and whether it is needed."""

    def work() -> int:
        from mempalace_toolkit.index.quarantine.folders import list_quarantined

        request = index_request(palace, f"{COMMAND} list")
        found = list_quarantined(request.palace.path)
        needed = _needed(request) if found else frozenset()
        if as_json:
            told = [_as_json(one, needed, request.now_ms) for one in found]
            _print_answer("list", "ok", {"quarantined": told})
        else:
            lines = (_lines(one, needed, request.now_ms) for one in found)
            print("\n".join(lines) or "Nothing was set aside.")
        return ExitCode.OK

    raise typer.Exit(end_with(f"{COMMAND} list", as_json, 0, work))


@quarantine_app.command("restore", cls=HelpfulCommand)
def quarantine_restore(
    name: Annotated[str, typer.Argument(help="A name that `quarantine list` shows.")],
    palace: Palace = None,
    dry_run: DryRun = False,
    wait: Wait = None,
    as_json: AsJson = False,
) -> None:
    """Give an index that was set aside back to its collection; a second call undoes the first.

    The index that the collection has now is set aside in its place.
    """

    def work() -> int:
        from mempalace_toolkit.index.quarantine.folders import quarantined_path
        from mempalace_toolkit.pipeline.maintenance import restore_now

        request = index_request(palace, f"{COMMAND} restore", wait)
        folder, segment = quarantined_path(request.palace.path, name)
        exchanged = (request.palace.path / segment).exists()
        target = segment if dry_run else restore_now(request, name).name
        if as_json:
            told = {"restored": folder.name, "as": target, "exchanged": exchanged}
            _print_answer("restore", "ok", told)
        elif dry_run:
            print(f"Would give back {folder.name}{_instead(exchanged)}.")
        else:
            print(f"{folder.name}\n  is {target} now{_instead(exchanged)}.")
            print(f"Check it: {NAME} check. A second restore undoes this one.")
        return ExitCode.OK

    raise typer.Exit(end_with(f"{COMMAND} restore", as_json, 0, work))


def _instead(exchanged: bool) -> str:
    return ",\n  and the present index is set aside in its place" if exchanged else ""


@quarantine_app.command("prune", cls=HelpfulCommand)
def quarantine_prune(
    palace: Palace = None,
    budget: Annotated[
        float | None,
        typer.Option(
            metavar="GB",
            parser=amount,
            help="Keep at most this much (default: quarantine_gigabytes of the configuration).",
        ),
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    wait: Wait = None,
    as_json: AsJson = False,
) -> None:
    """Remove the oldest folders beyond a budget; never the only copy of a vector."""

    def work() -> int:
        from mempalace_toolkit.pipeline.maintenance import plan_prune_now, prune_now

        request = with_budget(index_request(palace, f"{COMMAND} prune", wait), budget)
        if yes and not dry_run:
            return _tell_pruned(request, prune_now(request), True, as_json)
        plan = plan_prune_now(request)
        if dry_run or not plan.remove:
            return _tell_pruned(request, plan, False, as_json)
        answer = _asked(plan, as_json)
        if answer:
            return _tell_pruned(request, prune_now(request, plan.remove), True, as_json)
        command = f"{COMMAND} prune{'' if budget is None else f' --budget {budget:g}'} --yes"
        error = ConsentError(
            "nothing was removed" + ("" if answer is False else ", because it needs consent"),
            f"add --yes to carry out this plan: {command}",
        )
        return _tell_pruned(request, plan, False, as_json, error)

    raise typer.Exit(end_with(f"{COMMAND} prune", as_json, 0, work))


def _asked(plan: PrunePlan, as_json: bool) -> bool | None:
    """Whether a person agrees to the plan, which text shows before it asks."""
    size = in_bytes(sum(one.size for one in plan.remove))
    if not as_json and sys.stdin is not None and sys.stdin.isatty():
        for one in plan.remove:
            tell(f"{one.folder.name}, {in_bytes(one.size)}")
    return agreed(f"Remove {count_of(len(plan.remove), 'folder')}, {size}?")


def _tell_pruned(
    request: PalaceRequest,
    plan: PrunePlan,
    done: bool,
    as_json: bool,
    error: ToolkitError | None = None,
) -> int:
    """Print what was removed or would be; the exit status."""
    if as_json:
        told = {
            "budget": request.quarantine_bytes,
            "pruned": [one.as_json() for one in plan.remove],
            "kept": [one.as_json() for one in plan.kept],
            "needed": [one.folder.name for one in plan.needed],
        }
        _print_answer("prune", "ok" if plan.remove else "noop", told, error)
    else:
        for one in plan.remove:
            verb = "Removed" if done else "Would remove"
            print(f"{verb} {one.folder.name}\n  {in_bytes(one.size)}")
        print(f"{len(plan.kept)} kept, {len(plan.needed)} of them needed.")
    if error:
        tell(f"{COMMAND} prune: {error.message}")
        tell(f"  {error.hint}")
    return error.exit_code if error else ExitCode.OK


def _needed(request: PalaceRequest) -> frozenset[Path] | None:
    """The folders that must stay; None where the database does not tell."""
    from mempalace_toolkit.index.repair.pruning import holders_of_only_copies

    try:
        return holders_of_only_copies(request.palace)
    except ToolkitError:
        return None


def _as_json(one: Quarantined, needed: frozenset[Path] | None, now_ms: int) -> dict[str, object]:
    told = None if needed is None else one.folder in needed
    return {**one.as_json(), "age_seconds": _age(one, now_ms), "needed": told}


def _age(one: Quarantined, now_ms: int) -> int | None:
    moment = one.moment()
    return None if moment is None else int(now_ms / 1000 - moment.timestamp())


def _lines(one: Quarantined, needed: frozenset[Path] | None, now_ms: int) -> str:
    """Two lines for a person: the name, to be copied; age, size, need and reason."""
    about = [age_in_words(_age(one, now_ms)), in_bytes(one.size)]
    if needed is None:
        about.append("needed or not is unknown")
    else:
        about.append("holds an only copy" if one.folder in needed else "not needed")
    return f"{one.folder.name}\n  {', '.join(about)}\n  {_why(one.kinds)}"


def _why(kinds: Sequence[str] | None) -> str:
    if kinds is None:
        return "not replaced by a repair: set aside by MemPalace, or by hand"
    more = f" and {len(kinds) - MOST_KINDS} more" if len(kinds) > MOST_KINDS else ""
    return f"replaced by a repair: {', '.join(kinds[:MOST_KINDS])}{more}"


def age_in_words(seconds: int | None) -> str:
    """`12 min old`, `3 h old`, `40 days old`."""
    if seconds is None or seconds < 0:
        return "of unknown age"
    if seconds < 3600:
        return f"{seconds // 60} min old"
    return f"{seconds // 3600} h old" if seconds < 172_800 else f"{seconds // 86_400} days old"


def _print_answer(
    command: str, status: str, told: dict[str, object], error: ToolkitError | None = None
) -> None:
    print_answer(f"{COMMAND} {command}", status, told, error=error)
