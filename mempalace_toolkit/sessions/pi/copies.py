"""Several files of one session: which of them is read, and what only the others hold."""

from __future__ import annotations

from collections.abc import Sequence

from mempalace_toolkit.errors import StoreUnreadableError
from mempalace_toolkit.sessions.model import StoreFinding
from mempalace_toolkit.sessions.pi.files import finding, open_file, shown
from mempalace_toolkit.sessions.pi.heads import SessionFile
from mempalace_toolkit.sessions.pi.talk import read_talk
from mempalace_toolkit.sessions.pi.turns import marks_of

BLOCK = 1 << 20


def choose_file(copies: Sequence[SessionFile]) -> tuple[SessionFile | None, list[StoreFinding]]:
    """The file that a session is read from, and a finding for each that holds more than it.

    A file that another begins with is nothing to speak of. Backups are never read for a session:
    what was removed would come back. None where there are only backups.
    """
    files = sorted(copies, key=_fullest_first)
    live = [file for file in files if not file.state.is_backup]
    if not live:
        return None, [_only_backup(file) for file in files]
    if len(files) == 1:
        return live[0], []
    if all(_begins_with(live[0], file) for file in files[1:]):
        return live[0], []
    said = {file.state.path: _messages(file) for file in files}
    main = max(live, key=lambda file: len(said[file.state.path]))
    if any(_own(said[file.state.path], said[main.state.path]) for file in live):
        main = next((f for f in live if f.state.name.endswith(f"_{f.id}.jsonl")), main)
    found = [
        _conflict(file, main, count)
        for file in files
        if (count := _own(said[file.state.path], said[main.state.path]))
    ]
    return main, found


def _fullest_first(file: SessionFile) -> tuple[bool, int, int, str]:
    return file.state.is_backup, -file.state.size, -file.state.mtime_ns, file.state.path


def _begins_with(longer: SessionFile, shorter: SessionFile) -> bool:
    """Whether one file's bytes are the other's beginning."""
    if shorter.state.size > longer.state.size:
        return False
    try:
        with open_file(longer.state.path) as one, open_file(shorter.state.path) as other:
            while block := other.read(BLOCK):
                if one.read(len(block)) != block:
                    return False
    except OSError:
        return False
    return True


def _messages(file: SessionFile) -> list[tuple[int, int]]:
    """The marks of every visible message in a file; none where it cannot be read."""
    try:
        talk = read_talk(file.state.path, file.created, file.id)
    except (OSError, StoreUnreadableError):
        return []
    return [marks_of(turn) for turn in (*talk.turns, *talk.elsewhere)]


def _own(messages: Sequence[tuple[int, int]], others: Sequence[tuple[int, int]]) -> int:
    """How many messages are not among the others."""
    known = {mark for marks in others for mark in marks}
    return sum(1 for marks in messages if known.isdisjoint(marks))


def _conflict(file: SessionFile, main: SessionFile, count: int) -> StoreFinding:
    return finding(
        "conflicting_copy",
        file.state.path,
        f"{count} messages are only in this copy of a session and are not taken; the session "
        f"is read from {shown(main.state.path)}. To take them, make the copy a session of its "
        f"own (pi --fork FILE); to end this, remove the copy",
        file.id,
    )


def _only_backup(file: SessionFile) -> StoreFinding:
    return finding(
        "backup_file",
        file.state.path,
        "not read: a backup of a session that is not there. To take it, rename it so that it "
        "ends in .jsonl; to end this, remove it",
        file.id,
    )
