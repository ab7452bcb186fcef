"""The run history through the front doors: which runs leave a line, and what it says."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mempalace_toolkit.cli.output.run_history import started_by
from mempalace_toolkit.history.record import RunRecord
from mempalace_toolkit.history.runs import read_history
from tests.conftest import Sandbox
from tests.test_whole_job import put_opencode

Recorded = Callable[[str], Path]


def state(sandbox: Sandbox) -> Path:
    return sandbox.home / ".local/state/mempalace-toolkit"


def runs(sandbox: Sandbox) -> list[RunRecord]:
    return list(read_history(state(sandbox)))


def break_store(sandbox: Sandbox) -> None:
    sandbox.opencode.mkdir(parents=True)
    (sandbox.opencode / "opencode.db").write_bytes(b"no database")


def test_a_run_that_failed_leaves_a_line_with_the_kind_of_its_error(bare: Sandbox) -> None:
    break_store(bare)
    bare.environment["MEMPALACE_TOOLKIT_SCHEDULER"] = "cron"
    answer = bare.session()
    (run,) = runs(bare)
    assert (run.command, run.exit_code, run.status) == ("mempalace-session", 66, "failed")
    assert (answer.code, run.error, run.started_by) == (66, "store_unreadable", "cron")
    assert run.seconds is not None and 0 <= run.seconds < 300


def test_a_configuration_that_is_wrong_shows_in_the_history(bare: Sandbox) -> None:
    break_store(bare)
    bare.configure("wait = -1")
    assert bare.session().code == 78
    assert [(run.status, run.error) for run in runs(bare)] == [("failed", "configuration")]


@pytest.mark.parametrize(
    "arguments",
    [["--dry-run"], ["--help"], ["--version"], ["--no-such-option"], ["--repair", "maybe"]],
)
def test_what_is_no_run_leaves_no_line(bare: Sandbox, arguments: list[str]) -> None:
    break_store(bare)
    bare.session(*arguments)
    assert not state(bare).exists()


def test_a_session_that_is_not_there_is_a_wrong_command_line_and_no_run(
    sandbox: Sandbox, recorded: Recorded
) -> None:
    put_opencode(sandbox, recorded("opencode/1.18.33/basic") / "opencode.db")
    assert sandbox.session("--session", "ses_unknown").code == 2
    assert runs(sandbox) == []


@pytest.mark.parametrize(("scheduler", "statuses"), [("", []), ("cron", ["noop"])])
def test_without_a_store_only_a_scheduled_run_leaves_a_line(
    bare: Sandbox, scheduler: str, statuses: list[str]
) -> None:
    bare.environment["MEMPALACE_TOOLKIT_SCHEDULER"] = scheduler
    assert bare.session().code == 0
    assert [run.status for run in runs(bare)] == statuses
    assert state(bare).exists() == bool(statuses)


def test_a_repair_with_nothing_to_do_leaves_a_line_and_its_plan_none(bare: Sandbox) -> None:
    bare.run("mempalace-toolkit", "repair", "--dry-run")
    assert runs(bare) == []
    answer = bare.run("mempalace-toolkit", "repair", "--yes")
    (run,) = runs(bare)
    assert (run.command, run.exit_code) == ("mempalace-toolkit repair", answer.code)


def test_a_history_that_cannot_be_written_fails_no_run(bare: Sandbox) -> None:
    bare.environment["MEMPALACE_TOOLKIT_SCHEDULER"] = "cron"
    state(bare).parent.mkdir(parents=True)
    state(bare).write_text("a file where the folder should be")
    answer = bare.session()
    assert answer.code == 0
    assert "the run history is not kept" in answer.err
    assert "Nothing to do" in answer.out


def test_lines_and_folders_are_for_their_owner_alone_and_hold_no_talk(
    sandbox: Sandbox, recorded: Recorded
) -> None:
    put_opencode(sandbox, recorded("opencode/1.18.33/basic") / "opencode.db")
    os.umask(0o022)
    told = sandbox.session("--json").json
    (run,) = runs(sandbox)
    assert (run.status, run.exit_code, run.error, run.repaired) == ("ok", 0, "", False)
    assert (run.sessions, run.drawers) == (2, told["drawers"]["filed"])
    for path in state(sandbox).rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    line = (state(sandbox) / "history.jsonl").read_text()
    for session in told["sessions"]:
        assert all(session[name] not in line for name in ("id", "title", "wing"))
    assert not list((state(sandbox) / "running").iterdir())


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, ""),
        ({"INVOCATION_ID": "a" * 32}, ""),
        ({"INVOCATION_ID": "a" * 32, "SYSTEMD_EXEC_PID": "6"}, ""),
        ({"INVOCATION_ID": "a" * 32, "SYSTEMD_EXEC_PID": "7"}, "systemd"),
        ({"XPC_SERVICE_NAME": "0"}, ""),
        ({"XPC_SERVICE_NAME": "com.apple.Terminal"}, ""),
        ({"XPC_SERVICE_NAME": "se.jordbo.mempalace-session"}, "launchd"),
        ({"MEMPALACE_TOOLKIT_SCHEDULER": "cron", "SYSTEMD_EXEC_PID": "7"}, "cron"),
    ],
)
def test_the_scheduler_is_told_from_the_environment(
    variables: dict[str, str], expected: str
) -> None:
    assert started_by(variables, 7) == expected


KILLED_IN_THE_MIDDLE = """
import os, signal, sys
from mempalace_toolkit.cli.output import run_history
from mempalace_toolkit.cli.context.environment import Surroundings
run_history.with_history(
    Surroundings.of_process(), "mempalace-session", lambda _: os.kill(os.getpid(), {signal})
)
"""


def test_a_run_that_was_killed_is_seen_at_once_and_kept_by_the_next_one(bare: Sandbox) -> None:
    code = KILLED_IN_THE_MIDDLE.format(signal=int(signal.SIGKILL))
    ended = subprocess.run([sys.executable, "-c", code], env=bare.variables(), check=False)
    assert ended.returncode == -signal.SIGKILL
    assert [run.status for run in runs(bare)] == ["killed"]
    break_store(bare)
    bare.session()
    assert [run.status for run in runs(bare)] == ["killed", "failed"]
    lines = (state(bare) / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["status"] for line in lines] == ["killed", "failed"]
    shutil.rmtree(state(bare) / "running")
    assert [run.status for run in runs(bare)] == ["killed", "failed"]
