"""The one JSON answer: the keys that all commands share, and those that each adds.

A command's answer has the same keys in every state. What is not known is null.
"""

from __future__ import annotations

from collections.abc import Mapping

from mempalace_toolkit.errors import SCHEMA_VERSION, ToolkitError, error_status

SHARED = ("version", "command", "status", "palace", "dry_run", "error", "log", "next")
"""The keys of every answer, in their order."""

_RUN = (
    "stores",
    "searched",
    "counts",
    "sessions",
    "wings",
    "withdrawn",
    "drawers",
    "index",
    "repairs",
    "pruned",
    "findings",
    "seconds",
    "outlook",
    "left_out",
)

OWN: Mapping[str, tuple[str, ...]] = {
    "mempalace-session": _RUN,
    "mempalace-pi-session": _RUN,
    "mempalace-toolkit": ("text",),
    "mempalace-toolkit help": ("text",),
    "mempalace-toolkit completion": ("text",),
    "mempalace-toolkit search": ("question", "reader", "reader_reason", "hits"),
    "mempalace-toolkit connect": ("agents",),
    "mempalace-toolkit check": ("seconds", "index"),
    "mempalace-toolkit repair": ("plan", "repair", "index"),
    "mempalace-toolkit quarantine list": ("quarantined",),
    "mempalace-toolkit quarantine restore": ("restored", "as", "exchanged"),
    "mempalace-toolkit quarantine prune": ("budget", "pruned", "kept", "needed"),
    "mempalace-toolkit schedule install": ("jobs", "warnings"),
    "mempalace-toolkit schedule remove": ("jobs",),
    "mempalace-toolkit schedule show": ("jobs",),
    "mempalace-toolkit schedule status": ("jobs", "findings"),
    "mempalace-toolkit model status": ("folder", "present", "missing", "verified", "origin"),
    "mempalace-toolkit model ensure": (
        "folder",
        "action",
        "seconds",
        "failures",
        "present",
        "missing",
        "verified",
        "origin",
    ),
    "mempalace-toolkit demo": ("runs", "answers"),
}
"""The keys that each command adds, in their order. `text` is what it shows a person."""


def envelope(
    command: str,
    status: str,
    own: Mapping[str, object],
    *,
    palace: str | None = None,
    dry_run: bool = False,
    error: ToolkitError | None = None,
    log: str | None = None,
    next_command: str | None = None,
) -> dict[str, object]:
    """The answer of `command`; where it ended with an `error`, that gives the status."""
    keys = OWN.get(command, ("text",))
    if unknown := own.keys() - set(keys):
        raise ValueError(f"{command} has no key {', '.join(sorted(unknown))}")
    return {
        "version": SCHEMA_VERSION,
        "command": command,
        "status": error_status(error) if error else status,
        "palace": palace or None,
        "dry_run": dry_run,
        "error": error.as_json() if error else None,
        "log": log or None,
        "next": next_command,
        **{key: own.get(key) for key in keys},
    }


def command_named(program: str, arguments: list[str]) -> str:
    """The command that a command line names, as far as it names one."""
    name = program
    for word in arguments[:2]:
        longer = f"{name} {word}"
        if not any(f"{known} ".startswith(f"{longer} ") for known in OWN):
            break
        name = longer
    return name
