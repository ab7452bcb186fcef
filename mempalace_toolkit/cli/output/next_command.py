"""The one command to run after an answer, for a program that reads JSON."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from mempalace_toolkit.errors import ToolkitError

_TOOLKIT = "mempalace-toolkit"
_WITHOUT = {"--json", "--dry-run", "--summary", "--progress"}


def next_command(
    command: str,
    status: str,
    arguments: Sequence[str],
    error: ToolkitError | None,
    own: Mapping[str, object],
) -> str | None:
    """What to run next as a shell line, None where nothing follows or a person must choose."""
    if error is not None:
        return _after_failure(command, arguments, error)
    if status == "noop":
        return None
    if "--dry-run" in arguments:
        return _after_dry_run(command, arguments, own)
    if command.endswith("quarantine restore"):
        return shlex.join([_TOOLKIT, "check", *_palace(arguments)])
    if command.endswith("model status") and own.get("present") is False:
        return f"{_TOOLKIT} model ensure"
    return None


def _after_failure(command: str, arguments: Sequence[str], error: ToolkitError) -> str | None:
    if error.kind in ("usage", "conflict"):
        return f"{command} --help"
    if error.kind == "consent_needed":
        return _again(command, arguments, "--yes")
    if error.kind == "damaged":
        shown = command == f"{_TOOLKIT} repair"
        repair = [_TOOLKIT, "repair", "--dry-run", *_palace(arguments)]
        return None if shown else shlex.join(repair)
    if error.kind == "model_unavailable":
        return f"{_TOOLKIT} model ensure"
    return _again(command, arguments) if error.retryable else None


def _after_dry_run(command: str, arguments: Sequence[str], own: Mapping[str, object]) -> str | None:
    if command == f"{_TOOLKIT} repair":
        plan = own.get("plan")
        grade = plan.get("grade") if isinstance(plan, Mapping) else None
        return None if grade in (None, "nothing", "refuse") else _again(command, arguments, "--yes")
    if command == f"{_TOOLKIT} quarantine prune":
        return _again(command, arguments, "--yes") if own.get("pruned") else None
    counts = own.get("counts")
    if isinstance(counts, Mapping):
        waiting = any(counts.get(one) for one in ("new", "grown", "rewritten", "withdrawn"))
        return _again(command, arguments) if waiting else None
    return _again(command, arguments)


def _again(command: str, arguments: Sequence[str], more: str = "") -> str:
    """The same command line for real, with one option more."""
    kept = [word for word in arguments if word not in _WITHOUT and word != more]
    end = kept.index("--") if "--" in kept else len(kept)
    kept[end:end] = [more] if more else []
    return shlex.join([command.partition(" ")[0], *kept])


def _palace(arguments: Sequence[str]) -> list[str]:
    """The option that names another palace, where one was given."""
    for place, word in enumerate(arguments):
        if word == "--palace" and place + 1 < len(arguments):
            return ["--palace", arguments[place + 1]]
        if word.startswith("--palace="):
            return [word]
    return []
