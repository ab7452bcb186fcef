"""The note in a quarantined index folder that says that a repair replaced it, and why."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_NOTE = ".mempalace-toolkit-replaced.json"
_NOTE_BYTES = 1 << 16


def note_replaced(folder: Path, kinds: Sequence[str]) -> None:
    """Note in a kept folder that a repair replaced it, and for which findings.

    The note names the folder, so it says nothing of another index that `restore` puts under
    that name. A folder without a note is only ever removed when a person asks; so a note that
    cannot be written does no harm.
    """
    note = {"version": 1, "name": folder.name, "kinds": list(kinds)}
    with suppress(OSError):
        (folder / _NOTE).write_text(json.dumps(note), encoding="utf-8")


def noted(folder: Path) -> tuple[str, ...] | None:
    """The findings for which a repair replaced the folder; None where no repair did."""
    try:
        with (folder / _NOTE).open("rb") as file:
            note = json.loads(file.read(_NOTE_BYTES))
        return tuple(map(str, note["kinds"])) if note["name"] == folder.name else None
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
