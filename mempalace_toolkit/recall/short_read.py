"""Reads a palace's database in short transactions, one at a time in this process.

A writer waits for as long as a reader reads. Closing any file that is the database drops the
locks that other threads of the process hold on it: hence one read at a time.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from mempalace_toolkit.chroma.database import open_database
from mempalace_toolkit.errors import PalaceMovedError
from mempalace_toolkit.palace.location import PalaceLocation

_TRIES = 20
_PAUSE_SECONDS = 0.05
_one_at_a_time = threading.RLock()

Read = TypeVar("Read")


def read_shortly(palace: PalaceLocation, look: Callable[[sqlite3.Connection], Read]) -> Read:
    """What `look` reads, all of it of one moment.

    Raises MempalaceError where the database cannot be read, PalaceBusyError where it stays
    locked or is written to each time it is opened.
    """
    for _ in range(_TRIES - 1):
        try:
            return _read(palace, look)
        except PalaceMovedError:
            time.sleep(_PAUSE_SECONDS)
    return _read(palace, look)


def _read(palace: PalaceLocation, look: Callable[[sqlite3.Connection], Read]) -> Read:
    with _one_at_a_time, open_database(palace) as opened:
        return look(opened.connection)
