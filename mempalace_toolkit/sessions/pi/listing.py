"""What the first lines of all pi files tell: the sessions, and which ones a fork may copy."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mempalace_toolkit.errors import StoreUnreadableError, UnknownSchemaError
from mempalace_toolkit.sessions.model import SessionRef, StoreFinding
from mempalace_toolkit.sessions.pi.files import (
    SessionFile,
    finding,
    list_files,
    read_head,
    shown,
)


@dataclass(frozen=True, slots=True)
class Index:
    """The sessions by id, oldest first.

    `older` names, for a session that may be a fork, the older sessions of which it may hold
    copies: the one that its header names, then those that begin with the same entry. Only
    older ones, so that of two sessions never each counts as a copy of the other.
    """

    files: dict[str, SessionFile]
    older: dict[str, tuple[str, ...]]
    findings: tuple[StoreFinding, ...]
    failures: tuple[StoreUnreadableError, ...]


def look(places: Sequence[Path]) -> Index:
    """Read the first lines of every file. A session that stands in two files is the newer one."""
    listing = list_files(places)
    failures, findings, files = list(listing.failures), [], []
    for state in listing.files:
        try:
            head = read_head(state)
        except StoreUnreadableError as failure:
            failures.append(failure)
            continue
        if isinstance(head, SessionFile):
            files.append(head)
        else:
            findings.append(head)
    files.sort(key=lambda file: (file.state.mtime_ns, file.state.size), reverse=True)
    sessions: dict[str, SessionFile] = {}
    for file in files:
        name = session_id(file)
        if name in sessions:
            newer = shown(sessions[name].state.path)
            message = f"left out: the session stands in {newer} too, which is newer"
            findings.append(finding("duplicate_session", file.state.path, message, name))
        sessions.setdefault(name, file)
    ordered = dict(sorted(sessions.items(), key=lambda item: (created_of(item[1]), item[0])))
    by_file = {file.state.path.name: session_id(file) for file in files}
    return Index(ordered, _older(ordered, by_file), tuple(findings), tuple(failures))


def check_versions(place: Path) -> None:
    """Raise UnknownSchemaError where there are files and none is a session that can be read."""
    unknown: StoreUnreadableError | None = None
    for state in list_files([place]).files:
        try:
            head = read_head(state)
        except UnknownSchemaError as failure:
            unknown = failure
            continue
        except StoreUnreadableError:
            return
        if isinstance(head, SessionFile):
            return
        if head.kind == "unknown_file" and unknown is None:
            unknown = UnknownSchemaError(
                f"{head.path} is {head.message}",
                "Name a folder of pi sessions; if pi wrote this file, update mempalace-toolkit.",
            )
    if unknown is not None:
        raise unknown


def reference(index: Index, name: str) -> SessionRef:
    """What is known of a session without reading on: no title, and the file's time."""
    file = index.files[name]
    relatives = [index.files[other] for other in index.older.get(name, ())]
    return SessionRef(
        agent="pi",
        id=name,
        title="",
        directory=file.header.directory,
        created=created_of(file),
        updated=file.state.mtime_ns // 1_000_000,
        change_key=_change_key(file, relatives),
        source=str(file.state.path),
    )


def session_id(file: SessionFile) -> str:
    """The header's id; where it has none, the one in the file's name."""
    return file.header.id or shown(file.state.path.stem.rsplit("_", 1)[-1])


def created_of(file: SessionFile) -> int:
    """The header's time; where it has none, the file's."""
    if file.header.created is not None:
        return file.header.created
    return file.state.mtime_ns // 1_000_000


def _older(files: dict[str, SessionFile], by_file: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """For each session the ones of `Index.older`; `files` is oldest first.

    A parent is found by its file's name or the id in it: the folder may have been moved.
    """
    age = {name: position for position, name in enumerate(files)}
    family: dict[str, list[str]] = defaultdict(list)
    older: dict[str, tuple[str, ...]] = {}
    for name, file in files.items():
        relatives = list(family[file.first]) if file.first else []
        parent_name = file.header.parent_file.replace("\\", "/").rsplit("/", 1)[-1]
        in_name = parent_name.removesuffix(".jsonl").rsplit("_", 1)[-1]
        parent = by_file.get(parent_name, in_name)
        if age.get(parent, age[name]) < age[name]:
            relatives = [parent, *(other for other in relatives if other != parent)]
        if relatives:
            older[name] = tuple(relatives)
        family[file.first].append(name)
    return older


def _change_key(file: SessionFile, relatives: Iterable[SessionFile]) -> str:
    """Size and time; of a possible fork also its relatives', which decide what is a copy."""
    key = f"{file.state.size}-{file.state.mtime_ns}"
    states = [f"{other.state.size}-{other.state.mtime_ns}" for other in relatives]
    if not states:
        return key
    return f"{key}-{hashlib.sha256(' '.join(states).encode()).hexdigest()[:8]}"
