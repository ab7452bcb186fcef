"""MemPalace's server of a palace: `mempalace serve`, which may hold the palace for days.

From its first write until it ends it holds MemPalace's lock on the palace. Other MemPalace
commands send their work to it; where it is they read in a record below `~/.mempalace/server/`.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_RECORD_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class PalaceServer:
    """A server that is running and takes writes: its process, and where it listens."""

    process: int
    address: str


def server_of(palace: Path, home: Path) -> PalaceServer | None:
    """The palace's server; None where there is none, or it only reads."""
    key = hashlib.sha256(os.path.normcase(os.path.realpath(palace)).encode()).hexdigest()[:24]
    record = home / ".mempalace" / "server" / key / "serverinfo.json"
    with suppress(OSError, ValueError, LookupError, TypeError, RecursionError):
        with record.open("rb") as file:
            told = json.loads(file.read(_RECORD_BYTES))
        process, port = told["pid"], told["port"]
        if isinstance(process, int) and process > 0 and not told.get("read_only"):
            _require_alive(process)
            return PalaceServer(process, f"{told.get('scheme') or 'http'}://{told['host']}:{port}")
    return None


def _require_alive(process: int) -> None:
    """Raise OSError where there is no such process. Another user's is alive, too."""
    with suppress(PermissionError):
        os.kill(process, 0)
