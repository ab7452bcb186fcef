"""One run of a job as a line of the run history."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Literal, get_args

VERSION = 1
_LARGEST = 10**14  # the year 5138 in milliseconds

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
    `filing_ms` is how long embedding and filing those drawers took.
    `holder` is who held the palace, for a run that was busy.
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
    holder: str = ""
    filing_ms: int | None = None

    @property
    def seconds(self) -> float | None:
        """How long it took."""
        return None if self.ended_ms is None else (self.ended_ms - self.started_ms) / 1000


def line_of(record: RunRecord) -> bytes:
    """The JSON line of a record."""
    return json.dumps({"version": VERSION, **asdict(record)}).encode() + b"\n"


def parse_line(line: bytes) -> RunRecord | None:
    """The record of a line; None where it is damaged or of a version that is not known."""
    try:
        read = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(read, dict) or read.pop("version", None) != VERSION:
        return None
    known = {one.name: read[one.name] for one in fields(RunRecord) if one.name in read}
    try:
        record = RunRecord(**known)
    except TypeError:
        return None
    return record if _is_sound(record) else None


def _is_sound(record: RunRecord) -> bool:
    numbers = (
        record.ended_ms,
        record.exit_code,
        record.sessions,
        record.drawers,
        record.filing_ms,
    )
    known = [record.started_ms, *(number for number in numbers if number is not None)]
    return (
        all(type(number) is int and 0 <= number < _LARGEST for number in known)
        and all(
            isinstance(word, str)
            for word in (record.command, record.error, record.started_by, record.holder)
        )
        and record.status in get_args(RunStatus)
        and isinstance(record.repaired, bool)
    )
