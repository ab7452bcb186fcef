"""pi's session files as one store: listed, and read one by one."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from mempalace_toolkit.errors import StoreUnreadableError
from mempalace_toolkit.sessions.model import (
    Remembered,
    Session,
    SessionRef,
    StoreFinding,
    Turn,
    TurnCount,
)
from mempalace_toolkit.sessions.pi.files import Listing, check_place, list_files, shown
from mempalace_toolkit.sessions.pi.listing import REVISION, Index, check_versions, look, reference
from mempalace_toolkit.sessions.pi.talk import Talk, read_talk
from mempalace_toolkit.sessions.pi.turns import marks_of


def open_store(paths: Sequence[Path]) -> PiStore:
    """Open sessions folders, agent folders and single session files as one store.

    Raises StoreUnreadableError where none of them is a store, UnknownSchemaError where they
    hold files of which none is a session of a known version.
    """
    places: list[Path] = []
    failures: list[StoreUnreadableError] = []
    for path in paths:
        try:
            check_place(path)
            check_versions(path)
        except StoreUnreadableError as failure:
            failures.append(failure)
        else:
            places.append(path)
    if failures and not places:
        raise failures[0]
    return PiStore(tuple(places), tuple(failures))


class PiStore:
    """pi's session files, read side by side with a running pi."""

    def __init__(
        self, places: tuple[Path, ...], failures: tuple[StoreUnreadableError, ...] = ()
    ) -> None:
        self._places = places
        self._failures = failures
        self._index: Index | None = None
        self._listing: Listing | None = None
        self._names: Mapping[str, Remembered] = {}
        self._copied_by_others: frozenset[str] = frozenset()
        self._marks: dict[str, array[int]] = {}

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
        """The files and folders that are read."""
        return self._places

    @property
    def failures(self) -> tuple[StoreUnreadableError, ...]:
        """The places, folders and files that could not be read while others could."""
        return self._failures + self._looked().failures

    @property
    def findings(self) -> tuple[StoreFinding, ...]:
        """The files that are no sessions, and copies with talk of their own."""
        return self._looked().findings

    def remember(self, names: Mapping[str, Remembered]) -> None:
        """Let each session that is recorded keep its name, whatever becomes of its namesakes."""
        self._names = names
        self._index = None

    def signature(self) -> str:
        """A key of every file's path, size and time; no file is opened."""
        listing = self._listing = list_files(self._places)
        parts = [REVISION]
        parts += [f"{file.path}\0{file.size}\0{file.mtime_ns}" for file in listing.files]
        parts += [failure.message for failure in listing.failures]
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def find_sessions(self) -> Iterator[SessionRef]:
        """Every session once, oldest first; only first and last lines are read.

        `title` is empty until the session is read. A possible fork's change key changes with
        its older relatives too: they decide what is a copy.
        """
        index = self._look()
        return (reference(index, name) for name in index.files)

    def read_session(self, ref: SessionRef) -> Session:
        """The session's live turns; those that stand in an older session are counted.

        Raises StoreUnreadableError where the file vanished or cannot be read any more, and
        UnknownSchemaError where it is no longer a session of a known version.
        """
        index = self._looked()
        talk = _talk_of(ref)
        if ref.id in self._copied_by_others:
            self._marks[ref.id] = _marks(talk.turns)
        copied, source = self._copied(talk.turns, index.older.get(ref.id, ()))
        complete = replace(ref, title=talk.title, updated=talk.updated)
        return Session(complete, talk.turns, copied, source, talk.findings, talk.withdrawn)

    def count_turns(self, ref: SessionRef) -> TurnCount | None:
        """How many turns a session has that is nobody's copy; None: read it."""
        if ref.id in self._copied_by_others or self._looked().older.get(ref.id):
            return None
        talk = _talk_of(ref)
        if talk.findings:
            return None
        users = sum(turn.role == "user" for turn in talk.turns)
        length = sum(len(turn.text) for turn in talk.turns)
        return TurnCount(users, len(talk.turns) - users, length, talk.title, talk.updated)

    def close(self) -> None:
        """Forget what was read; no file is held open."""
        self._index = None
        self._marks.clear()

    def _looked(self) -> Index:
        return self._index or self._look()

    def _look(self) -> Index:
        # Files that the signature was taken of are not listed again: what changes after it is
        # seen by the next run, to which the signature is another.
        listing, self._listing = self._listing or list_files(self._places), None
        self._index = index = look(listing, self._names)
        self._copied_by_others = frozenset(name for names in index.older.values() for name in names)
        self._marks.clear()
        return index

    def _copied(self, turns: Sequence[Turn], older: Sequence[str]) -> tuple[int, str | None]:
        """The length of the longest leading run that stands in one older session, and its id."""
        best, source = 0, None
        for name in older:
            known = frozenset(self._marks_in(name))
            run = 0
            while run < len(turns) and not known.isdisjoint(marks_of(turns[run])):
                run += 1
            if run > best:
                best, source = run, name
        return best, source

    def _marks_in(self, name: str) -> array[int]:
        """The marks of a session's turns, eight bytes each: sessions are large, forks are many."""
        if name not in self._marks:
            file = self._looked().files[name]
            try:
                turns = read_talk(file.state.path, file.created, name).turns
            except (OSError, StoreUnreadableError):
                turns = ()  # nothing is a copy of what cannot be read
            self._marks[name] = _marks(turns)
        return self._marks[name]


def _talk_of(ref: SessionRef) -> Talk:
    try:
        return read_talk(ref.source, ref.created, ref.id)
    except OSError as error:
        raise StoreUnreadableError(
            f"{shown(ref.source)} cannot be read any more: {error.strerror or error}",
            "run again: a session that was read before stays remembered",
        ) from error


def _marks(turns: Sequence[Turn]) -> array[int]:
    return array("q", [mark for turn in turns for mark in marks_of(turn)])
