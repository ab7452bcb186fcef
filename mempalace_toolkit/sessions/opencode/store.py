"""Unites opencode's databases and its `storage/` folder into one store of sessions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote
from types import TracebackType
from typing import Self

from mempalace_toolkit.errors import StoreUnreadableError
from mempalace_toolkit.sessions.model import Session, SessionRef, StoreFinding, Turn, TurnCount
from mempalace_toolkit.sessions.opencode.connection import DamagedPageError
from mempalace_toolkit.sessions.opencode.database import DatabaseSource
from mempalace_toolkit.sessions.opencode.forks import ForkGroups, RecentTurns, leading_run
from mempalace_toolkit.sessions.opencode.imported import Continued, ImportedStorage
from mempalace_toolkit.sessions.opencode.opening import open_sources
from mempalace_toolkit.sessions.opencode.source import Entry, Readable, Source, key_of
from mempalace_toolkit.sessions.opencode.storage import names_stamp

Listed = dict[str, tuple[Entry, Readable]]


def open_store(paths: Sequence[Path]) -> OpencodeStore:
    """Open databases, storage folders, or data folders holding both.

    A path that cannot be opened is kept in `failures` while another can. Raises the first
    failure (StoreUnreadableError, UnknownSchemaError) if nothing could be opened.
    """
    return OpencodeStore(paths)


class OpencodeStore:
    """What opencode said in every place it keeps sessions, each session once."""

    def __init__(self, paths: Sequence[Path]) -> None:
        opened = open_sources(paths)
        self._sources = opened.sources
        self._unread_storage = opened.unread_storage
        self._failures = list(opened.failures)
        self._opening_findings = opened.findings
        self._union_findings: tuple[StoreFinding, ...] = ()
        self._listed: Listed | None = None
        self._forks = ForkGroups(())
        self._recent = RecentTurns()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def places(self) -> tuple[Path, ...]:
        """The databases and folders that are read."""
        return tuple(source.path for source in self._sources)

    @property
    def failures(self) -> tuple[StoreUnreadableError, ...]:
        """Places that exist and could not be read, so far; to raise once the rest is done."""
        return (*self._failures, *self._damage())

    @property
    def findings(self) -> tuple[StoreFinding, ...]:
        """What was wrong with the store as a whole, so far; every failure is one of them."""
        failed = (StoreFinding(error.kind, error.message, "") for error in self.failures)
        of_sources = (finding for source in self._sources for finding in source.findings)
        return (*failed, *self._opening_findings, *of_sources, *self._union_findings)

    def signature(self) -> str:
        """Equal for two opened stores means that nothing readable changed between them."""
        stamps = [(str(source.path), source.stamp()) for source in self._sources]
        unread = [(str(path), names_stamp(path)) for path in self._unread_storage]
        return key_of(stamps, unread, [error.message for error in self._failures])

    def find_sessions(self) -> Iterator[SessionRef]:
        """Every session once, oldest first. Each call lists anew what the snapshot holds."""
        self._listed = self._list()
        for entry, _ in list(self._listed.values()):
            yield entry.ref

    def read_session(self, ref: SessionRef) -> Session:
        """The session's visible turns; `copied` counts those that an earlier session has."""
        if self._listed is None:
            self._listed = self._list()
        found = self._listed.get(ref.id)
        if found is None:
            raise StoreUnreadableError(
                f"{ref.source}: session {ref.id} is not in it",
                "it was deleted meanwhile; run this again",
            )
        entry, source = found
        reading = source.read(entry)
        turns, copied, original = self._without_copies(entry, reading.turns)
        return Session(ref, tuple(turns), copied, original, reading.findings, reading.withdrawn)

    def count_turns(self, ref: SessionRef) -> TurnCount | None:
        """How many turns a database has of a session that copies none; None: read it."""
        if self._listed is None or ref.id not in self._listed or self._forks.originals(ref.id):
            return None
        entry, source = self._listed[ref.id]
        return source.count(entry) if isinstance(source, DatabaseSource) else None

    def close(self) -> None:
        """End every transaction."""
        for source in self._sources:
            source.close()

    def _list(self) -> Listed:
        listed: Listed = {}
        findings = []
        for source in list(self._sources):
            try:
                entries = source.entries()
            except StoreUnreadableError as error:
                self._drop(source, error)
                continue
            for entry in entries:
                other = listed.get(entry.ref.id)
                if other is not None:
                    diverged = _diverged(entry.ref.id, source, other[1])
                    findings.append(_duplicate(entry, other[0], diverged=diverged))
                if other is None or entry.ref.updated > other[0].ref.updated:
                    listed[entry.ref.id] = (entry, source)
        for source in self._sources:
            if isinstance(source, ImportedStorage):
                _continue(listed, source)
        self._union_findings = tuple(findings)
        order = sorted(listed.values(), key=lambda item: (item[0].ref.created, item[0].ref.id))
        self._forks = ForkGroups(entry for entry, _ in order)
        return {entry.ref.id: (self._with_group(entry), source) for entry, source in order}

    def _damage(self) -> tuple[StoreUnreadableError, ...]:
        databases = (source for source in self._sources if isinstance(source, DatabaseSource))
        return tuple(error for database in databases for error in database.damage)

    def _drop(self, source: Source, error: StoreUnreadableError) -> None:
        self._failures.append(error)
        self._sources.remove(source)
        source.close()
        if not self._sources:
            raise error

    def _with_group(self, entry: Entry) -> Entry:
        """A fork's key depends on what it may be a copy of, too."""
        originals = self._forks.originals(entry.ref.id)
        if not originals:
            return entry
        group = [(other.ref.id, other.revert) for other in originals]
        return replace(
            entry, ref=replace(entry.ref, change_key=key_of(entry.ref.change_key, group))
        )

    def _without_copies(
        self, entry: Entry, turns: list[Turn]
    ) -> tuple[list[Turn], int, str | None]:
        """The turns, how many of them lead another session, and which one; the longest run.

        An original in a damaged page cannot be compared with: the copies are taken as turns.
        """
        best, origin = 0, None
        for original in self._forks.originals(entry.ref.id):
            try:
                if original.ref.id == entry.forked_from:
                    turns = _named_as_in(self._turns(original), turns)
                run = leading_run(turns, self._keys(original))
            except DamagedPageError:
                continue
            if run > best:
                best, origin = run, original.ref.id
        return turns, best, origin

    def _keys(self, entry: Entry) -> list[str]:
        keys = self._recent.get(entry.ref.id)
        if keys is None:
            keys = [turn.key for turn in self._turns(entry)]
            self._recent.put(entry.ref.id, keys)
        return keys

    def _turns(self, entry: Entry) -> list[Turn]:
        assert self._listed is not None
        return self._listed[entry.ref.id][1].read(entry).turns


