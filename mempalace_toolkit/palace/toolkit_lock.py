"""One writer a palace: the toolkit's own lock, and a look at MemPalace's.

Both are flock, so the kernel releases them however their holder ends. Ours lies inside the
palace folder, where a container and its host that share the palace meet on one file.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mempalace_toolkit.errors import PalaceBusyError, WriteUndoneError
from mempalace_toolkit.files.locking import try_lock, wait_while_blocked
from mempalace_toolkit.files.private import is_full, private_folder, write_undone
from mempalace_toolkit.palace.server import PalaceServer, server_of

LOCK_NAME = ".mempalace-toolkit.lock"


@contextmanager
def palace_lock(
    palace: Path, home: Path, wait: float, holder: str, server: int | None = None
) -> Iterator[int]:
    """Hold the palace against every other writer for the length of a `with` block.

    `server` is the process of MemPalace's server, where what is written goes through it: that
    it holds MemPalace's lock does not stand in the way then.

    Waits up to `wait` seconds for another toolkit run and for a MemPalace writer. Yields the
    lock's file descriptor: a child that inherits it keeps the palace held until it, too, has
    ended. `holder` is what a later contender is told. Raises PalaceBusyError.
    """
    descriptor = _open_lock(palace)
    try:
        _hold(descriptor, palace, home, wait, holder, server)
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def palace_released(
    descriptor: int, palace: Path, home: Path, wait: float, holder: str
) -> Iterator[None]:
    """Let others have a palace that is held, for the length of a `with` block.

    It is held again afterwards, as by `palace_lock`. Raises PalaceBusyError.
    """
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    yield
    _hold(descriptor, palace, home, wait, holder)


def mempalace_lock_name(palace: Path) -> str:
    """The name of MemPalace's lock file of a palace, below `~/.mempalace/locks` (3.11).

    Its key is 16 hex digits of the real path's sha256.
    """
    key = hashlib.sha256(os.path.realpath(palace).encode()).hexdigest()[:16]
    return f"mine_palace_{key}.lock"


def mempalace_holder(palace: Path, home: Path) -> str | None:
    """Who holds MemPalace's own lock on the palace right now: `PID N (command)`, or None.

    MemPalace 3.11 writes the holder from byte 1 on.
    """
    file = home / ".mempalace" / "locks" / mempalace_lock_name(palace)
    return _holder_of(file, os.O_RDWR, offset=1)


def palace_holder(palace: Path, home: Path) -> str | None:
    """Who holds the palace right now, by our lock or by MemPalace's own. Writes nothing."""
    ours = _holder_of(palace / LOCK_NAME, os.O_RDONLY, shared=True)
    return ours or mempalace_holder(palace, home)


def _holder_of(file: Path, access: int, *, shared: bool = False, offset: int = 0) -> str | None:
    """Who holds the lock on a file, as it says from `offset` on; None where nobody does."""
    try:
        descriptor = os.open(file, access | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if try_lock(descriptor, shared=shared):
            return None
        return _holder(os.pread(descriptor, 500, offset))
    finally:
        os.close(descriptor)


def held_by(holder: str | None, process: int) -> bool:
    """Whether this is the process that `mempalace_holder` names."""
    return holder is not None and holder.startswith(f"PID {process} ")


def _hold(
    descriptor: int,
    palace: Path,
    home: Path,
    wait: float,
    holder: str,
    server: int | None = None,
) -> None:
    deadline = time.monotonic() + wait
    other = wait_while_blocked(
        deadline, lambda: None if try_lock(descriptor) else _holder(os.pread(descriptor, 500, 0))
    )
    if other:
        raise busy_palace(palace, other)
    write_holder(descriptor, f"PID {os.getpid()} ({holder})", 0, palace / LOCK_NAME)
    other = wait_while_blocked(deadline, lambda: _foreign_holder(palace, home, server))
    if other:
        raise busy_palace(palace, other, server_of(palace, home))


def _open_lock(palace: Path) -> int:
    private_folder(palace)
    try:
        return os.open(palace / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if is_full(error):
            raise write_undone(palace / LOCK_NAME, error) from error
        raise WriteUndoneError(
            f"cannot use {palace} as a palace: {error.strerror or error}",
            "name a folder that you may write to with --palace",
        ) from error


def write_holder(descriptor: int, holder: str, at: int, file: Path) -> None:
    """Name the holder in a lock's file, from this byte on. Raises WriteUndoneError.

    What is there is written over before the file is cut: on a full disk its block stays ours.
    """
    content = holder.encode()
    try:
        if os.pwrite(descriptor, content, at) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.ftruncate(descriptor, at + len(content))
    except OSError as error:
        raise write_undone(file, error) from error


def _foreign_holder(palace: Path, home: Path, server: int | None) -> str | None:
    """Who holds MemPalace's lock, other than the server that takes what is written."""
    holder = mempalace_holder(palace, home)
    return None if server and held_by(holder, server) else holder


def busy_palace(palace: Path, holder: str, server: PalaceServer | None = None) -> PalaceBusyError:
    """The error for a palace that is held, with what its holder asks for; it may be the `server`
    that takes work from others."""
    ends = "wait for it to end, or stop it"
    if server and held_by(holder, server.process):
        ends = (
            "it takes work from other commands: with `through_server = true` in config.toml a run"
            " files through it. Or stop it"
        )
    elif "mcp" in holder or "serve" in holder:
        ends = (
            "a MemPalace server holds it from its first write until it ends: restart the program"
            " that it belongs to (an editor, say)"
        )
    return PalaceBusyError(
        f"the palace {palace} is held by {holder}",
        f"{ends}, then run again; --wait SECONDS waits longer",
        holder,
    )


def _holder(content: bytes) -> str:
    text = content.decode("utf-8", "replace").strip("\0 \n")
    if not text:
        return "another process"
    number, _, command = text.removeprefix("PID ").partition(" ")
    with suppress(ValueError):
        return f"PID {int(number)} ({command.strip().strip('()') or 'unnamed'})"
    return text
