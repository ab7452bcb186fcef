"""Where pi's session files lie: the folders, and the files in them."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from mempalace_toolkit.errors import StoreUnreadableError
from mempalace_toolkit.sessions.model import StoreFinding

BUFFER = 128 << 10
BACKUP_ENDINGS = (".bak", ".backup", ".old", ".orig", "~")


@dataclass(frozen=True, slots=True)
class FileState:
    """A session file as stat saw it."""

    path: str
    size: int
    mtime_ns: int

    @property
    def name(self) -> str:
        """Its name without the folder."""
        return self.path.rpartition("/")[2]

    @property
    def folder(self) -> str:
        """The name of the folder that it is in."""
        return self.path.rpartition("/")[0].rpartition("/")[2]

    @property
    def is_backup(self) -> bool:
        """Whether its name says that a person or a program put it aside."""
        return self.path.endswith(BACKUP_ENDINGS)


@dataclass(slots=True)
class Listing:
    """The session files of some places, and what could not be listed."""

    files: list[FileState]
    failures: list[StoreUnreadableError]
    findings: list[StoreFinding] = field(default_factory=list)


def shown(path: Path | str) -> str:
    """A path that can stand in one line of UTF-8, whatever bytes are in it."""
    text = str(path).encode("utf-8", "backslashreplace").decode()
    return text if text.isprintable() else repr(text)[1:-1]


def finding(kind: str, path: str, message: str, session: str = "") -> StoreFinding:
    """A finding about one file."""
    return StoreFinding(kind, message, shown(path), session)


def cannot_read(path: Path | str, error: OSError) -> StoreUnreadableError:
    """The failure of one file or folder."""
    return StoreUnreadableError(
        f"cannot read {shown(path)}: {error.strerror or error}",
        "Check that it exists and that you may read it (ls -ld); other sessions are not concerned.",
    )


def open_file(path: str) -> BinaryIO:
    """Open a regular file; anything else raises OSError at once and is not waited for."""
    return os.fdopen(open_descriptor(path), "rb", BUFFER)


def open_descriptor(path: str) -> int:
    """As `open_file`; the caller closes the descriptor."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    raise OSError(errno.EINVAL, "it is not a regular file", path)


def check_place(place: Path) -> None:
    """Raise StoreUnreadableError where `place` is neither a session file nor a sessions folder.

    An empty folder, or one with only empty folders as pi names them, is a store without sessions.
    """
    hint = "Name a pi sessions folder, a folder that holds one as `sessions`, or a .jsonl file."
    try:
        mode = place.stat().st_mode
        if stat.S_ISREG(mode):
            return
        if not stat.S_ISDIR(mode):
            raise StoreUnreadableError(f"{shown(place)} is neither a file nor a folder", hint)
        names = [path.name for path in place.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise StoreUnreadableError(cannot_read(place, error).message, hint) from error
    except ValueError as error:  # a NUL in the name
        raise StoreUnreadableError(f"{shown(place)} cannot be a path: {error}", hint) from error
    if not names or "sessions" in names or any(name.startswith("--") for name in names):
        return
    listing = list_files([place])
    if not listing.files and not listing.failures:
        raise StoreUnreadableError(f"{shown(place)} holds no pi sessions", hint)


def list_files(places: Sequence[Path]) -> Listing:
    """Every session file once, by path; a file reached twice (links) under its own name.

    Backups (`x.jsonl.bak`) are among them. A name that ends in .jsonl and is a pipe, a socket or
    a device is a finding.
    """
    listing = Listing([], [])
    known: set[tuple[int, int]] = set()
    found: list[tuple[bool, str]] = []
    for place in places:
        try:
            if stat.S_ISDIR(place.stat().st_mode):
                for folder in _folders(place, known, listing.failures):
                    found.extend(_session_files(folder, listing.failures))
            else:
                found.append((place.is_symlink(), str(place)))
        except OSError as error:
            listing.failures.append(cannot_read(place, error))
    files: dict[tuple[int, int], FileState] = {}
    for _, path in sorted(found):
        try:
            state = os.stat(path)  # noqa: PTH116 - a Path for each of many files costs as much
        except OSError as error:
            listing.failures.append(cannot_read(path, error))
            continue
        if stat.S_ISREG(state.st_mode):
            identity = (state.st_dev, state.st_ino)
            if identity not in files:
                files[identity] = FileState(path, state.st_size, state.st_mtime_ns)
        elif not stat.S_ISDIR(state.st_mode):
            message = "not read: it is not a regular file (a pipe, a socket or a device)"
            listing.findings.append(finding("not_a_file", path, message))
    listing.files = sorted(files.values(), key=lambda file: file.path)
    return listing


def each_file(place: Path) -> Iterator[FileState]:
    """The session files of a place one after another, for a look at the first ones."""
    if not place.is_dir():
        yield from list_files([place]).files
        return
    for folder in _folders(place, set(), []):
        yield from list_files([Path(path) for _, path in sorted(_session_files(folder, []))]).files


def _session_files(folder: str, failures: list[StoreUnreadableError]) -> list[tuple[bool, str]]:
    """(is a link, path) of session files and their backups."""
    return [
        (link, path)
        for link, path, _ in _entries(folder, failures)
        if path.endswith(".jsonl") or (path.endswith(BACKUP_ENDINGS) and ".jsonl" in path)
    ]


def _folders(
    place: Path, known: set[tuple[int, int]], failures: list[StoreUnreadableError]
) -> Iterator[str]:
    """The folders that may hold session files, each once however it is reached.

    pi's are one level deep. Where there is a `sessions`, the place is an agent folder, whose
    other subfolders (extensions, say) are none of ours.
    """
    root = str(place)
    subfolders = _subfolders(root, failures)
    inner = [path for path in subfolders if path.endswith("/sessions")]
    folders = [root, *(inner or subfolders)]
    for path in inner:
        folders += _subfolders(path, failures)
    for folder in folders:
        state = os.stat(folder)  # noqa: PTH116
        if (state.st_dev, state.st_ino) not in known:
            known.add((state.st_dev, state.st_ino))
            yield folder


def _subfolders(folder: str, failures: list[StoreUnreadableError]) -> list[str]:
    return [path for _, path, is_folder in _entries(folder, failures) if is_folder]


def _entries(folder: str, failures: list[StoreUnreadableError]) -> list[tuple[bool, str, bool]]:
    """(is a link, path, is a folder) of what lies in a folder; a failure where it is locked."""
    try:
        with os.scandir(folder) as entries:
            return [(e.is_symlink(), e.path, _is_folder(e)) for e in entries]
    except OSError as error:
        failure = cannot_read(folder, error)
        if failure.message not in {known.message for known in failures}:
            failures.append(failure)
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle, say
        return False
