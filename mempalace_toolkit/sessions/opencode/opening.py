"""Opens the places that hold sessions, and tells a live `storage/` folder from a stale one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mempalace_toolkit.errors import StoreUnreadableError
from mempalace_toolkit.sessions.model import StoreFinding
from mempalace_toolkit.sessions.opencode.database import DatabaseSource
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

    A `storage/` folder is left unread where a database has any of its sessions: opencode
    imported it, and what has been deleted since still lies there. Beside a database that
    cannot be read nobody knows, so it is left unread as well.
    """
    failures: list[StoreUnreadableError] = []
    databases: dict[Path, DatabaseSource] = {}
    folders: dict[Path, StorageSource] = {}
    imported: set[str] = set()
    unknown: set[Path] = set()
    for path in _expanded(paths, failures):
        place = path.resolve()
        try:
            if place in databases or place in folders:
                continue
            if path.is_dir():
                folders[place] = StorageSource(path)
            else:
                database = DatabaseSource(path)
                imported |= database.session_ids()
                databases[place] = database
        except StoreUnreadableError as error:
            failures.append(error)
            unknown.add(place.parent / "storage")
    findings: list[StoreFinding] = []
    stale = []
    for place, folder in folders.items():
        reasons = _why_unread(folder, imported, place in unknown)
        if reasons is not None:
            stale.append(place)
            findings += reasons
    live = [folder for place, folder in folders.items() if place not in stale]
    sources: list[Source] = [*databases.values(), *live]
    if failures and not sources:
        raise failures[0]
    unread = tuple(folders[place].path for place in stale)
    return Opened(sources, unread, tuple(failures), tuple(findings))


def _expanded(paths: Sequence[Path], failures: list[StoreUnreadableError]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        try:
            found += expand(path)
        except StoreUnreadableError as error:
            failures.append(error)
    return found


def _why_unread(
    folder: StorageSource, imported: set[str], is_unknown: bool
) -> list[StoreFinding] | None:
    """None for a live folder; else what there is to say about leaving it out."""
    sessions = folder.session_ids()
    left = len(sessions - imported)
    if is_unknown and sessions:
        text = f"{len(sessions)}: sessions wait until the database beside them can be read"
        return [StoreFinding("storage_withheld", text, str(folder.path))]
    if left == len(sessions):
        return None
    if not left:
        return []
    text = f"{left}: sessions of an imported folder are not in the database (deleted); not read"
    return [StoreFinding("storage_imported", text, str(folder.path))]
