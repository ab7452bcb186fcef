"""Looks at a palace so that all that is seen is of one moment, whatever is written meanwhile.

The database is read in one transaction. The index files have none: they are taken for those of
the same moment where their names, sizes, times and inodes are the same before and after.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from mempalace_toolkit.chroma.database import moved, one_transaction
from mempalace_toolkit.errors import PalaceBusyError, PalaceMovedError
from mempalace_toolkit.index.check.fingerprint import Fingerprint, palace_fingerprint
from mempalace_toolkit.palace.location import DATABASE, PalaceLocation

LOOKS = 4
_PAUSE_SECONDS = 0.1
# A journal comes and goes with each transaction of a writer who waits for this reader to end.
_NO_CONTENT = (f"{DATABASE}-journal", f"{DATABASE}-shm")

Seen = TypeVar("Seen")


@dataclass(frozen=True, slots=True)
class Moment(Generic[Seen]):
    """What was seen, and the files that it was seen in."""

    seen: Seen
    fingerprint: Fingerprint | None

    def is_over(self, palace: PalaceLocation) -> bool:
        """Whether the files have changed since."""
        return _content(self.fingerprint) != _content(palace_fingerprint(palace.path))


def at_one_moment(palace: PalaceLocation, look: Callable[[], Seen]) -> Moment[Seen]:
    """What `look` sees; it is called again, up to three times, where the files have changed.

    Raises PalaceMovedError where they do so each time, and what `look` raises.
    """
    for number in range(LOOKS):
        time.sleep(number * _PAUSE_SECONDS)
        try:
            return _look_once(palace, look)
        except PalaceMovedError:
            continue
    raise moved(palace)


def _look_once(palace: PalaceLocation, look: Callable[[], Seen]) -> Moment[Seen]:
    with one_transaction(palace):
        moment = Moment(None, palace_fingerprint(palace.path))
        try:
            seen = look()
        except PalaceBusyError:
            raise
        except Exception as error:
            if moment.is_over(palace):
                raise moved(palace) from error
            raise
        if moment.is_over(palace):
            raise moved(palace)
    return Moment(seen, moment.fingerprint)


def _content(fingerprint: Fingerprint | None) -> Fingerprint | None:
    return fingerprint and tuple(one for one in fingerprint if one[0] not in _NO_CONTENT)
