"""Connecting an agent and undoing it: a plan of files to write, and writing them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mempalace_toolkit.connect.clients import SKILL_FILE, Client, server_entry
from mempalace_toolkit.connect.settings import with_server, without_server
from mempalace_toolkit.errors import ConfigurationError, WriteUndoneError
from mempalace_toolkit.files.private import write_whole


@dataclass(frozen=True, slots=True)
class Change:
    """One file: its text now and after; None where there is no file."""

    path: Path
    before: str | None
    after: str | None

    @property
    def is_skill(self) -> bool:
        """Whether the file is our own whole, so that no copy of it needs to be kept."""
        return self.path.name == SKILL_FILE

    @property
    def needed(self) -> bool:
        """Whether there is anything to do."""
        return self.before != self.after


def plan_connection(client: Client, command: Sequence[str], skill: str) -> tuple[Change, ...]:
    """What connects an agent. Raises ConfigurationError where its settings cannot be edited."""
    changes = []
    if client.settings is not None:
        before = _text(client.settings)
        entry = server_entry(client, list(command))
        changes.append(Change(client.settings, before, with_server(client, before or "", entry)))
    changes.append(Change(client.skill, _text(client.skill), skill))
    return tuple(changes)


def plan_removal(client: Client, command: Sequence[str]) -> tuple[Change, ...]:
    """What takes the connection out again: our entry and our skill, nothing else."""
    changes = []
    if client.settings is not None and (before := _text(client.settings)) is not None:
        after = without_server(client, before, server_entry(client, list(command)))
        changes.append(Change(client.settings, before, after or None))
    if (skill := _text(client.skill)) is not None:
        changes.append(Change(client.skill, skill, None))
    return tuple(changes)


def apply(changes: Sequence[Change], stamp: str) -> list[Path]:
    """Write the changes that are needed; the backups that were made of files that existed.

    Raises WriteUndoneError with everything as it was where a file cannot be written.
    """
    done: list[Change] = []
    backups = []
    for change in changes:
        if not change.needed:
            continue
        try:
            if change.before is not None and not change.is_skill:
                backup = change.path.with_name(f"{change.path.name}.before-mempalace-{stamp}")
                write_whole(backup, change.before)
                backups.append(backup)
            _put(change.path, change.after)
        except OSError as error:
            for earlier in reversed(done):
                _put(earlier.path, earlier.before)
            raise WriteUndoneError(
                f"{change.path} cannot be written: {error.strerror}",
                "nothing was changed; correct the permissions or free some space, then try again",
            ) from error
        done.append(change)
    return backups


def _text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error}", "correct the file or its permissions, then try again"
        ) from error


def _put(path: Path, text: str | None) -> None:
    if text is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path.resolve(), text)
        return
    path.unlink(missing_ok=True)
    if path.name == SKILL_FILE:
        with suppress(OSError):  # whoever put another file there keeps the folder
            path.parent.rmdir()
