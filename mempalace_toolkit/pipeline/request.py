"""What a run is asked for, and what tells whether it has anything to do."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal, NamedTuple

from mempalace_toolkit import __version__
from mempalace_toolkit.intake.selection import Selection
from mempalace_toolkit.model.ensure import ModelRequest
from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.report.values import RunReport
from mempalace_toolkit.sessions.model import Agent, Store

Repair = Literal["auto", "always", "never"]
"""When the index is repaired: on damage; on damage that only the model can show, too; never."""


@dataclass(frozen=True, slots=True)
class PalaceRequest:
    """A palace, and what every work on it needs to know. `now_ms` is the time that counts as its
    moment, `stamp` the same as YYYYMMDD-HHMMSS where the user is, for the names of what is kept.
    """

    command: str
    palace: PalaceLocation
    data: Path
    home: Path
    model: ModelRequest
    environment: Mapping[str, str]
    now_ms: int
    stamp: str
    wait: float = 60.0
    quarantine_bytes: int = 2_000_000_000

    @property
    def ledger(self) -> Path:
        """The ledger's file."""
        return self.data / "ledger.sqlite3"

    @property
    def spool(self) -> Path:
        """The folder of pages."""
        return self.data / "spool"

    @property
    def vectors(self) -> Path:
        """The folder of vectors that are kept until they are filed."""
        return self.data / "vectors"


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A run: one agent's sessions into a palace. `target` is that palace.

    `through_server` allows a run to file through MemPalace's server where that holds the palace;
    `server` is the process of the one that a run does file through.
    """

    target: PalaceRequest
    agent: Agent
    selection: Selection = field(default_factory=Selection)
    mempalace: str | None = None
    stall: float = 900.0
    repair: Repair = "auto"
    through_server: bool = False
    server: int | None = None


class Held(NamedTuple):
    """What a run has open: the palace's lock, which its children inherit, and its log."""

    lock: int
    log: IO[bytes]


def signed(store: Store, request: RunRequest) -> tuple[str, str]:
    """What is taken and how (another option is another key), and the state it is in."""
    places = ":".join(str(place) for place in store.places)
    key = f"{request.agent}|{request.selection.options()}|{places}"
    return key, f"{store.signature()}|{__version__}"


@contextmanager
def timed(report: RunReport, stage: str) -> Iterator[None]:
    start = time.monotonic()
    try:
        yield
    finally:
        report.seconds[stage] = report.seconds.get(stage, 0.0) + time.monotonic() - start
