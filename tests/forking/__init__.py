"""Children of the tests that load chromadb and MemPalace, forked by one process that has them.

Loading them takes a second of processor time, and the tests start hundreds of such children.
The program started is the real one, with its own arguments, environment, descriptors and process
number: `path/sitecustomize.py` hands them to the server and waits as the fork would. Tests marked
`own_children` start every child anew, as users do.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
PATH = str(FOLDER / "path")
VARIABLE = "MEMPALACE_TOOLKIT_TESTS_FORK_SERVER"

_running: dict[int, str] = {}
_state = {"forks": True}


def choose(forks: bool) -> None:
    """Whether children are forked from now on."""
    _state["forks"] = forks and sys.platform == "linux"


def variables() -> dict[str, str]:
    """What a command's environment needs so that its children are forked."""
    return {VARIABLE: _server(), "PYTHONPATH": PATH} if _state["forks"] else {}


def redirect_own_children() -> None:
    """Have the children that tests start within this process forked, too."""
    start = subprocess.Popen.__init__

    def started(self: Any, args: Any, *rest: Any, **more: Any) -> None:
        if _state["forks"] and _is_worker(args):
            environment = os.environ if more.get("env") is None else more["env"]
            more["env"] = joined(environment, variables())
        start(self, args, *rest, **more)

    subprocess.Popen.__init__ = started  # type: ignore[method-assign]


def _is_worker(args: object) -> bool:
    return isinstance(args, list) and any(
        "mempalace_toolkit.index.workers." in str(one) for one in args
    )


def joined(environment: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """Both, with one module path."""
    both = {**environment, **more}
    if "PYTHONPATH" in environment and "PYTHONPATH" in more:
        both["PYTHONPATH"] = os.pathsep.join([more["PYTHONPATH"], environment["PYTHONPATH"]])
    return both


def _server() -> str:
    """The server's socket; it is started when it is first asked for."""
    if os.getpid() not in _running:
        folder = tempfile.mkdtemp(prefix="mempalace-toolkit-tests-")
        address = str(Path(folder, "socket"))
        home = Path(folder, "nobody")
        home.mkdir()
        process = subprocess.Popen(
            [sys.executable, str(FOLDER / "server.py"), address],
            env={
                "HOME": str(home),
                "PATH": os.environ["PATH"],
                "LANG": "C.UTF-8",
                "ORT_DISABLE_TELEMETRY": "1",
                "ANONYMIZED_TELEMETRY": "False",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        _running[os.getpid()] = address
        atexit.register(_end, process, folder)
    return _running[os.getpid()]


def _end(process: subprocess.Popen[bytes], folder: str) -> None:
    process.kill()
    process.wait()
    shutil.rmtree(folder, ignore_errors=True)
