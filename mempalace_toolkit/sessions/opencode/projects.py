"""opencode's projects: the main folder of each, and folders of theirs that are gone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from mempalace_toolkit.sessions.model import MOVED_FOLDER, SessionRef, StoreFinding
from mempalace_toolkit.sessions.opencode.decoding import text_of
from mempalace_toolkit.sessions.opencode.schema import Schema
from mempalace_toolkit.sqlite.failures import is_corrupt

_GLOBAL = ("global", "")
_WORKTREE = "git_worktree"
_MARKS = ("type", "strategy")  # columns that say so: 1.18.33 writes the second


@dataclass(frozen=True, slots=True)
class Moved:
    """A folder that sessions name and that is gone, beside one of the same project."""

    gone: str
    present: str


@dataclass(slots=True)
class Projects:
    """The projects of a database, by id. `kinds` are their folders: which are worktrees."""

    worktrees: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, dict[str, str]] = field(default_factory=dict)
    _used: dict[str, dict[str, str]] = field(default_factory=dict)

    def repository(self, project: object, directory: str) -> str:
        """The main folder of a session's project; empty where the session's is one itself.

        A project is a root commit: two clones of it share one row, and only a worktree
        belongs to the main folder of another.
        """
        name = text_of(project) or ""
        kinds = self.kinds.get(name, {})
        if kinds.get(directory, _WORKTREE) != _WORKTREE:
            return ""
        main = main_folder(name, self.worktrees.get(name))
        if main and kinds.get(main) == _WORKTREE:
            return next((folder for folder, kind in kinds.items() if kind != _WORKTREE), "")
        return main

    def note(self, project: object, ref: SessionRef) -> None:
        """Remember that a session took place in a folder of a project."""
        name = text_of(project) or ""
        if name not in _GLOBAL and ref.directory.startswith("/"):
            self._used.setdefault(name, {})[ref.directory] = ref.repository

    def moved(self) -> Iterator[Moved]:
        """Folders that are gone, where the same project is now in a folder of another name."""
        for folders in self._used.values():
            if len(folders) < 2:
                continue
            places = {repository or folder for folder, repository in folders.items()}
            present = [folder for folder in folders if _is_there(folder)]
            for place in sorted(places):
                if any(_name(folder) == _name(place) for folder in present) or _is_there(place):
                    continue
                if present:
                    yield Moved(place, present[-1])


def read_projects(connection: sqlite3.Connection, schema: Schema) -> Projects:
    """The projects that the database knows; those that damage leaves."""
    projects = Projects()
    try:
        _fill(projects, connection, schema)
    except sqlite3.DatabaseError as error:
        if not is_corrupt(error):
            raise
    return projects


def _fill(projects: Projects, connection: sqlite3.Connection, schema: Schema) -> None:
    if schema.has("project", "worktree"):
        for row in connection.execute("select id, worktree from project"):
            projects.worktrees[text_of(row[0]) or ""] = text_of(row[1]) or ""
    if schema.has("project_directory", "project_id"):
        marks = [name for name in _MARKS if schema.has("project_directory", name)]
        columns = ", ".join(("project_id", "directory", *marks))
        for project, directory, *kinds in connection.execute(
            f"select {columns} from project_directory"  # noqa: S608
        ):
            kind = _WORKTREE if _WORKTREE.encode() in kinds else ""
            folders = projects.kinds.setdefault(text_of(project) or "", {})
            folders[text_of(directory) or ""] = kind


def main_folder(project: str, worktree: str | None) -> str:
    """The project's main folder; empty for the project of all that is in no repository."""
    return "" if project in _GLOBAL or worktree in (None, "", "/") else worktree or ""


def moved_finding(moved: Moved) -> StoreFinding:
    """What to do if a folder was renamed: nothing is moved between wings unasked."""
    name = PurePath(moved.present).name
    return StoreFinding(
        MOVED_FOLDER,
        f"this folder is gone, and {moved.present} is of the same project. If it was renamed, "
        f'add "{moved.gone}" = "{name}" to [wings] in the configuration: '
        "then both have one wing",
        moved.gone,
    )


def _is_there(folder: str) -> bool:
    try:
        return Path(folder).exists()
    except (OSError, ValueError):
        return True


def _name(folder: str) -> str:
    return PurePath(folder).name
