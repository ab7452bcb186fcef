"""The file of runs: nothing lost, nothing twice, and no damage that stops anyone."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mempalace_toolkit.errors import WriteUndoneError
from mempalace_toolkit.history.record import RunRecord, line_of, parse_line
from mempalace_toolkit.history.runs import KEPT, begin_run, history_file, read_history
from tests.conftest import tree_state

STARTED = RunRecord("mempalace-session", 1_000, None, "running", started_by="cron")
ENDED = replace(STARTED, ended_ms=3_500, status="ok", exit_code=0, sessions=2, drawers=7)


def do(folder: Path, started: RunRecord, ended: RunRecord | None) -> None:
    run = begin_run(folder, started, os.getpid())
    if ended:
        run.end(ended)
    run.close()


def test_a_run_that_goes_on_is_running_and_then_its_line(tmp_path: Path) -> None:
    run = begin_run(tmp_path, STARTED, 7)
    assert read_history(tmp_path) == (STARTED,)
    run.end(ENDED)
    assert read_history(tmp_path) == (ENDED,)
    run.close()
    assert read_history(tmp_path) == (ENDED,)
    assert ENDED.seconds == 2.5


def test_two_runs_at_once_know_each_other_as_running(tmp_path: Path) -> None:
    other = replace(STARTED, command="mempalace-pi-session", started_ms=2_000)
    first, second = begin_run(tmp_path, STARTED, 7), begin_run(tmp_path, other, 8)
    assert [one.status for one in read_history(tmp_path)] == ["running", "running"]
    second.close()
    first.close()


def test_reading_writes_nothing(tmp_path: Path) -> None:
    do(tmp_path, STARTED, ENDED)
    run = begin_run(tmp_path, replace(STARTED, started_ms=9_000), 7)
    before = tree_state(tmp_path)
    read_history(tmp_path)
    read_history(tmp_path / "nothing here")
    assert tree_state(tmp_path) == before
    run.close()


LEFT_BEHIND = """
import os, signal, sys
from pathlib import Path
from mempalace_toolkit.history.runs import begin_run
from mempalace_toolkit.history.record import RunRecord
run = begin_run(Path(sys.argv[1]), RunRecord("x", 5, None, "running"), os.getpid())
if sys.argv[2] == "written":
    run.end(RunRecord("x", 5, 6, "ok", 0))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("moment", "statuses"), [("begun", ["killed"]), ("written", ["ok"])])
def test_a_killed_run_is_told_once_by_the_next_one(
    tmp_path: Path, moment: str, statuses: list[str]
) -> None:
    ended = subprocess.run([sys.executable, "-c", LEFT_BEHIND, tmp_path, moment], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert [one.status for one in read_history(tmp_path)] == statuses
    do(tmp_path, STARTED, ENDED)
    do(tmp_path, replace(STARTED, started_ms=2_000), None)
    assert [one.status for one in read_history(tmp_path)] == [*statuses, "ok"]
    assert len(history_file(tmp_path).read_bytes().splitlines()) == 2
    assert not list((tmp_path / "running").iterdir())


WRITING = """
import sys
from pathlib import Path
from mempalace_toolkit.history.runs import begin_run
from mempalace_toolkit.history.record import RunRecord
for number in range(120):
    started = int(sys.argv[2]) * 1000 + number
    run = begin_run(Path(sys.argv[1]), RunRecord("x", started, None, "running"), started)
    run.end(RunRecord("x", started, started, "ok", 0))
    run.close()
"""


READING = """
import sys
from pathlib import Path
from mempalace_toolkit.history.runs import read_history
while not Path(sys.argv[1], "done").exists():
    assert {one.status for one in read_history(Path(sys.argv[1]))} <= {"ok", "running"}
"""


def test_of_many_writers_at_once_every_line_is_kept_while_old_ones_are_cut(tmp_path: Path) -> None:
    history_file(tmp_path).write_bytes(line_of(replace(ENDED, command="old")) * (KEPT + 90))
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITING, tmp_path, str(number)])
        for number in range(4)
    ]
    reader = subprocess.Popen([sys.executable, "-c", READING, tmp_path])
    assert [writer.wait(timeout=100) for writer in writers] == [0] * 4
    (tmp_path / "done").touch()
    assert reader.wait(timeout=100) == 0, "a run that ended was taken for a killed one"
    kept = [one for one in read_history(tmp_path) if one.command == "x"]
    assert {one.started_ms for one in kept} == {
        writer * 1000 + number for writer in range(4) for number in range(120)
    }
    assert {one.status for one in kept} == {"ok"}
    assert len(history_file(tmp_path).read_bytes().splitlines()) < KEPT + 200


