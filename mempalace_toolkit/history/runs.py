"""The run history: what every real run of a job came to, a line each, and no word of any talk.

A run that goes on holds a locked file of its own in `running/`; its line is written when it
ends. A file there that nobody holds belongs to a run that was killed: the next one takes it in.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from mempalace_toolkit.files.locking import try_lock
from mempalace_toolkit.files.private import private_folder, write_undone, write_whole
from mempalace_toolkit.history.record import RunRecord, RunStatus, line_of, parse_line

KEPT = 500
_SLACK = 100  # the file is cut only when it is this many lines too long
_LONGEST_LINE = 4096


@dataclass(slots=True)
class OpenRun:
    """A run that goes on: its file in `running/`, locked while `descriptor` is open."""

    folder: Path
    file: Path
    descriptor: int = field(repr=False)

    def end(self, record: RunRecord) -> None:
        """Write the run's line. Raises WriteUndoneError."""
        try:
            with _locked(self.folder):
                _append(self.folder, [record])
        except OSError as error:
            raise write_undone(history_file(self.folder), error) from error

    def close(self) -> None:
        """Let go of the file, and remove it."""
        with suppress(OSError):
            self.file.unlink()
        os.close(self.descriptor)


def history_file(folder: Path) -> Path:
    """The file of lines in the state folder."""
    return folder / "history.jsonl"


def begin_run(folder: Path, started: RunRecord, process: int) -> OpenRun:
    """Note that a run began, and take in those that were killed. Raises WriteUndoneError.

    `folder` is the toolkit's state folder, `process` the run's process number.
    """
    running = private_folder(folder / "running")
    file = running / f"{started.started_ms}-{process}.json"
    beside = file.with_suffix(".writing")
    try:
        _take_in_killed(folder)
        descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try_lock(descriptor)
        _write(descriptor, line_of(started))
        beside.replace(file)  # nobody meets it unlocked
    except OSError as error:
        raise write_undone(file, error) from error
    return OpenRun(folder, file, descriptor)


def read_history(folder: Path) -> tuple[RunRecord, ...]:
    """All runs that are known, oldest first; damaged lines are left out. Writes nothing."""
    left_over = {_key(one): one for _, one in _left_over(folder)}  # first: it may end meanwhile
    records = {**left_over, **_lines(folder)}
    return tuple(sorted(records.values(), key=lambda record: record.started_ms))


def _lines(folder: Path) -> dict[tuple[str, int], RunRecord]:
    try:
        content = history_file(folder).read_bytes()
    except OSError:
        return {}
    return {_key(one): one for one in map(parse_line, content.splitlines()) if one is not None}


def _key(record: RunRecord) -> tuple[str, int]:
    return record.command, record.started_ms


def _left_over(folder: Path) -> Iterator[tuple[Path, RunRecord]]:
    """The runs that have not written their line: still running, or killed."""
    for file in sorted((folder / "running").glob("*.json")):
        with suppress(OSError), file.open("rb") as opened:
            left = try_lock(opened.fileno(), shared=True)
            status: RunStatus = "killed" if left else "running"
            record = parse_line(opened.read(_LONGEST_LINE))
            if record is not None and file.exists():  # a run that ends removes it, then lets go
                yield file, replace(record, status=status)


def _take_in_killed(folder: Path) -> None:
    with _locked(folder):
        killed = {file: one for file, one in _left_over(folder) if one.status == "killed"}
        if not killed:
            return
        known = _lines(folder)
        _append(folder, [one for one in killed.values() if _key(one) not in known])
        for file in killed:
            file.unlink(missing_ok=True)


def _append(folder: Path, records: list[RunRecord]) -> None:
    """Add lines in one write, and cut what is too old. The folder is locked."""
    file = history_file(folder)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        _write(descriptor, b"\n" * torn + b"".join(map(line_of, records)))
    finally:
        os.close(descriptor)
    _cut(file)


def _write(descriptor: int, content: bytes) -> None:
    if os.write(descriptor, content) < len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer at a time, so that no line is added to a file that is being replaced."""
    descriptor = os.open(folder / "history.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _cut(file: Path) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    if len(lines) <= KEPT + _SLACK:
        return
    write_whole(file, b"".join(lines[-KEPT:]), 0o600)
