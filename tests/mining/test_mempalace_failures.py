"""A MemPalace that is missing, too old, fails, hangs, crashes, is busy, or lies."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Sandbox
from tests.test_whole_job import BASIC, drawers, put_opencode, say

Recorded = Callable[[str], Path]

VERSION = 'if [ "$1" = --version ]; then echo "MemPalace 3.11.0"; exit 0; fi\n'


@pytest.fixture
def store(sandbox: Sandbox, recorded: Recorded) -> Path:
    return put_opencode(sandbox, recorded("opencode/1.18.33/basic") / "opencode.db")


def stand_in(sandbox: Sandbox, body: str, stall: int = 600) -> None:
    """Configure a program of ours as MemPalace: the real one cannot be made to do this."""
    program = sandbox.home / "stand-in"
    program.write_text(f"#!/bin/bash\n{body}")
    program.chmod(0o755)
    sandbox.configure(f'mempalace = "{program}"\nstall = {stall}\n')


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ('echo "MemPalace 3.10.9"', "3.10.9 is too old: 3.11 or later"),
        ("exit 3", "does not answer"),
        ("echo hello", "names no version"),
        (VERSION + 'echo "mempalace: the model differs" >&2; exit 1', "the model differs"),
        (VERSION + "exit 5", "exit status 5"),
        (VERSION + "kill -SEGV $$", "SIGSEGV"),
        (VERSION + "sleep 600", "made no progress"),
        (VERSION + 'trap "" TERM; while true; do sleep 1; done', "made no progress"),
        (VERSION + "exit 0", "not in the palace, although MemPalace reported success"),
    ],
)
def test_a_broken_mempalace_is_one_line_with_a_remedy_and_exit_70(
    sandbox: Sandbox, store: Path, body: str, told: str
) -> None:
    stand_in(sandbox, body, stall=2)
    answer = sandbox.session()
    assert answer.code == 70
    assert told in answer.err
    assert "Traceback" not in answer.err
    sandbox.configure("")
    assert sandbox.session().code == 0
    assert "JSONB indexes" in sandbox.search("Why did we pick Postgres?")


def test_a_missing_mempalace_is_named(sandbox: Sandbox, store: Path) -> None:
    sandbox.configure('mempalace = "/no/such/mempalace"')
    answer = sandbox.session("--json")
    assert answer.code == 78
    assert answer.json["error"]["kind"] == "configuration"
    assert "/no/such/mempalace" in answer.json["error"]["message"]
    assert answer.json["error"]["hint"]


def test_a_mempalace_of_ones_own_is_called_wing_by_wing(
    sandbox: Sandbox, recorded: Recorded
) -> None:
    put_opencode(sandbox, recorded("opencode/1.18.33/multi") / "opencode.db")
    real = Path(sys.executable).with_name("mempalace")
    stand_in(sandbox, f'echo "$@" >> "$HOME/calls"; exec "{real}" "$@"')
    answer = sandbox.session("--json")
    assert answer.code == 0, answer
    calls = (sandbox.home / "calls").read_text().splitlines()
    mines = [call for call in calls if " mine " in call]
    assert len(mines) == len(answer.json["wings"]) > 1
    assert all("--mode convos" in call and "--agent opencode" in call for call in mines)


def test_a_child_that_is_killed_is_made_up_for_in_the_same_run(
    sandbox: Sandbox, recorded: Recorded
) -> None:
    put_opencode(sandbox, recorded("opencode/1.18.33/multi") / "opencode.db")
    real = Path(sys.executable).with_name("mempalace")
    once = (
        'if [ ! -e "$HOME/crashed" ] && [ "$3" = mine ]; then touch "$HOME/crashed"; kill -9 $$; fi'
    )
    stand_in(sandbox, f'{once}\nexec "{real}" "$@"')
    answer = sandbox.session("--json")
    assert answer.code == 0, answer
    assert (sandbox.home / "crashed").exists()
    assert {line["result"] for line in answer.json["wings"]} == {"filed"}
    assert answer.json["drawers"]["filed"] == len(drawers(sandbox)) > 0


@pytest.mark.own_children
def test_our_own_child_dying_in_the_middle_is_made_up_for_too(
    sandbox: Sandbox, recorded: Recorded
) -> None:
    put_opencode(sandbox, recorded("opencode/1.18.33/multi") / "opencode.db")
    process = start(sandbox)
    child = wait_for(lambda: mining_child(process.pid))
    os.kill(child, signal.SIGSEGV)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, (out, err)
    assert len({row[1] for row in drawers(sandbox)}) == 5


@pytest.mark.own_children
def test_killed_at_any_moment_the_next_run_makes_it_whole(sandbox: Sandbox, store: Path) -> None:
    chance = random.Random(5)
    for number in range(12):
        say(store, BASIC, number, f"What of heron {number}?", f"Heron {number} nests late.")
        process = start(sandbox)
        time.sleep(chance.uniform(0.1, 4.0))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    wait_for(lambda: not holders(sandbox))
    answer = sandbox.session("--json")
    assert answer.code == 0, answer
    texts = [text for _, _, text in drawers(sandbox)]
    for number in range(12):
        assert sum(f"Heron {number} nests" in text for text in texts) == 1
    assert not list(sandbox.spool.rglob(".*.writing"))
    assert sandbox.session("--json").json["status"] == "noop"


def test_a_palace_that_mempalace_holds_is_busy_and_its_holder_named(
    sandbox: Sandbox, store: Path
) -> None:
    with Holding(sandbox, seconds=60) as holder:
        before = sorted(sandbox.palace.rglob("*"))
        answer = sandbox.session("--wait", "0", "--json")
        assert answer.code == 75
        assert answer.json["status"] == "busy"
        assert answer.json["error"]["retryable"] is True
        assert f"PID {holder.pid}" in answer.json["error"]["message"]
        assert set(sandbox.palace.rglob("*")) - set(before) <= {
            sandbox.palace / ".mempalace-toolkit.lock"
        }


def test_a_busy_palace_is_waited_for(sandbox: Sandbox, store: Path) -> None:
    with Holding(sandbox, seconds=3):
        answer = sandbox.session("--wait", "60", "--json")
    assert answer.code == 0
    assert answer.json["drawers"]["filed"] > 0


@pytest.mark.own_children
def test_of_two_jobs_at_once_one_works_and_one_waits(
    sandbox: Sandbox, store: Path, recorded: Recorded
) -> None:
    sessions = sandbox.home / ".pi/agent/sessions"
    sessions.parent.mkdir(parents=True)
    recorded("pi/1.5.2/tree").joinpath("sessions").rename(sessions)
    both = [start(sandbox), start(sandbox, "mempalace-pi-session")]
    for process in both:
        out, err = process.communicate(timeout=200)
        assert process.returncode == 0, (out, err)
    labels = {row[1].split("--")[0] for row in drawers(sandbox)}
    assert labels == {"opencode", "pi"}


@pytest.mark.own_children
def test_a_full_disk_undoes_the_page_and_loses_nothing(
    sandbox: Sandbox, store: Path, tmp_path: Path
) -> None:
    for number in range(40):
        say(store, BASIC, number, f"What of heron {number}? " * 40, "It nests late. " * 40)
    small = tmp_path / "small"
    small.mkdir()
    sandbox.environment["XDG_DATA_HOME"] = str(small)
    mount = f"mount -t tmpfs -o size=90k tmpfs '{small}'"
    probe = subprocess.run(["unshare", "--mount", "sh", "-c", mount], capture_output=True)
    if probe.returncode:
        pytest.skip("this machine does not let the test mount a small file system")
    command = sandbox.command("mempalace-session", "--store", store, "--json")
    ended = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh", *command],
        env=sandbox.variables(),
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 74, ended
    assert '"kind": "write_undone"' in ended.stdout
    del sandbox.environment["XDG_DATA_HOME"]
    assert sandbox.session().code == 0
    assert any("heron 39" in text for _, _, text in drawers(sandbox))


class Holding:
    """A real process that holds MemPalace's own lock on the sandbox's palace for a while."""

    def __init__(self, sandbox: Sandbox, seconds: int) -> None:
        code = (
            "import sys,time\nfrom mempalace.palace import mine_palace_lock\n"
            f"with mine_palace_lock({str(sandbox.palace)!r}):\n"
            f"    print('held', flush=True); time.sleep({seconds})"
        )
        sandbox.palace.mkdir(parents=True)
        self._process = subprocess.Popen(
            [sys.executable, "-c", code], env=sandbox.variables(), stdout=subprocess.PIPE
        )

    def __enter__(self) -> subprocess.Popen[bytes]:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"held\n"
        return self._process

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


def start(sandbox: Sandbox, name: str = "mempalace-session") -> subprocess.Popen[str]:
    return subprocess.Popen(
        sandbox.command(name),
        env=sandbox.variables(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def mining_child(parent: int) -> int | None:
    """The mining child of a running command, once it has the palace's database open."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(status[1]) != parent:
                continue
            files = [str(link.readlink()) for link in (folder / "fd").iterdir()]
        except OSError:
            continue
        if any(file.endswith("chroma.sqlite3") for file in files):
            return int(folder.name)
    return None


def holders(sandbox: Sandbox) -> list[str]:
    """Processes that still have a file of the palace open."""
    found = []
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(link.readlink()).startswith(str(sandbox.palace)):
                found.append(str(link))
        except OSError:
            continue
    return found


def wait_for(look: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found
