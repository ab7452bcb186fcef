"""Run as a child: loads chromadb once, then forks a process for each task that it is sent.

Loading chromadb takes 0.7 s of processor time (1.5.9), a repair opens it three times. Each
request on the socket is a module's name with three descriptors: the task's stdin, stdout and
stderr. The answers are one line each: `started`, then the exit status. When the other end of
the socket is gone, or says anything while a task runs, the task is killed.
"""

from __future__ import annotations

import importlib
import os
import select
import socket
import sys
import traceback

from mempalace_toolkit.children import end_with_parent

_LONGEST_NAME = 100


def main() -> None:
    """Serve the socket whose descriptor is the argument."""
    end_with_parent()
    channel = socket.socket(fileno=int(sys.argv[1]))
    importlib.import_module("chromadb")
    while True:
        name, descriptors, _, _ = socket.recv_fds(channel, _LONGEST_NAME, 3)
        if not name:
            return
        process = os.fork()
        if not process:
            _become(name.decode(), descriptors, channel)
        for descriptor in descriptors:
            os.close(descriptor)
        channel.send(b"started\n")
        _wait(process, channel)


def _become(name: str, descriptors: list[int], channel: socket.socket) -> None:
    """Be the task's process, and end."""
    status = 1
    try:
        os.setsid()
        channel.close()
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        importlib.import_module(f"mempalace_toolkit.index.workers.{name}").main()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _wait(process: int, channel: socket.socket) -> None:
    """Tell how the process ended; end it, and this one, when the other end asks or is gone."""
    ended = os.pidfd_open(process)
    readable, _, _ = select.select([ended, channel.fileno()], [], [])
    if ended not in readable:
        os.kill(process, 9)
    _, status = os.waitpid(process, 0)
    os.close(ended)
    if ended not in readable:
        sys.exit(1)
    channel.send(b"%d\n" % os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
