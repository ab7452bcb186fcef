"""What the first and last lines of all pi files tell: the sessions, and what a fork may copy."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mempalace_toolkit.errors import StoreUnreadableError, UnknownSchemaError
from mempalace_toolkit.sessions.model import Remembered, SessionRef, StoreFinding
from mempalace_toolkit.sessions.pi.copies import choose_file
from mempalace_toolkit.sessions.pi.files import Listing, each_file
from mempalace_toolkit.sessions.pi.heads import SessionFile, read_head
from mempalace_toolkit.sessions.pi.names import (
    NOTHING,
    Key,
    age_of,
    digest_of,
    key_of,
    name_sessions,
)

REVISION = "2"
"""Stands in every change key: with other rules of reading, every session is read again."""


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


def look(listing: Listing, recorded: Mapping[str, Remembered] = NOTHING) -> Index:
    """Read the first and last lines of every file. `recorded` says which names are taken."""
    failures, findings = list(listing.failures), list(listing.findings)
    files: list[SessionFile] = []
    for state in listing.files:
        try:
            head = read_head(state)
        except StoreUnreadableError as failure:
            failures.append(failure)
            continue
        if isinstance(head, SessionFile):
            files.append(head)
        elif not state.is_backup:
            findings.append(head)
    groups: dict[Key, list[SessionFile]] = defaultdict(list)
    for file in _placed(files):
        groups[key_of(file)].append(file)
    chosen: list[SessionFile] = []
    for copies in groups.values():
        main, found = choose_file(copies)
        findings += found
        if main is not None:
            chosen.append(main)
    names = name_sessions(chosen, recorded)
    sessions = {names[key_of(file)]: file for file in sorted(chosen, key=age_of)}
    by_file = {file.state.name: names[key_of(file)] for file in files if key_of(file) in names}
    return Index(sessions, _older(sessions, by_file), tuple(findings), tuple(failures))


def check_versions(place: Path) -> None:
    """Raise UnknownSchemaError where there are files and none is a session that can be read."""
    unknown: StoreUnreadableError | None = None
    for state in each_file(place):
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
    """What is known of a session without reading on: no title, and the time of its last message."""
    file = index.files[name]
    relatives = [index.files[other] for other in index.older.get(name, ())]
    return SessionRef(
        agent="pi",
        id=name,
        title="",
        directory=file.header.directory,
        created=file.created,
        updated=file.updated,
        change_key=_change_key(file, relatives),
        source=file.state.path,
    )


def _placed(files: Sequence[SessionFile]) -> list[SessionFile]:
    """The files; one without a header gets the working folder of those beside it."""
    if not any(file.headless for file in files):
        return list(files)
    folders = {
        file.state.path.rpartition("/")[0]: file.header.directory
        for file in files
        if not file.headless and file.header.directory
    }
    placed = []
    for file in files:
        beside = folders.get(file.state.path.rpartition("/")[0])
        if file.headless and beside and file.header.directory:
            header = dataclasses.replace(file.header, directory=beside)
            file = dataclasses.replace(file, header=header)
        placed.append(file)
    return placed


def _older(files: dict[str, SessionFile], by_file: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """For each session the ones of `Index.older`; `files` is oldest first.

    A parent is found by its file's name or the id in it: the folder may have been moved.
    """
    age = {name: position for position, name in enumerate(files)}
    family: dict[str, list[str]] = defaultdict(list)
    older: dict[str, tuple[str, ...]] = {}
    for name, file in files.items():
        relatives = list(family[file.first]) if file.first else []
        if file.header.parent_file:
            parent_name = re.split(r"[/\\]", file.header.parent_file)[-1]
            in_name = parent_name.removesuffix(".jsonl").rsplit("_", 1)[-1]
            parent = by_file.get(parent_name, in_name)
            if age.get(parent, age[name]) < age[name]:
                relatives = [parent, *(other for other in relatives if other != parent)]
        if relatives:
            older[name] = tuple(relatives)
        family[file.first].append(name)
    return older


def _change_key(file: SessionFile, relatives: Iterable[SessionFile]) -> str:
    """Size, time, and what session it is; of a possible fork also its relatives' size and time.

    They decide what is a copy.
    """
    key = f"{REVISION}-{file.state.size}-{file.state.mtime_ns}-{digest_of(file)}"
    states = [f"{other.state.size}-{other.state.mtime_ns}" for other in relatives]
    if not states:
        return key
    return f"{key}-{hashlib.sha256(' '.join(states).encode()).hexdigest()[:8]}"
