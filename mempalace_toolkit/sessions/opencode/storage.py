"""The JSON `storage/` folder of opencode before 1.2 as a source of sessions."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from mempalace_toolkit.errors import StoreUnreadableError
from mempalace_toolkit.sessions.model import SessionRef, StoreFinding
from mempalace_toolkit.sessions.opencode.decoding import (
    MalformedError,
    millis_of,
    parse_object,
    text_of,
)
from mempalace_toolkit.sessions.opencode.ids import order_from
from mempalace_toolkit.sessions.opencode.messages import (
    Answer,
    Problems,
    StoredMessage,
    findings_of,
    in_order_of_parts,
)
from mempalace_toolkit.sessions.opencode.private_copy import FileState, file_state
from mempalace_toolkit.sessions.opencode.projects import main_folder
from mempalace_toolkit.sessions.opencode.source import Entry, Reading, key_of
from mempalace_toolkit.sessions.opencode.talk import (
    answer_of,
    asks_after_overflow,
    role_of,
    visible_talk,
    visible_text,
)
from mempalace_toolkit.sessions.opencode.undo import cut_of, parse_revert


class StorageSource:
    """A `storage/` folder. Parts are found from messages, messages from sessions: files of
    undone messages stay behind under `part/`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.findings: tuple[StoreFinding, ...] = ()
        self._repositories: dict[str, str] = {}
        try:
            next(iter(os.scandir(path)), None)
        except OSError as error:
            raise StoreUnreadableError(
                f"{path}: cannot be read ({error.strerror})",
                "give this user read access, or name another store with --store",
            ) from error

    def entries(self) -> list[Entry]:
        """Every session file that can be read."""
        return self._entries(self._session_files())

    def entries_of(self, sessions: Collection[str]) -> list[Entry]:
        """The same for some sessions only."""
        return self._entries(file for file in self._session_files() if file.stem in sessions)

    def _entries(self, files: Iterable[Path]) -> list[Entry]:
        found: dict[str, Entry] = {}
        complaints = []
        for file in files:
            try:
                entry = self._entry(file)
            except (MalformedError, OSError):
                text = "the session's file is not readable JSON; it was left out"
                complaints.append(StoreFinding("malformed_row", text, str(file), file.stem))
                continue
            known = found.get(entry.ref.id)
            if known is None or entry.ref.updated > known.ref.updated:
                found[entry.ref.id] = entry
        self.findings = tuple(complaints)
        return list(found.values())

    def read(self, entry: Entry, wanted: Callable[[StoredMessage], bool] | None = None) -> Reading:
        """One session's visible turns, or those of the messages that are `wanted`."""
        problems: Problems = Problems()
        revert = parse_revert(entry.revert, problems)
        messages = []
        for file in self._message_files(entry.ref.id):
            try:
                messages.append(self._message(file, problems))
            except (MalformedError, OSError):
                problems["malformed_message"] += 1
        messages.sort(key=lambda message: (message.order, message.id))
        cut = cut_of(revert, messages, problems)
        if wanted is not None:
            messages = [message for message in messages if wanted(message)]
        talk = visible_talk(messages, cut)
        findings = findings_of(problems, str(self.path), entry.ref.id)
        return Reading(talk.turns, findings, talk.withdrawn)

    def session_ids(self) -> frozenset[str]:
        """The ids of the session files, by their names."""
        return frozenset(file.stem for file in self._session_files())

    def stamp(self) -> str:
        """Every file that a listing looks at; slow on a big folder, but these are old ones."""
        files = self._session_files()
        return key_of([(file.name, file_state(file), *self._state(file.stem)) for file in files])

    def close(self) -> None:
        """Nothing is held open."""

    def projects(self) -> dict[str, str]:
        """Every session with the project in whose folder it lies."""
        return {file.stem: file.parent.name for file in self._session_files()}

    def message_ids(self, session: str) -> frozenset[str]:
        """The ids of a session's messages, by the names of their files."""
        return frozenset(file.stem for file in self._message_files(session))

    def begun_after(self, sessions: Collection[str], moment: int | None) -> set[str]:
        """Those of the sessions that were made later; none where there is no moment."""
        if moment is None:
            return set()
        return {one.ref.id for one in self.entries_of(sessions) if one.ref.created > moment}

    def state(self, session: str) -> object:
        """What differs whenever the session's messages or parts may have changed."""
        return self._state(session)

    def _session_files(self) -> list[Path]:
        return sorted(self.path.glob("session/*/*.json"))

    def _message_files(self, session: str) -> Iterator[Path]:
        yield from _json_files(self.path / "message", session)

    def _state(self, session: str) -> list[tuple[str, FileState, FileState]]:
        return [
            (file.name, file_state(file), file_state(self.path / "part" / file.stem))
            for file in self._message_files(session)
        ]

    def _entry(self, file: Path) -> Entry:
        value, _ = parse_object(_content(file))
        session = text_of(value.get("id")) or file.stem
        time = _object(value.get("time"))
        state = self._state(session)
        ref = SessionRef(
            agent="opencode",
            id=session,
            title=text_of(value.get("title")) or "",
            directory=text_of(value.get("directory")) or "",
            created=millis_of(time.get("created")),
            updated=millis_of(time.get("updated"), millis_of(time.get("created"))),
            change_key=key_of(file_state(file), state),
            source=str(self.path),
            parent=text_of(value.get("parentID")) or None,
            archived=millis_of(time.get("archived")) > 0,
            repository=self._repository(file.parent.name),
        )
        return Entry(ref, self._first(session), None, value.get("revert"))

    def _first(self, session: str) -> int | None:
        """When the first message was made, which a fork's copy has as well."""
        times = []
        for file in self._ends(session):
            try:
                value, _ = parse_object(_content(file))
            except (MalformedError, OSError):
                continue
            times.append(millis_of(_object(value.get("time")).get("created")))
        return min(times, default=None)

    def _repository(self, project: str) -> str:
        """The main folder of a project, by the file that opencode keeps of it."""
        if project not in self._repositories:
            try:
                value, _ = parse_object(_content(self.path / "project" / f"{project}.json"))
            except (MalformedError, OSError):
                value = {}
            self._repositories[project] = main_folder(project, text_of(value.get("worktree")))
        return self._repositories[project]

    def _ends(self, session: str) -> list[Path]:
        """The files among which the first message is: ids grow with time, but wrap."""
        files = list(self._message_files(session))
        key = order_from(files[0].stem) if files else None
        return sorted(files, key=lambda file: key(file.stem))[:1] if key else []

    def _message(self, file: Path, problems: Problems) -> StoredMessage:
        value, _ = parse_object(_content(file))
        message = text_of(value.get("id")) or file.stem
        time = millis_of(_object(value.get("time")).get("created"))
        texts: list[tuple[str, str]] = []
        answers: list[Answer] = []
        overflow = False
        for part in _json_files(self.path / "part", message):
            try:
                content, repaired = parse_object(_content(part))
            except (MalformedError, OSError):
                problems["malformed_part"] += 1
                continue
            name = text_of(content.get("id")) or part.stem
            text = visible_text(content)
            if text is not None:
                if repaired:
                    problems["repaired_text"] += 1
                texts.append((name, text))
            elif answer := answer_of(content, name):
                answers.append(answer)
            overflow = overflow or asks_after_overflow(content)
        return StoredMessage(
            message, role_of(value), time, time, in_order_of_parts(texts), answers, overflow
        )


def names_stamp(path: Path) -> str:
    """Differs whenever a session's or a message's file in a storage folder came or went."""
    folders = [path, path / "session", *path.glob("session/*"), *path.glob("message/*")]
    return key_of([(str(folder), file_state(folder)) for folder in sorted(folders)])


def _content(file: Path) -> bytes:
    """What a file holds; an OSError for a pipe, which would have to be waited for."""
    with os.fdopen(os.open(file, os.O_RDONLY | os.O_NONBLOCK), "rb") as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise OSError(f"{file}: no regular file")
        return opened.read()


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _json_files(folder: Path, name: str) -> Iterator[Path]:
    """The JSON files in a folder's subfolder, by name; an id with a slash in it has none."""
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        return
    yield from sorted((folder / name).glob("*.json"))
