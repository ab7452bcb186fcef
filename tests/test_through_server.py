"""Where MemPalace's server holds the palace a run says so, or files through it if it may."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from mempalace_toolkit.palace.server import server_of
from mempalace_toolkit.palace.toolkit_lock import mempalace_holder
from tests.conftest import Sandbox
from tests.test_whole_job import BASIC, say

pytestmark = pytest.mark.palace


@pytest.fixture
def served(palace_home: Sandbox) -> Iterator[Sandbox]:
    """The filled home, whose palace MemPalace's server holds since its first write."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = palace_home.command(
        "mempalace", "serve", "--port", str(port), "--palace", palace_home.palace
    )
    log = (palace_home.home / "serve.log").open("wb")
    server = subprocess.Popen(
        command, env=palace_home.variables(), stdout=log, stderr=log, stdin=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while server_of(palace_home.palace, palace_home.home) is None:
            assert time.monotonic() < deadline and server.poll() is None
            time.sleep(0.1)
        _write_once(palace_home, port)
        assert mempalace_holder(palace_home.palace, palace_home.home)
        yield palace_home
    finally:
        server.terminate()
        server.wait(timeout=30)
        log.close()


def _write_once(home: Sandbox, port: int) -> None:
    tokens = [one.read_text().strip() for one in home.home.glob(".mempalace/server/*/token")]
    allowed = {"Authorization": f"Bearer {tokens[0]}"} if tokens else {}
    note = {"wing": "notes", "room": "general", "content": "The hub holds the palace from now on."}
    call = {"name": "mempalace_add_drawer", "arguments": note}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/mcp",
        json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}).encode(),
        {"Content-Type": "application/json", **allowed},
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        assert "error" not in json.load(answer)


def test_a_run_files_through_the_server_that_holds_the_palace_if_it_may(served: Sandbox) -> None:
    store = served.opencode / "opencode.db"
    say(store, BASIC, 900, "Who keeps the bees of Zurich?", "A beekeeper named Ottilie.")
    refused = served.session("--wait", "0", "--json")
    assert refused.code == 75, refused
    assert "through_server = true" in refused.json["error"]["hint"]
    assert served.session("--dry-run").code == 75
    served.configure("through_server = true\n")
    assert served.session("--dry-run").code == 0
    done = served.session("--json")
    assert done.code == 0, done
    assert done.json["drawers"]["after"] > done.json["drawers"]["before"]
    assert "Ottilie" in served.search("Who keeps the bees of Zurich?")
    again = served.session("--json")
    assert (again.code, again.json["status"]) == (0, "noop"), again


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"[]",
        b'{"pid": 4194399, "host": "127.0.0.1", "port": 1}',
        b'{"pid": %d, "host": "127.0.0.1", "port": 1, "read_only": true}' % os.getpid(),
        b'{"pid": "1", "host": "127.0.0.1", "port": 1}',
        b'{"pid": %d, "host": "127.0.0.1"}' % os.getpid(),
        b"[" * 70_000,
    ],
    ids=["empty", "list", "gone", "read only", "pid as text", "no port", "endless"],
)
def test_what_is_no_record_of_a_server_that_takes_work_is_none(
    tmp_path: Path, record: bytes
) -> None:
    import hashlib

    key = hashlib.sha256(os.path.realpath(tmp_path).encode()).hexdigest()[:24]
    file = tmp_path / ".mempalace/server" / key / "serverinfo.json"
    file.parent.mkdir(parents=True)
    file.write_bytes(record)
    assert server_of(tmp_path, tmp_path) is None
    file.write_text(json.dumps({"pid": os.getpid(), "host": "127.0.0.1", "port": 9}))
    server = server_of(tmp_path, tmp_path)
    assert server is not None
    assert (server.process, server.address) == (os.getpid(), "http://127.0.0.1:9")
