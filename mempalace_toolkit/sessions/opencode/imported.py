"""What is left to read of a `storage/` folder that opencode imported into a database.

The import copies every session of the projects it finds, and leaves all files where they
were. What was deleted since is still in the folder and must not come back; but an import can
leave out a whole project, and an older opencode can go on writing there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mempalace_toolkit.sessions.model import StoreFinding
from mempalace_toolkit.sessions.opencode.database import DatabaseSource
from mempalace_toolkit.sessions.opencode.source import Entry, Readable, Reading, key_of
from mempalace_toolkit.sessions.opencode.storage import StorageSource, names_stamp

_SAMPLE = 50  # sessions that are asked when the import took place


@dataclass(frozen=True, slots=True)
class Continuation:
    """A session of a database that went on in the folder: what of it the database lacks.

    `known` are the ids that the database has, `since` is the time of the newest of them.
    """

    known: frozenset[str]
    since: int


class ImportedStorage:
    """The sessions of an imported folder that no database has, less the deleted ones."""

    def __init__(self, folder: StorageSource, databases: Sequence[DatabaseSource]) -> None:
        self.path: Path = folder.path
        self.findings: tuple[StoreFinding, ...] = ()
        self._folder = folder
        here = folder.projects()
        known = {one: database for database in databases for one in database.session_ids()}
        self._continued = _continued(folder, {one: known[one] for one in here if one in known})
        missing = {one: project for one, project in here.items() if one not in known}
        self._offered = _not_imported(missing, databases)
        rest = missing.keys() - self._offered
        if rest:
            self._offered |= folder.begun_after(rest, _imported_at(folder, known))
        self.deleted = len(missing) - len(self._offered)

    @property
    def is_spent(self) -> bool:
        """Whether nothing in the folder is to be read."""
        return not (self._offered or self._continued)

    def entries(self) -> list[Entry]:
        """The sessions that only the folder has."""
        entries = self._folder.entries_of(self._offered)
        self.findings = self._folder.findings
        return entries

    def continued(self) -> Mapping[str, Entry]:
        """The sessions of databases that have more turns here, by id, as the folder has them."""
        return {one.ref.id: one for one in self._folder.entries_of(self._continued.keys())}

    def read(self, entry: Entry) -> Reading:
        """One session's visible turns."""
        return self._folder.read(entry)

    def read_rest(self, entry: Entry) -> Reading:
        """The turns that were said here after the database's newest."""
        more = self._continued[entry.ref.id]
        return self._folder.read(
            entry, lambda message: message.id not in more.known and message.order > more.since
        )

    def session_ids(self) -> frozenset[str]:
        """The ids of the sessions that only the folder has."""
        return frozenset(self._offered)

    def stamp(self) -> str:
        """Which files there are, and the state of those that are read."""
        read = [*self._offered, *self._continued]
        return key_of(names_stamp(self.path), [self._folder.state(one) for one in sorted(read)])

    def close(self) -> None:
        """Nothing is held open."""


class Continued:
    """A database's session together with what was said of it in the folder afterwards."""

    def __init__(self, database: Readable, folder: ImportedStorage, rest: Entry) -> None:
        self._database = database
        self._folder = folder
        self._rest = rest

    def joined(self, entry: Entry) -> Entry:
        """The database's entry, with the folder's changes in its key."""
        ref, other = entry.ref, self._rest.ref
        updated = max(ref.updated, other.updated)
        key = key_of(ref.change_key, other.change_key)
        return replace(entry, ref=replace(ref, updated=updated, change_key=key))

    def read(self, entry: Entry) -> Reading:
        """Both parts, one after the other."""
        first, rest = self._database.read(entry), self._folder.read_rest(self._rest)
        return Reading(
            first.turns + rest.turns,
            first.findings + rest.findings,
            {**first.withdrawn, **rest.withdrawn},
        )


def _continued(
    folder: StorageSource, shared: Mapping[str, DatabaseSource]
) -> dict[str, Continuation]:
    found = {}
    for session, database in shared.items():
        here = folder.message_ids(session)
        if not here:
            continue
        there = database.message_times(session)
        since = max(there.values(), default=-1)
        # Where nothing of it was imported, what is there was said elsewhere or after an undo.
        if here - there.keys() and (here & there.keys() or not there):
            found[session] = Continuation(frozenset(there), since)
    return found


def _not_imported(missing: Mapping[str, str], databases: Sequence[DatabaseSource]) -> set[str]:
    """The sessions of projects that no database has: opencode keeps the rows of projects."""
    projects = [database.project_ids() for database in databases]
    if not projects or any(ids is None for ids in projects):
        return set()
    known = frozenset[str]().union(*(ids for ids in projects if ids is not None))
    return {session for session, project in missing.items() if project not in known}


def _imported_at(folder: StorageSource, known: Mapping[str, DatabaseSource]) -> int | None:
    """When the import took place; None where the rows do not say.

    An import gives its moment to all rows as the time of their last change.
    """
    touched: list[int] = []
    said: list[int] = []
    for session in [one for one in folder.projects() if one in known][:_SAMPLE]:
        here = folder.message_ids(session)
        for message, created, updated in known[session].message_changes(session):
            if message in here:
                said.append(created)
                touched.append(updated)
    if not touched or min(touched) <= max(said):
        return None
    return min(touched)
