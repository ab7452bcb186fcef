"""The real jobs, started by a real systemd: beside opencode at work, and beside each other."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Sandbox
from tests.schedule.private_machine import ROOT, Account
from tests.schedule.real_systemd import (
    EVERY_SECOND,
    JOBS,
    WAYS,
    UserManager,
    install,
    link_toolkit,
    missing_for_systemd,
)
from tests.schedule.waiting import wait_until
from tests.test_whole_job import BASIC, drawers, put_opencode, say

pytestmark = [
    pytest.mark.own_children,
    pytest.mark.palace,
    pytest.mark.skipif(
        bool(missing_for_systemd()), reason=f"no real systemd: {missing_for_systemd()}"
    ),
]


@pytest.fixture
def real_jobs(sandbox: Sandbox, tmp_path: Path) -> Iterator[UserManager]:
    """Root's systemd in the sandbox, with the real programs."""
    account = Account(ROOT.name, ROOT.number, str(sandbox.home))
    machine = UserManager(tmp_path, account, sandbox.home)
    try:
        link_toolkit(machine)
        for job in JOBS:
            program = Path(sys.executable).with_name(f"mempalace-{job}")
            (machine.home / f".local/bin/mempalace-{job}").symlink_to(program)
        yield machine
    finally:
        machine.close()


@pytest.mark.parametrize("way", WAYS)
def test_a_timer_that_fires_while_opencode_runs_ends_with_the_new_turns_searchable(
    real_jobs: UserManager, sandbox: Sandbox, recorded: Callable[[str], Path], way: str
) -> None:
    database = put_opencode(sandbox, recorded("opencode/1.18.33/basic") / "opencode.db")
    say(
        database, BASIC, 1, "Where is the zeppelin moored?", "At the north mast of Friedrichshafen."
    )
    unit = install(real_jobs, way, "session")
    with opencode_at_work(database):
        real_jobs.unit(f"{unit}.timer.d/test.conf", EVERY_SECOND)
        real_jobs.systemctl("restart", f"{unit}.timer")
        wait_until(lambda: has_begun(real_jobs, unit), "the timer starts the job")
        real_jobs.systemctl("stop", f"{unit}.timer")
        # It runs behind everything else on the machine.
        wait_until(lambda: idle(real_jobs, unit), "the job ends", 300)
    found = sandbox.search("Where is the zeppelin moored?")
    assert "north mast of Friedrichshafen" in found
    assert "never said" not in " ".join(text for _, _, text in drawers(sandbox))
    assert real_jobs.property(f"{unit}.service", "Result") == "success"


class opencode_at_work:
    """A process with the database open in WAL mode and a transaction begun, as opencode has it."""

    SCRIPT = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], isolation_level=None)
assert database.execute("pragma journal_mode=wal").fetchone()[0] == "wal"
database.execute("begin immediate")
database.execute("update session set title = 'never said'")
database.execute("update part set data = replace(data, 'zeppelin', 'never said')")
print("writing", flush=True)
sys.stdin.read()
"""

    def __init__(self, database: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.SCRIPT, str(database)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "writing\n"

    def __exit__(self, *_: object) -> None:
        still_there = self.process.poll() is None
        self.process.kill()
        self.process.communicate()
        assert still_there


def idle(machine: UserManager, unit: str) -> bool:
    """Whether no run goes on; a failed one fails the test."""
    state = machine.property(f"{unit}.service", "ActiveState")
    assert state != "failed", machine.do("journalctl", "--no-pager", "-t", unit)
    return state == "inactive"


def has_begun(machine: UserManager, unit: str) -> bool:
    """Whether a run of the unit was ever begun."""
    return machine.property(f"{unit}.service", "ExecMainStartTimestampMonotonic") not in ("", "0")


# How long a run waits for the palace, and what the two then end with.
@pytest.mark.parametrize(("wait", "codes"), [(300, {"0"}), (0, {"0", "75"})])
def test_of_two_jobs_started_at_once_one_waits_and_nothing_is_filed_twice(
    real_jobs: UserManager,
    sandbox: Sandbox,
    recorded: Callable[[str], Path],
    wait: int,
    codes: set[str],
) -> None:
    put_opencode(sandbox, recorded("opencode/1.18.33/multi") / "opencode.db")
    sessions = recorded("pi/1.5.2/tree") / "sessions"
    shutil.copytree(sessions, sandbox.home / ".pi/agent/sessions")
    sandbox.configure(f"wait = {wait}\n")
    units = [f"{install(real_jobs, 'copied', job)}.service" for job in JOBS]
    real_jobs.systemctl("start", *units)
    ends = {unit: real_jobs.property(unit, "ExecMainStatus") for unit in units}
    assert set(ends.values()) == codes
    assert {real_jobs.property(unit, "Result") for unit in units} == {"success"}
    overlap = [
        int(real_jobs.property(unit, f"ExecMain{end}TimestampMonotonic"))
        for end in ("Start", "Exit")
        for unit in units
    ]
    assert max(overlap[:2]) < min(overlap[2:])
    for unit in (*(one for one in units if ends[one] == "75"), units[0]):
        real_jobs.systemctl("start", unit)
    pages = [(name, text) for _, name, text in drawers(sandbox)]
    assert {name.split("--")[0] for name, _ in pages} == {"opencode", "pi"}
    assert len(set(pages)) == len(pages)
