"""Run as a process: loads chromadb and MemPalace once, then is forked for each program asked for.

Whoever connects sends a task and descriptors (see path/sitecustomize.py), and is told `started`
and the exit status. When it is gone, the fork is killed.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import select
import shutil
import signal
import socket
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LOADED = (
    "chromadb",
    "chromadb.api.rust",
    "chromadb.utils.embedding_functions.onnx_mini_lm_l6_v2",
    "mempalace.cli",
    "mempalace.convo_miner",
    "mempalace.embedding",
    "mempalace.palace",
    "mempalace.searcher",
    "mempalace.sync",
    "onnxruntime",
    "tokenizers",
    "mempalace_toolkit.model.encode",
)
_MOST_DESCRIPTORS = 64
_REBASED = ("mempalace", "chromadb")


def main() -> None:
    """Serve the socket that the argument names, until stdin ends."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(sys.argv[1])
    server.listen(64)
    for name in LOADED:
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([server, sys.stdin], [], [], 1)
        _reap()
        if sys.stdin in ready:
            shutil.rmtree(Path(sys.argv[1]).parent, ignore_errors=True)
            return
        if server not in ready:
            continue
        channel, _ = server.accept()
        if os.fork() == 0:
            server.close()
            _serve(channel)
        channel.close()


def _reap() -> None:
    """Take note of forks that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def _serve(channel: socket.socket) -> None:
    """Be the parent of one program, and end."""
    head, descriptors, _, _ = socket.recv_fds(channel, 12, _MOST_DESCRIPTORS)
    content = b""
    while len(content) < int(head):
        content += channel.recv(1 << 16)
    task = json.loads(content)
    process = os.fork()
    if process == 0:
        channel.close()
        _become(task, descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    channel.send(b"started\n")
    ended = os.pidfd_open(process)
    ready, _, _ = select.select([ended, channel.fileno()], [], [])
    if ended not in ready:
        os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    if ended in ready:
        channel.send(b"%d" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _become(task: dict[str, Any], descriptors: list[int]) -> None:
    """Be the program, and end."""
    status = 1
    try:
        _take(descriptors, task["descriptors"])
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setsid()
        os.umask(task["umask"])
        os.nice(max(0, task["nice"] - os.nice(0)))
        before = os.environ["HOME"]
        os.environ.clear()
        os.environ.update(task["environment"])
        os.chdir(task["folder"])
        _rebase(before, os.environ.get("HOME", before))
        sys.argv = [task["module"], *task["arguments"]]
        unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
        sys.stdin, sys.stdout, sys.stderr = (
            os.fdopen(0, encoding="utf-8", closefd=False),
            os.fdopen(1, "w", encoding="utf-8", closefd=False),
            os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False),
        )
        sys.stdout.reconfigure(write_through=unbuffered)
        sys.stderr.reconfigure(line_buffering=True)
        importlib.import_module(task["module"]).main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)


def _take(descriptors: list[int], numbers: list[int]) -> None:
    """Have the descriptors under the numbers that the program knows, and no others."""
    moved = [os.dup(one) for one in descriptors]
    high = max([*numbers, *moved, 2]) + 1
    for place, one in enumerate(moved):
        os.dup2(one, high + place)
    os.closerange(3, high)
    for place, number in enumerate(numbers):
        os.dup2(high + place, number)
    for place in range(len(moved)):
        os.close(high + place)


def _rebase(old: str, new: str) -> None:
    """Put this program's home in the place of the server's, where a module keeps one."""
    for holder in _holders():
        for name, value in list(vars(holder).items()):
            if isinstance(value, str) and value.startswith(old):
                setattr(holder, name, new + value.removeprefix(old))
            elif isinstance(value, Path) and value.is_relative_to(old):
                setattr(holder, name, Path(new, value.relative_to(old)))


def _holders() -> Iterator[Any]:
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in _REBASED and module is not None:
            yield module
            for value in list(vars(module).values()):
                if isinstance(value, type) and value.__module__ == name:
                    yield value


if __name__ == "__main__":
    main()
