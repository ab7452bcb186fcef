"""The run history: what every real run of a job came to, a line each, and no word of any talk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RunStatus = Literal["ok", "noop", "damaged", "busy", "failed", "interrupted", "running", "killed"]
"""A report's word; or how a run went on that had no report.

`interrupted`: by a signal that it obeyed. `running`: it still holds its file. `killed`: it
ended without a word.
"""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run of a command. Times are milliseconds since the epoch; None: not ended.

    `command` is what was called: `mempalace-session`, `mempalace-toolkit repair`. `error` is
    the kind of its error, or empty. `started_by` is the scheduler, empty where nothing tells.
    """

    command: str
    started_ms: int
    ended_ms: int | None
    status: RunStatus
    exit_code: int | None = None
    sessions: int | None = None
    drawers: int | None = None
    repaired: bool = False
    error: str = ""
    started_by: str = ""
