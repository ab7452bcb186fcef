"""`mempalace-toolkit connect`: let an agent search the palace by itself."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mempalace_toolkit.cli.context.palace_options import NAME, AsJson
from mempalace_toolkit.cli.output.boundary import end_with, print_answer
from mempalace_toolkit.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from mempalace_toolkit.cli.context.environment import Surroundings
    from mempalace_toolkit.connect.apply import Change
    from mempalace_toolkit.connect.clients import Client


def connect(
    agents: Annotated[
        list[str] | None,
        typer.Argument(metavar="[AGENT...]", help="opencode, pi, claude-code, codex."),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Write it, and keep a copy of each file changed.")
    ] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Take out what --write put in.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let an agent search the palace: show, write or remove its MCP entry and its skill.

    Without AGENT: every agent that this user has. Without --write nothing is changed.
    """

    def work() -> int:
        from mempalace_toolkit.cli.context.environment import Surroundings

        here = Surroundings.of_process()
        chosen = _chosen(here, agents or [])
        if write and remove:
            raise UsageError("--write and --remove exclude each other", "choose one")
        answers = [_one(here, client, write=write, remove=remove) for client in chosen]
        if as_json:
            changed = any(answer["changed"] for answer in answers)
            shown_only = not (write or remove)
            status = "ok" if changed else "noop"
            print_answer(f"{NAME} connect", status, {"agents": answers}, dry_run=shown_only)
        else:
            print("\n\n".join(str(answer.pop("text")) for answer in answers) or _NO_AGENT)
        return ExitCode.OK

    raise typer.Exit(end_with(f"{NAME} connect", as_json, 0, work))


_NO_AGENT = "No agent was found. Name one: mempalace-toolkit connect opencode"


def _chosen(here: Surroundings, names: Sequence[str]) -> list[Client]:
    from mempalace_toolkit.connect.clients import clients

    known = clients(here.home, here.environment)
    for name in names:
        if name not in known:
            raise UsageError(f"{name!r} is not a known agent", f"known: {', '.join(known)}")
    return [known[n] for n in names] or [client for client in known.values() if client.installed]


def _one(here: Surroundings, client: Client, *, write: bool, remove: bool) -> dict[str, object]:
    from mempalace_toolkit.connect.apply import apply, plan_connection, plan_removal

    command = _server_command(here)
    changes = (
        plan_removal(client, command) if remove else plan_connection(client, command, _skill())
    )
    needed = [change for change in changes if change.needed]
    backups: list[Path] = []
    if write or remove:
        backups = apply(changes, here.stamp)
    done = bool(needed) and (write or remove)
    return {
        "agent": client.name,
        "connected": not needed if not remove else False,
        "changed": done,
        "files": [str(change.path) for change in needed],
        "backups": [str(path) for path in backups],
        "text": _as_text(client, command, needed, backups, done=done, remove=remove),
    }


def _as_text(
    client: Client,
    command: list[str],
    needed: Sequence[Change],
    backups: Sequence[Path],
    *,
    done: bool,
    remove: bool,
) -> str:
    from mempalace_toolkit.connect.clients import server_entry
    from mempalace_toolkit.connect.settings import shown_entry

    if not needed:
        return f"{client.name}: {'not connected' if remove else 'connected'}; nothing to do."
    if done:
        files = "\n".join(f"  {change.path}" for change in needed)
        kept = "".join(f"\n  the file as it was: {path}" for path in backups)
        verb = "disconnected, changed" if remove else "connected, wrote"
        return f"{client.name}: {verb}\n{files}{kept}\n  Restart {client.name} to have it seen."
    lines = [f"{client.name}: not connected. To connect it: {NAME} connect {client.name} --write"]
    for change in needed:
        if change.path == client.settings:
            entry = shown_entry(client, server_entry(client, command))
            indented = "\n".join(f"    {line}" for line in entry.splitlines())
            lines.append(f"  {change.path} would get:\n{indented}")
        else:
            lines.append(f"  {change.path} would be written (a skill for the agent).")
    return "\n".join(lines)


def _server_command(here: Surroundings) -> list[str]:
    """The MCP server of the MemPalace that the toolkit brings, on the toolkit's palace."""
    beside = Path(sys.argv[0]).absolute().with_name("mempalace-mcp")
    program = beside if beside.exists() else Path(sys.executable).with_name("mempalace-mcp")
    configured = here.configuration().palace
    palace = ["--palace", str(Path(configured).expanduser())] if configured else []
    return [str(program), *palace]


def _skill() -> str:
    """SKILL.md, from the package or, in a checkout, from beside it."""
    package = resources.files("mempalace_toolkit")
    for place in (package / "SKILL.md", package / ".." / "SKILL.md"):
        if place.is_file():
            return place.read_text("utf-8")
    raise UsageError("SKILL.md is missing from this installation", "install the toolkit again")
