"""The help of each command: what it does, its options in plain words, examples, exit codes.

typer writes the types of arguments beside them (`<list[str]>`), which say little to a person.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from typer.core import TyperCommand, TyperGroup

_NOISE = re.compile(r" <\w+(?:\[\w+\])?>|\s*\[required\]")
_OUTER = re.compile(r"^[\[{](\[?[A-Z]+(?:\.\.\.)?\]?(?:\.\.\.)?)[\]}](?:\.\.\.)?$")


@dataclass(frozen=True, slots=True)
class Page:
    """What stands below the options of one command."""

    examples: tuple[str, ...]
    exits: str = ""
    see: str = ""


_JOB_EXITS = (
    "0 done; 65 the palace is damaged; 66 a session cannot be read; 70 MemPalace failed; "
    "74 a write was undone; 75 the palace is busy; 78 wrong configuration"
)
PAGES = {
    "mempalace-session": Page(
        (
            "mempalace-session --dry-run",
            "mempalace-session",
            "mempalace-session --since 7d --limit 20",
        ),
        _JOB_EXITS,
        "mempalace-pi-session (pi's sessions), mempalace-toolkit (search, check, schedule)",
    ),
    "mempalace-pi-session": Page(
        ("mempalace-pi-session --dry-run", "mempalace-pi-session"),
        _JOB_EXITS,
        "mempalace-session (opencode's sessions), mempalace-toolkit (search, check, schedule)",
    ),
    "mempalace-toolkit": Page(
        (
            'mempalace-toolkit search "why did we pick Postgres"',
            "mempalace-toolkit check",
            "mempalace-toolkit help schedule install",
        ),
        see="mempalace-session and mempalace-pi-session file sessions into the palace",
    ),
    "mempalace-toolkit search": Page(
        (
            'mempalace-toolkit search "why did we pick Postgres"',
            "mempalace-toolkit search --wing orders -n 3 staging port",
        ),
        "0 searched, also where nothing was found; 2 there is no palace; 70 MemPalace failed",
    ),
    "mempalace-toolkit connect": Page(
        ("mempalace-toolkit connect", "mempalace-toolkit connect opencode --write"),
    ),
    "mempalace-toolkit check": Page(
        ("mempalace-toolkit check", "mempalace-toolkit check --deep --json"),
        "0 sound; 2 no palace there; 65 damaged; 75 the palace is busy",
        "mempalace-toolkit repair --dry-run",
    ),
    "mempalace-toolkit repair": Page(
        ("mempalace-toolkit repair --dry-run", "mempalace-toolkit repair --yes"),
        "0 sound; 2 consent is missing; 65 still damaged; 74 a write was undone; 75 busy",
        "mempalace-toolkit check, mempalace-toolkit quarantine list",
    ),
    "mempalace-toolkit completion": Page(("mempalace-toolkit completion bash",)),
    "mempalace-toolkit demo": Page(("mempalace-toolkit demo",)),
    "mempalace-toolkit model status": Page(
        ("mempalace-toolkit model status",), "0 it is here; 70 it is not"
    ),
    "mempalace-toolkit model ensure": Page(("mempalace-toolkit model ensure",)),
    "mempalace-toolkit quarantine list": Page(
        ("mempalace-toolkit quarantine list",), see="mempalace-toolkit quarantine prune --dry-run"
    ),
    "mempalace-toolkit quarantine prune": Page(
        (
            "mempalace-toolkit quarantine prune --dry-run",
            "mempalace-toolkit quarantine prune --budget 1 --yes",
        ),
        "0 done; 2 consent is missing; 65 the palace is damaged; 75 busy",
    ),
    "mempalace-toolkit schedule install": Page(
        (
            "mempalace-toolkit schedule install",
            'mempalace-toolkit schedule install session --at "Mon,Thu 12:30"',
        ),
        see="mempalace-toolkit schedule show, status and remove",
    ),
    "mempalace-toolkit schedule remove": Page(("mempalace-toolkit schedule remove --dry-run",)),
    "mempalace-toolkit schedule show": Page(("mempalace-toolkit schedule show session",)),
    "mempalace-toolkit schedule status": Page(
        ("mempalace-toolkit schedule status",), "0 no problem; 65 a problem"
    ),
}


class HelpfulCommand(TyperCommand):
    """A command whose help has no type names, and ends with examples and exit codes."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """`[OPTIONS]` and the arguments, each with one pair of brackets."""
        options, *arguments = super().collect_usage_pieces(ctx)
        return [options, *(_OUTER.sub(r"\1", piece) for piece in arguments)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The arguments and options, without what a person cannot use."""
        records: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for one in self.get_params(ctx):
            record = one.get_help_record(ctx)
            if record is not None:
                kind = "Arguments" if one.param_type_name == "argument" else "Options"
                name, text = (_NOISE.sub("", part) for part in record)
                records[kind].append((_OUTER.sub(r"\1", name), text))
        for title, rows in records.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Examples, exit codes and related commands."""
        write_page(ctx, formatter)


class HelpfulGroup(TyperGroup):
    """A group of commands whose summaries are not cut."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Each command with its whole first sentence."""
        named = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, one.get_short_help_str(1000)) for name, one in named if one is not None]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Examples and related commands."""
        write_page(ctx, formatter)


def write_page(ctx: Any, formatter: Any) -> None:
    """Write what the table has of a command; nothing where it has nothing."""
    page = PAGES.get(ctx.command_path)
    if page is None:
        return
    with formatter.section("Examples"):
        for example in page.examples:
            formatter.write(f"{'':>{formatter.current_indent}}{example}\n")
    for title, text in (("Exit codes", page.exits), ("See also", page.see)):
        if text:
            with formatter.section(title):
                formatter.write_text(text)
