"""The values every session store is read into: references, turns, sessions, findings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from mempalace_toolkit.errors import StoreUnreadableError

Agent = Literal["opencode", "pi"]
READER_VERSIONS: Mapping[Agent, int] = {"opencode": 1, "pi": 1}
"""Raise an agent's number when its reader takes other turns from the same store than before:
every session of that agent is then read once more."""
Role = Literal["user", "assistant"]
Mark = tuple[Role, int]
"""What names a stored message across readings: who said it, and when (ms since the epoch)."""

MOVED_FOLDER = "folder_moved"
"""A finding whose path is gone, while its project is elsewhere; `[wings]` settles it."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One visible message, verbatim.

    `time` is milliseconds since the epoch. `key` names the turn itself and survives its
    being copied into a fork, so that equal keys in two sessions mean one turn. It holds within
    one process and is not to be stored.
    """

    role: Role
    text: str
    time: int
    key: str


@dataclass(frozen=True, slots=True)
class StoreFinding:
    """Something in a store that could not be taken as it stands; the rest was read.

    `kind` is a stable word (`malformed_row`, `duplicate_session`, …); `session` is empty
    where the finding belongs to the whole store. `message` never quotes talk.
    """

    kind: str
    message: str
    path: str
    session: str = ""


@dataclass(frozen=True, slots=True)
class SessionRef:
    """What is known of a session without reading its talk.

    `created` and `updated` are milliseconds since the epoch. `parent` is the session that
    spawned this one as a sub-agent. `change_key` differs whenever what can be read of the
    session may differ. `source` is the file or folder it is read from. `repository` is the main
    folder of the project as the agent recorded it, for the case that `directory` is gone; empty
    where the agent does not say.
    """

    agent: Agent
    id: str
    title: str
    directory: str
    created: int
    updated: int
    change_key: str
    source: str
    parent: str | None = None
    archived: bool = False
    repository: str = ""


def is_meant(session: str, asked: str) -> bool:
    """Whether `asked` names a session: by its id, or by the one that several sessions have.

    Of sessions with one id in their files all but one get `~` and a digest after it.
    """
    plain, mark, _ = session.rpartition("~")
    return asked == session or (mark == "~" and asked == plain)


@dataclass(frozen=True, slots=True)
class Session:
    """A session's visible turns, in the order they were said.

    The first `copied` turns stand in session `copied_from` too (a fork). `ref` is the
    reference that was asked for, completed with what only reading tells (pi's title).

    `withdrawn` names the messages that the store positively marks as not said any more (a
    revert record, the agent's own record of a removal, a branch that was left), each with the
    reason, and those that are still there and are no talk by this reader's rules. A message
    that is merely absent is never in it.
    """

    ref: SessionRef
    turns: tuple[Turn, ...]
    copied: int = 0
    copied_from: str | None = None
    findings: tuple[StoreFinding, ...] = ()
    withdrawn: Mapping[Mark, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TurnCount:
    """How many turns of each role a session has, none of them copied; how long they are, about.

    `title` and `updated` are those that reading gives the reference, where they differ from its.
    """

    user: int
    assistant: int
    characters: int = field(default=0, compare=False)
    title: str | None = None
    updated: int | None = None


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the ledger recorded of a session, by which a store knows it again."""

    change_key: str
    directory: str


@runtime_checkable
class RemembersNames(Protocol):
    """A store whose ids may name several sessions; it is told which one had which name."""

    def remember(self, names: Mapping[str, Remembered]) -> None:
        """Give these names to no other session; to be called before `find_sessions`."""


@runtime_checkable
class CountsTurns(Protocol):
    """A store that can tell how many turns most sessions have without building them."""

    def count_turns(self, ref: SessionRef) -> TurnCount | None:
        """How many turns `read_session` would give, where that can be told faster than by reading.

        None: read it. A count is given only for a session that reading gives without copied
        turns and without findings. Raises as `read_session` does.
        """


class Store(Protocol):
    """One opened set of an agent's session files; a context manager.

    Reading is side by side with the running agent: it neither writes, nor locks, nor waits.
    """

    @property
    def places(self) -> tuple[Path, ...]:
        """The files and folders that are read."""

    @property
    def findings(self) -> tuple[StoreFinding, ...]:
        """What was wrong with the store as a whole, so far."""

    @property
    def failures(self) -> tuple[StoreUnreadableError, ...]:
        """Places that could not be read while others could, so far: ask after listing."""

    def signature(self) -> str:
        """A cheap key (stat calls only): equal means that nothing can have changed."""

    def find_sessions(self) -> Iterator[SessionRef]:
        """Every session once, oldest first; deleted ones never."""

    def read_session(self, ref: SessionRef) -> Session:
        """The session's visible turns.

        Raises StoreUnreadableError where it cannot be read: that is not to be taken for a
        session without turns.
        """

    def close(self) -> None:
        """Release what is held open."""
