"""SIGTERM, Ctrl-C and the time limit: the run ends cleanly, and the next one makes up for it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from mempalace_toolkit.cli.context.interruption import Terminated, limited_to
from mempalace_toolkit.errors import TimeLimitError
from tests.cli.test_run_history import runs
from tests.conftest import Sandbox
from tests.mining.test_mempalace_failures import (
    VERSION,
    holders,
    mining_child,
    stand_in,
    wait_for,
)
from tests.test_whole_job import BASIC, drawers, put_opencode, say

pytestmark = pytest.mark.own_children

Recorded = Callable[[str], Path]

EXCHANGES = 150


def start(
    sandbox: Sandbox, *arguments: str, name: str = "mempalace-session"
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        sandbox.command(name, *arguments),
        env=sandbox.variables(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def filed(sandbox: Sandbox) -> int:
    database = sandbox.palace / "chroma.sqlite3"
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            return int(connection.execute("select count(*) from embeddings").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def in_the_middle(sandbox: Sandbox, process: subprocess.Popen[str]) -> bool:
    assert process.poll() is None, "it ended before it could be interrupted"
    return filed(sandbox) > 2


def is_alive(process: int | None) -> bool:
    """Whether it runs; a zombie that nobody has collected does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.palace
@pytest.mark.parametrize(
    ("sent", "code", "status", "error"),
    [
        (signal.SIGTERM, 143, "interrupted", ""),
        (signal.SIGINT, 130, "interrupted", ""),
        (signal.SIGALRM, 70, "failed", "time_limit"),
    ],
)
def test_a_run_ended_in_the_middle_of_mining_leaves_no_child_and_is_made_up_for(
    sandbox: Sandbox,
    recorded: Recorded,
    sent: signal.Signals,
    code: int,
    status: str,
    error: str,
) -> None:
    """SIGALRM is how the kernel tells of the limit: sent here, it comes at the right moment."""
    store = put_opencode(sandbox, recorded("opencode/1.18.33/basic") / "opencode.db")
    for number in range(EXCHANGES):
        say(store, BASIC, number, f"What of heron {number}?", f"Heron {number} nests late.")
    process = start(sandbox, "--json", "--time-limit", "1000")
    wait_for(lambda: in_the_middle(sandbox, process))
    child = mining_child(process.pid)
    os.kill(process.pid, sent)
    if sent == signal.SIGTERM:
        os.kill(process.pid, sent)  # as `timeout` does
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "the next run files the rest" in err
    assert "Traceback" not in err
    assert not is_alive(child)
    assert holders(sandbox) == []
    if error:
        told = json.loads(out)["error"]
        assert (told["kind"], told["retryable"]) == (error, True)
    (run,) = runs(sandbox)
    assert (run.exit_code, run.status, run.error) == (code, status, error)

    assert sandbox.session().code == 0
    texts = [text for _, _, text in drawers(sandbox)]
    said = Counter(n for n in range(EXCHANGES) for text in texts if f"Heron {n} nests" in text)
    assert said == Counter(range(EXCHANGES))
    assert sandbox.session("--json").json["status"] == "noop"


@pytest.mark.palace
def test_the_limit_ends_whatever_mempalace_has_started(
    sandbox: Sandbox, recorded: Recorded
) -> None:
    put_opencode(sandbox, recorded("opencode/1.18.33/basic") / "opencode.db")
    deaf = '( trap "" TERM; echo $BASHPID > "$HOME/deaf"; sleep 600 ) & wait'
    stand_in(sandbox, f"{VERSION}{deaf}")
    answer = sandbox.session("--json", "--time-limit", "4")
    assert answer.code == 70
    assert answer.json["error"]["kind"] == "time_limit"
    assert "4 s" in answer.json["error"]["message"]
    assert not is_alive(int((sandbox.home / "deaf").read_text()))
    sandbox.configure("")
    assert sandbox.session("--wait", "0").code == 0
    assert "JSONB indexes" in sandbox.search("Why did we pick Postgres?")


@pytest.mark.palace
def test_a_run_that_ends_before_its_limit_is_told_nothing_of_it(
    sandbox: Sandbox, recorded: Recorded
) -> None:
    put_opencode(sandbox, recorded("opencode/1.18.33/basic") / "opencode.db")
    answer = sandbox.session("--json", "--time-limit", "500")
    assert (answer.code, answer.json["error"]) == (0, None)


@pytest.mark.parametrize("written", ["-1", "nan", "1.5", "2h", "99999999999"])
def test_a_limit_that_is_none_is_refused(bare: Sandbox, written: str) -> None:
    answer = bare.session("--time-limit", written)
    assert answer.code == 2
    assert "--time-limit" in answer.err


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_limit_that_a_destructor_swallowed_strikes_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    swallowed = []

    class Swallowing:
        def __del__(self) -> None:
            try:
                signal.pause()
            finally:
                swallowed.append(True)

    monkeypatch.setattr("mempalace_toolkit.cli.context.interruption.ASK_AGAIN_SECONDS", 0.05)
    with pytest.raises(TimeLimitError), limited_to(1):
        Swallowing()
        assert swallowed
        signal.pause()
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_both_ends_are_taken_for_a_ctrl_c_by_all_that_cleans_up() -> None:
    assert issubclass(Terminated, KeyboardInterrupt)
