"""Children that need not load chromadb: forked by a process that has loaded it already."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import BinaryIO

from mempalace_toolkit.children import CHILD_FOLDER, own_command, settled

_SERVED = ("child_rebuild", "child_prove", "child_upsert")
_host: ContextVar[socket.socket | None] = ContextVar("host", default=None)
_held: ContextVar[tuple[int, ...]] = ContextVar("held", default=())


@dataclass(slots=True)
class ForkedChild:
    """A process of the host's, with the part of subprocess.Popen's interface that is used here."""

    channel: socket.socket
    stdin: BinaryIO
    stdout: BinaryIO
    stderr: BinaryIO
    code: int | None = None

    def kill(self) -> None:
        """End it, and its host; nothing where it has ended."""
        if self.code is None:
            with suppress(OSError):
                self.channel.shutdown(socket.SHUT_RDWR)
            self.code = -9

    def wait(self) -> int:
        """Its exit status, negative for a signal."""
        if self.code is None:
            said = _line(self.channel)
            self.code = int(said) if said else -9
        return self.code


@contextmanager
def warm_children(environment: Mapping[str, str], held: int | None = None) -> Iterator[None]:
    """Children started in this block, by this thread, come from a host that loads chromadb once.

    `held` is a lock's descriptor, which host and children inherit: where the command is killed,
    the palace stays held until the last of them is gone, too. The host is started at once, so
    that it has loaded it by the time of the first child. On macOS a process that has loaded
    system libraries may not fork, so there each child starts anew.
    """
    inherited = () if held is None else (held,)
    if sys.platform != "linux":
        kept = _held.set(inherited)
        try:
            yield
        finally:
            _held.reset(kept)
        return
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    host = subprocess.Popen(
        own_command("index.workers.child_host", str(theirs.fileno())),
        cwd=CHILD_FOLDER,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=settled(environment),
        pass_fds=(theirs.fileno(), *inherited),
        start_new_session=True,
    )
    theirs.close()
    token, kept = _host.set(ours), _held.set(inherited)
    try:
        yield
    finally:
        _held.reset(kept)
        _host.reset(token)
        ours.close()
        host.kill()
        host.wait()


def held_locks() -> tuple[int, ...]:
    """The descriptors that a child of this block inherits."""
    return _held.get()


def fork_child(module: str) -> ForkedChild | None:
    """A child from the host of this block; None where there is no host, or it has died."""
    channel = _host.get()
    if channel is None or module not in _SERVED:
        return None
    pipes = [os.pipe() for _ in range(3)]
    theirs = [pipes[0][0], pipes[1][1], pipes[2][1]]
    try:
        socket.send_fds(channel, [module.encode()], theirs)
        started = _line(channel)
    except OSError:
        started = b""
    finally:
        for descriptor in theirs:
            os.close(descriptor)
    ours = [pipes[0][1], pipes[1][0], pipes[2][0]]
    if not started:
        for descriptor in ours:
            os.close(descriptor)
        return None
    return ForkedChild(channel, open(ours[0], "wb"), open(ours[1], "rb"), open(ours[2], "rb"))  # noqa: PTH123 - descriptors


def _line(channel: socket.socket) -> bytes:
    """The next line of the host's, empty where it is gone; it says one thing at a time."""
    said = b""
    try:
        while not said.endswith(b"\n"):
            piece = channel.recv(1)
            if not piece:
                return b""
            said += piece
    except OSError:
        return b""
    return said.strip()
