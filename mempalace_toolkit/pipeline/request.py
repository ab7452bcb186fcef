"""What a run is asked for, and what tells whether it has anything to do."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mempalace_toolkit import __version__
from mempalace_toolkit.intake.selection import Selection
from mempalace_toolkit.model.ensure import ModelRequest
from mempalace_toolkit.palace.location import PalaceLocation
from mempalace_toolkit.report.values import RunReport
from mempalace_toolkit.sessions.model import Agent, Store

Repair = Literal["auto", "always", "never"]
"""When the index is repaired: on damage; on damage that only the model can show, too; never."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """Everything a run needs to know. `now_ms` is the time it counts as happening at, `stamp`
    the same as YYYYMMDD-HHMMSS where the user is, for the names of what is kept.
    `through_server` allows a run to file through MemPalace's server where that holds the palace;
    `server` is the process of the one that a run does file through.
    """

    command: str
    agent: Agent
    palace: PalaceLocation
    data: Path
    home: Path
    model: ModelRequest
    environment: Mapping[str, str]
    now_ms: int
    selection: Selection = field(default_factory=Selection)
    mempalace: str | None = None
    wait: float = 60.0
    stall: float = 900.0
    repair: Repair = "auto"
    stamp: str = "19700101-000000"
    quarantine_bytes: int = 2_000_000_000
    through_server: bool = False
    server: int | None = None

    @property
    def ledger(self) -> Path:
        """The ledger's file."""
        return self.data / "ledger.sqlite3"

    @property
    def spool(self) -> Path:
        """The folder of pages."""
        return self.data / "spool"


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
