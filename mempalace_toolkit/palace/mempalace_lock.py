"""Holds MemPalace's own lock on a palace, so that its writers wait while files are swapped."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mempalace_toolkit.errors import PalaceBusyError
from mempalace_toolkit.files.locking import try_lock
from mempalace_toolkit.files.private import private_folder, write_undone
from mempalace_toolkit.palace.open_elsewhere import refuse_while_open_elsewhere
from mempalace_toolkit.palace.toolkit_lock import (
    mempalace_holder,
    mempalace_lock_name,
    write_holder,
)

_HOLDER_AT = 1  # byte 0 is MemPalace's own, see mempalace/palace/palace_lock.py


@contextmanager
def hold_mempalace_lock(palace: Path, home: Path) -> Iterator[int]:
    """Hold it for the length of a `with` block; yields the descriptor, for children to inherit.

    Raises PalaceBusyError, naming the holder or whoever has the palace open without holding
    the lock, and WriteUndoneError.
    """
    file = private_folder(home / ".mempalace" / "locks") / mempalace_lock_name(palace)
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise write_undone(file, error) from error
    try:
        if not try_lock(descriptor):
            holder = mempalace_holder(palace, home) or "another process"
            raise PalaceBusyError(
                f"the palace {palace} is held by {holder}",
                "wait for it to end, or stop it, then run again",
                holder,
            )
        write_holder(descriptor, f"{os.getpid()} mempalace-toolkit repair", _HOLDER_AT, file)
        refuse_while_open_elsewhere(palace)
        yield descriptor
    finally:
        os.close(descriptor)
