"""Which name each session gets: `pi --session-id` gives one id to sessions of several projects."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from mempalace_toolkit.sessions.model import Remembered
from mempalace_toolkit.sessions.pi.heads import SessionFile

Key = tuple[str, str, str]
"""What makes a session: the header's id, the working folder, the first entry."""

NOTHING: Mapping[str, Remembered] = MappingProxyType({})

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_KEY_DIGEST = re.compile(r"\d+-\d+-\d+-([0-9a-f]{8})")


def key_of(file: SessionFile) -> Key:
    return file.id, file.header.directory, file.first


def age_of(file: SessionFile) -> tuple[int, str, str, str]:
    """Older sessions sort first."""
    return file.created, *key_of(file)


def digest_of(file: SessionFile) -> str:
    """Eight digits that name a session among those of its id."""
    told = f"{file.header.directory}\0{file.first}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(told).hexdigest()[:8]


def name_sessions(
    files: Iterable[SessionFile], recorded: Mapping[str, Remembered]
) -> Mapping[Key, str]:
    """A name for each session, one file each: its header's id, which one of several has alone.

    That is the one that is recorded under it, else the oldest. The others' names have the digest
    too. No session takes the name of one that is recorded and gone.
    """
    namesakes: dict[str, list[SessionFile]] = defaultdict(list)
    for file in files:
        namesakes[file.id].append(file)
    names: dict[Key, str] = {}
    for id, sessions in namesakes.items():
        holder = _holder(sessions, recorded.get(id))
        for file in sessions:
            names[key_of(file)] = id if file is holder else f"{id}~{digest_of(file)}"
    return names


def _holder(sessions: Sequence[SessionFile], record: Remembered | None) -> SessionFile | None:
    """The session that has the plain id; None where it is that of one that is gone."""
    oldest = min(sessions, key=age_of)
    if record is None:
        return oldest
    known = _KEY_DIGEST.match(record.change_key)
    if known:
        for file in sessions:
            if digest_of(file) == known[1]:
                return file
    same = [file for file in sessions if file.header.directory == record.directory]
    if not known:  # recorded by an older version
        return min(same, key=age_of, default=None)
    if _UUID.fullmatch(oldest.id):  # nobody gives it twice: lines were lost at the beginning
        return min(same, key=age_of, default=oldest if oldest.headless else None)
    return None
