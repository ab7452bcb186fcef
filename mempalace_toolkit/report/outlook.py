"""What a run would meet and do as things are: what a dry run tells beside the sessions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mempalace_toolkit.errors import ToolkitError

PaceSource = Literal["last_runs", "probe", ""]
"""Where the expected seconds come from: earlier runs, a short measurement, or nothing to do."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a run would file, with what, into what, and what would stop it.

    `pages` are written or filed again, `drawers` and `seconds` are estimates. `model` is a line
    about the embedding model, `fetches_model` whether it has to be fetched first. `repair` are
    the steps of the repair that a run would make first. `stops` are the failures that the run
    would meet as things are, in the order in which it would.
    """

    pages: int = 0
    drawers: int = 0
    seconds: float = 0.0
    pace_source: PaceSource = ""
    mempalace: str = ""
    model: str = ""
    fetches_model: bool = False
    holder: str = ""
    bytes_needed: int = 0
    bytes_free: int = 0
    repair: tuple[str, ...] = ()
    stops: tuple[ToolkitError, ...] = ()

    def as_json(self) -> dict[str, object]:
        """The object under `outlook`."""
        return {
            "pages": self.pages,
            "drawers": self.drawers,
            "seconds": round(self.seconds, 1),
            "seconds_from": self.pace_source,
            "mempalace": self.mempalace,
            "model": {"name": self.model, "to_fetch": self.fetches_model},
            "holder": self.holder,
            "bytes_needed": self.bytes_needed,
            "bytes_free": self.bytes_free,
            "repair": list(self.repair),
            "stops": [error.as_json() for error in self.stops],
        }
