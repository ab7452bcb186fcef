"""Group commit: answers after the disk has them, one refused step beside others, kill -9."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from mempalace_toolkit.errors import OtherArgumentsError, PalaceBusyError, WriteUndoneError
from mempalace_toolkit.gateway.journal.commit import GroupCommit
from mempalace_toolkit.gateway.journal.file import open_journal
from mempalace_toolkit.gateway.journal.rows import Rows
from mempalace_toolkit.gateway.journal.values import Receipt
from tests.gateway.journal.journal_support import FILE, NOON, asked, contents, opened

CHILD = Path(__file__).with_name("child_acknowledging.py")
ROUNDS = 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def putting(number: int, key: str | None = None, text: str = "said") -> Callable[[Rows], Receipt]:
    return lambda rows: rows.put(asked(number, key, text), NOON + timedelta(seconds=number))


class Blocked:
    """Keeps the journal's thread in a step, so that what is submitted meanwhile is one commit."""

    def __init__(self, commit: GroupCommit) -> None:
        self._go = threading.Event()
        began = threading.Event()

        def wait(_rows: Rows) -> bool:
            began.set()
            return self._go.wait(60)

        self._step = commit.submit(wait)
        assert began.wait(60)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._go.set()
        assert self._step.result(60)


def test_many_callers_share_one_commit(folder: Path) -> None:
    with opened(folder) as journal:
        statements: list[str] = []
        journal.rows._db.set_trace_callback(statements.append)
        with GroupCommit(journal.rows) as commit:
            with Blocked(commit):
                answers = [commit.submit(putting(number)) for number in range(100)]
            assert [answer.result(60).row.sequence for answer in answers] == [*range(1, 101)]
        assert statements.count("commit") == 2


def test_a_step_that_is_refused_does_not_undo_the_others(folder: Path) -> None:
    with opened(folder) as journal, GroupCommit(journal.rows) as commit:
        with Blocked(commit):
            first, other, last = (
                commit.submit(putting(number, key)) for number, key in ((1, "k"), (2, "k"), (3, ""))
            )
            failing = commit.submit(lambda rows: (rows.put(asked(4), NOON), 1 / 0))
        assert not first.result(60).repeated
        with pytest.raises(OtherArgumentsError):
            other.result(60)
        with pytest.raises(ZeroDivisionError):
            failing.result(60)
        assert not last.result(60).repeated
        assert commit.do(contents) == ["1", "3"]
        assert journal.rows.waiting.rows == 2


def test_an_answer_is_given_only_when_another_reader_of_the_file_sees_the_row(folder: Path) -> None:
    with opened(folder) as journal, GroupCommit(journal.rows) as commit:
        seen: list[int] = []

        def look(_answer: Future[Receipt]) -> None:
            with closing(sqlite3.connect(f"file:{folder / FILE}?mode=ro", uri=True)) as reader:
                seen.extend(reader.execute("select count(*) from writes").fetchone())

        with Blocked(commit):
            commit.submit(putting(1)).add_done_callback(look)
            commit.submit(putting(2))
        commit.do(lambda rows: None)
        assert seen == [2]


def test_what_was_submitted_is_finished_at_the_end(folder: Path) -> None:
    with opened(folder) as journal:
        with GroupCommit(journal.rows) as commit:
            answers = [commit.submit(putting(number)) for number in range(300)]
        assert all(answer.done() for answer in answers)
        assert journal.rows.waiting.rows == 300
        with pytest.raises(RuntimeError, match="closed"):
            commit.submit(putting(1))


def test_a_caller_that_left_before_its_turn_writes_nothing(folder: Path) -> None:
    with opened(folder) as journal, GroupCommit(journal.rows) as commit:
        with Blocked(commit):
            answer = commit.submit(putting(1))
            assert answer.cancel()
            commit.submit(putting(2))
        assert commit.do(contents) == ["2"]


def test_a_full_disk_acknowledges_nothing_and_leaves_what_was_acknowledged(folder: Path) -> None:
    with opened(folder) as journal, GroupCommit(journal.rows) as commit:
        commit.do(putting(1))
        pages = journal.rows._db.execute("pragma page_count").fetchone()[0]
        journal.rows._db.execute(f"pragma max_page_count = {pages + 2}")
        with Blocked(commit):
            answers = [
                commit.submit(putting(2)),
                commit.submit(putting(3, text="x" * 50_000)),
                commit.submit(putting(4)),
            ]
        for answer in answers:
            with pytest.raises(WriteUndoneError, match="cannot be written") as told:
                answer.result(60)
            assert "nothing was acknowledged" in told.value.hint
        assert commit.do(contents) == ["1"]
        assert journal.rows.waiting.rows == 1
        commit.do(putting(5))
    with opened(folder) as journal:
        assert contents(journal.rows) == ["1", "5"]


def test_a_real_disk_without_room_refuses_until_there_is_some(tmp_path: Path) -> None:
    script = f"mount -t tmpfs -o size=2m tmpfs '{tmp_path}'"
    if subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True).returncode:
        pytest.skip("this machine does not let the test mount a small file system")
    command = [sys.executable, str(CHILD.with_name("child_full_disk.py")), str(tmp_path)]
    ended = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f'{script} && "$@"', "sh", *command],
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr


def test_a_second_process_does_not_get_the_journal_and_is_told_who_has_it(folder: Path) -> None:
    with opened(folder) as journal:
        code = (
            "import sys; from pathlib import Path\n"
            "from mempalace_toolkit.gateway.journal.file import open_journal\n"
            "with open_journal(Path(sys.argv[1]), 'x'): pass"
        )
        second = subprocess.run(
            [sys.executable, "-c", code, str(folder)], capture_output=True, text=True
        )
        assert "PalaceBusyError: another gateway (PID" in second.stderr
        with pytest.raises(PalaceBusyError), opened(folder):
            pass
        assert journal.rows.queued() == []


def until(child: subprocess.Popen[str], lines: int) -> list[str]:
    """So many lines of a child that is then killed, and what it said until then."""
    assert child.stdout is not None
    said = [child.stdout.readline() for _ in range(lines)]
    child.send_signal(signal.SIGKILL)
    said += child.stdout.readlines()
    child.wait()
    return [line for line in said if line.endswith("\n")]


def check(rows: Rows, put: dict[str, int], states: dict[int, str]) -> None:
    for key, number in put.items():
        row = rows.row(number)
        assert row is not None, f"{key} was acknowledged and is lost"
        assert row.key == key
        if number in states:
            assert row.state == states[number]
    keys = [row.key for number in range(1, 5000) if (row := rows.row(number))]
    assert len(keys) == len(set(keys))


def test_twenty_kills_lose_no_acknowledged_row_and_double_none(folder: Path) -> None:
    random = Random(9)
    put: dict[str, int] = {}
    states: dict[int, str] = {}
    for round_ in range(ROUNDS):
        child = subprocess.Popen(
            [sys.executable, str(CHILD), str(folder), str(round_ * 1000)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for what, name, *number in map(str.split, until(child, random.randint(1, 40))):
            if what == "put":
                put[name] = int(number[0])
            else:
                states[int(name)] = what
    assert len(put) > ROUNDS
    with open_journal(folder, "damaged") as journal:
        assert journal.salvaged is None
        check(journal.rows, put, states)
        for key in list(put)[:20]:
            with pytest.raises(OtherArgumentsError), journal.rows.writing():
                journal.rows.put(asked(0, key), NOON)
    assert [path.name for path in folder.parent.glob("*damaged*")] == []