def _continue(listed: Listed, folder: ImportedStorage) -> None:
    """Let sessions that went on in an imported folder be read from both places."""
    for session, rest in folder.continued().items():
        if session in listed:
            entry, database = listed[session]
            both = Continued(database, folder, rest)
            listed[session] = (both.joined(entry), both)


def _named_as_in(original: list[Turn], turns: list[Turn]) -> list[Turn]:
    """A named fork's leading turns under the original's keys and times, while the talk agrees."""
    same = 0
    for theirs, ours in zip(original, turns, strict=False):
        if (theirs.role, theirs.text) != (ours.role, ours.text):
            break
        same += 1
    return original[:same] + turns[same:]


def _diverged(session: str, one: Readable, other: Readable) -> bool:
    """Whether each of two databases has messages of a session that the other lacks."""
    if not (isinstance(one, DatabaseSource) and isinstance(other, DatabaseSource)):
        return False
    try:
        ours, theirs = (set(source.message_times(session)) for source in (one, other))
    except StoreUnreadableError:
        return True
    return bool(ours - theirs and theirs - ours)


def _duplicate(entry: Entry, other: Entry, *, diverged: bool) -> StoreFinding:
    read, left = sorted((entry.ref, other.ref), key=lambda ref: ref.updated, reverse=True)
    text = f"also in {other.ref.source}: the one that was updated last is read"
    if diverged:
        text = (
            f"this session is in {read.source} and in {left.source}, and each has turns of its "
            f"own: those of {read.source}, updated last, are read. To take the others too, run "
            f"this once with --store {quote(left.source)}"
        )
    return StoreFinding("duplicate_session", text, entry.ref.source, entry.ref.id)
