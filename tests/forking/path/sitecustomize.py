"""Loaded by every Python that has this folder on its path, before its program.

A program that loads chromadb is handed to the server of tests/forking; this process stays as its
stand-in, with the number that its parent knows, and ends as the fork ends.
"""

import os
import sys

VARIABLE = "MEMPALACE_TOOLKIT_TESTS_FORK_SERVER"
MODULES = (
    "mempalace_toolkit.mining.child",
    "mempalace_toolkit.mining.child_vectors",
    "mempalace_toolkit.index.workers.",
    "mempalace_toolkit.recall.child_search",
)


def _program() -> tuple[str, list[str]] | None:
    """The module to run and its arguments, where it is one that the server knows."""
    given = sys.orig_argv
    if "-m" in given:
        place = given.index("-m") + 1
        if given[place].startswith(MODULES):
            return given[place], given[place + 1 :]
        return None
    for place, one in enumerate(given[1:3], 1):
        if one.endswith("/mempalace"):
            return "mempalace.cli", given[place + 1 :]
    return None


def _descriptors() -> list[int]:
    """All that are open, less the one that lists them."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            os.fstat(int(name))
        except OSError:
            continue
        found.append(int(name))
    return found


def _die_with_parent() -> None:
    import ctypes

    ctypes.CDLL(None).prctl(1, 9)


def _hand_over(module: str, arguments: list[str], address: str) -> None:
    import json
    import socket

    descriptors = _descriptors()
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    channel.connect(address)
    mask = os.umask(0)
    os.umask(mask)
    task = {
        "module": module,
        "arguments": arguments,
        "environment": dict(os.environ),
        "folder": os.path.realpath("."),
        "umask": mask,
        "nice": os.nice(0),
        "descriptors": descriptors,
        "path": sys.path,
    }
    content = json.dumps(task).encode()
    socket.send_fds(channel, [b"%12d" % len(content)], descriptors)
    channel.sendall(content)
    for descriptor in descriptors:
        os.close(descriptor)
    if channel.recv(8) != b"started\n":
        os._exit(1)
    if "mining" in module or "workers" in module:
        _die_with_parent()
    status = channel.recv(20)
    if not status:
        os._exit(1)
    code = int(status)
    if code < 0:
        import signal

        signal.signal(-code, signal.SIG_DFL) if -code not in (9, 19) else None
        os.kill(os.getpid(), -code)
    os._exit(code)


def _keep_path() -> None:
    """Have the toolkit's own workers find this file, although it names their module path anew."""
    import subprocess

    start = subprocess.Popen.__init__

    def started(self, args, *rest, **more):  # type: ignore[no-untyped-def]
        if more.get("env") is not None and any("toolkit.index.workers" in str(one) for one in args):
            own = __file__.rpartition("/")[0]
            path = os.pathsep.join([own, more["env"].get("PYTHONPATH", "")]).rstrip(os.pathsep)
            more["env"] = {**more["env"], VARIABLE: os.environ[VARIABLE], "PYTHONPATH": path}
        start(self, args, *rest, **more)

    subprocess.Popen.__init__ = started  # type: ignore[method-assign]


if os.environ.get(VARIABLE):
    _found = _program()
    if _found:
        _hand_over(*_found, os.environ[VARIABLE])
    _keep_path()
