"""Opens the places that hold sessions, and tells a live `storage/` folder from a stale one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mempalace_toolkit.errors import StoreUnreadableError
from mempalace_toolkit.sessions.model import StoreFinding
from mempalace_toolkit.sessions.opencode.copies import copies_in, identity
from mempalace_toolkit.sessions.opencode.database import DatabaseSource
from mempalace_toolkit.sessions.opencode.imported import ImportedStorage
from mempalace_toolkit.sessions.opencode.location import expand
from mempalace_toolkit.sessions.opencode.source import Source
from mempalace_toolkit.sessions.opencode.storage import StorageSource


@dataclass(frozen=True, slots=True)
class Opened:
    """The sources to read, the folders left unread, and what could not be opened."""

    sources: list[Source]
    unread_storage: tuple[Path, ...]
    failures: tuple[StoreUnreadableError, ...]
    findings: tuple[StoreFinding, ...]


def open_sources(paths: Sequence[Path]) -> Opened:
    """Open what can be opened; raises the first failure if nothing can.

    Of a `storage/` folder only the rest is read where a database has any of its sessions:
    opencode imported it, and what has been deleted since still lies there. Beside a database
    that cannot be read nobody knows, so all of it is left unread.
    """
    failures: list[StoreUnreadableError] = []
    databases: dict[Path, DatabaseSource] = {}
    folders: dict[Path, StorageSource] = {}
    unknown: set[Path] = set()
    failed: set[Path] = set()
    seen = set()
    for path in _expanded(paths, failures):
        place = path.resolve()
        try:
            file = identity(place)  # one database under two names (hard links) is one
            if place in databases or place in folders or file in seen:
                continue
            if file is not None:
                seen.add(file)
            if path.is_dir():
                folders[place] = StorageSource(path)
            else:
                database = DatabaseSource(path)
                database.session_ids()  # what cannot be read shall show now
                databases[place] = database
        except StoreUnreadableError as error:
            failures.append(error)
            unknown.add(place.parent / "storage")
            failed.add(place)
    opened = _Storage()
    read = {*databases, *folders, *failed}
    for beside in dict.fromkeys(place.parent for place in (*databases, *folders)):
        opened.findings += copies_in(beside, read)
    for place, folder in folders.items():
        opened.add(folder, list(databases.values()), is_unknown=place in unknown)
    sources: list[Source] = [*databases.values(), *opened.sources]
    if failures and not sources:
        raise failures[0]
    return Opened(sources, tuple(opened.unread), tuple(failures), tuple(opened.findings))


@dataclass(slots=True)
class _Storage:
    """The `storage/` folders, sorted into those to read and those to leave."""

    sources: list[Source] = field(default_factory=list)
    unread: list[Path] = field(default_factory=list)
    findings: list[StoreFinding] = field(default_factory=list)

    def add(
        self, folder: StorageSource, databases: list[DatabaseSource], *, is_unknown: bool
    ) -> None:
        sessions = folder.session_ids()
        if is_unknown and sessions:
            text = f"{len(sessions)}: sessions wait until the database beside them can be read"
            self._leave(folder, StoreFinding("storage_withheld", text, str(folder.path)))
        elif not any(sessions & database.session_ids() for database in databases):
            self.sources.append(folder)
        else:
            self._add_imported(folder, ImportedStorage(folder, databases))

    def _add_imported(self, folder: StorageSource, rest: ImportedStorage) -> None:
        if rest.deleted:
            text = (
                f"{rest.deleted}: sessions of an imported folder are not in the database "
                "(deleted); not read"
            )
            self.findings.append(StoreFinding("storage_imported", text, str(folder.path)))
        if rest.is_spent:
            self.unread.append(folder.path)
        else:
            self.sources.append(rest)

    def _leave(self, folder: StorageSource, finding: StoreFinding) -> None:
        self.unread.append(folder.path)
        self.findings.append(finding)


def _expanded(paths: Sequence[Path], failures: list[StoreUnreadableError]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        try:
            found += expand(path)
        except StoreUnreadableError as error:
            failures.append(error)
    return found