def just_before_it_is_asked_for(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Have something happen between a look into `running/` and the look at the lock there."""
    real, acts = fcntl.flock, [act]

    def flock(file: IO[bytes] | int, how: int) -> None:
        if how & fcntl.LOCK_SH and acts:
            acts.pop()()
        real(file, how)

    monkeypatch.setattr("mempalace_toolkit.history.runs.fcntl.flock", flock)


def test_a_run_that_ends_while_it_is_read_about_is_no_killed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begin_run(tmp_path, STARTED, 7)

    def end_it() -> None:
        run.end(ENDED)
        run.close()

    just_before_it_is_asked_for(monkeypatch, end_it)
    assert read_history(tmp_path) == (ENDED,)


def test_a_run_that_ends_while_another_begins_is_no_killed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begin_run(tmp_path, STARTED, 7)
    run.end(ENDED)
    just_before_it_is_asked_for(monkeypatch, run.close)
    do(tmp_path, replace(STARTED, started_ms=2_000), None)
    assert read_history(tmp_path) == (ENDED,)


def test_only_the_newest_lines_stay(tmp_path: Path) -> None:
    lines = [line_of(replace(ENDED, started_ms=number)) for number in range(KEPT + 100)]
    history_file(tmp_path).write_bytes(b"".join(lines))
    newest = replace(STARTED, started_ms=5_000)
    do(tmp_path, newest, replace(ENDED, started_ms=5_000))
    kept = [one.started_ms for one in read_history(tmp_path)]
    assert kept == [*range(101, KEPT + 100), 5_000]
    assert not history_file(tmp_path).with_suffix(".writing").exists()


@pytest.mark.parametrize(
    "damage",
    [
        b"\n",
        b"\x00" * 40 + b"\n",
        b"\xff\xfe\n",
        b"[1, 2]\n",
        b'{"version": 1}\n',
        line_of(ENDED).replace(b'"version": 1', b'"version": 2'),
        line_of(ENDED).replace(b"1000", b"-1"),
        line_of(ENDED).replace(b"1000", b"1e99"),
        line_of(ENDED).replace(b'"ok"', b'"fine"'),
        line_of(ENDED).replace(b'"ok"', b"[]"),
        line_of(ENDED)[:50],  # a torn write
        b"[" * 100_000 + b"\n",
    ],
)
def test_a_damaged_line_is_left_out_and_the_next_one_is_whole(
    tmp_path: Path, damage: bytes
) -> None:
    history_file(tmp_path).write_bytes(line_of(replace(ENDED, started_ms=500)) + damage)
    (tmp_path / "running").mkdir()
    (tmp_path / "running" / "1-2.json").write_bytes(damage)
    do(tmp_path, STARTED, ENDED)
    assert [one.started_ms for one in read_history(tmp_path)] == [500, 1_000]


@given(st.binary(max_size=200))
def test_no_bytes_are_more_than_no_record(line: bytes) -> None:
    record = parse_line(line)
    assert record is None or parse_line(line_of(record)) == record


@given(
    st.builds(
        RunRecord,
        command=st.text(),
        started_ms=st.integers(0, 10**13),
        ended_ms=st.none() | st.integers(0, 10**13),
        status=st.sampled_from(["ok", "failed", "killed"]),
        error=st.text(),
        repaired=st.booleans(),
    )
)
def test_a_record_comes_back_from_its_line(record: RunRecord) -> None:
    line = line_of(record)
    assert parse_line(line) == record
    assert line.count(b"\n") == 1


def test_what_cannot_be_written_is_one_error_that_names_the_file(tmp_path: Path) -> None:
    history_file(tmp_path).mkdir()
    run = begin_run(tmp_path, STARTED, 7)
    with pytest.raises(WriteUndoneError, match=r"history\.jsonl"):
        run.end(ENDED)
    run.close()
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteUndoneError, match="running"):
        begin_run(tmp_path / "file", STARTED, 7)


def test_a_line_that_a_later_version_wrote_more_into_is_still_read() -> None:
    line = json.dumps({**json.loads(line_of(ENDED)), "more": [1]}).encode()
    assert parse_line(line) == ENDED
