"""Children forked by a process that has loaded chromadb: as good as others, and as mortal."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mempalace_toolkit.errors import MempalaceError
from mempalace_toolkit.index.workers.prefork import ForkedChild, fork_child, warm_children
from mempalace_toolkit.index.workers.run import run_child
from tests.index.test_child_processes import blocks, building, variables

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="forked on Linux only"),
    pytest.mark.own_children,
]

ASLEEP = """
import os, sys, time
from pathlib import Path
from mempalace_toolkit.index.workers.prefork import fork_child, warm_children
with warm_children(dict(os.environ)):
    child = fork_child("child_rebuild")
    print("started", flush=True)
    time.sleep(600)
"""


def children_of(process: int) -> list[int]:
    listed = Path(f"/proc/{process}/task/{process}/children")
    return [int(one) for one in listed.read_text().split()] if listed.exists() else []


def wait_until(true: object, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.02)


def slowly(pieces: Iterator[bytes], first: threading.Event) -> Iterator[bytes]:
    """The pieces, each after a while, so that something can happen in between."""
    for piece in pieces:
        yield piece
        first.set()
        time.sleep(0.05)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[int]:
    before = set(children_of(os.getpid()))
    with warm_children(variables(tmp_path)):
        yield next(iter(set(children_of(os.getpid())) - before))


def is_warm() -> bool:
    child = fork_child("child_rebuild")
    if child is None:
        return False
    child.kill()
    return True


def build(folder: Path, total: int = 101) -> None:
    folder.mkdir()
    answer = run_child(building(folder, total=total), blocks(total))
    assert (folder / str(answer["segment"]) / "header.bin").stat().st_size == 100


def test_one_host_gives_many_children_each_a_process_of_its_own(host: int, tmp_path: Path) -> None:
    begun = threading.Event()
    seen: list[list[int]] = []

    def look() -> None:
        begun.wait(30)
        seen.append(children_of(host))

    watch = threading.Thread(target=look)
    watch.start()
    run_child(building(tmp_path, total=300), slowly(blocks(300), begun))
    watch.join()
    assert [len(alive) for alive in seen] == [1]
    build(tmp_path / "second")
    build(tmp_path / "third")
    assert children_of(host) == []


def test_outside_the_block_and_for_other_modules_a_child_starts_anew(tmp_path: Path) -> None:
    assert fork_child("child_rebuild") is None
    with warm_children(variables(tmp_path)):
        assert fork_child("child_embed") is None
        assert isinstance(fork_child("child_rebuild"), ForkedChild)
    build(tmp_path / "cold")


def test_a_child_that_dies_by_a_signal_is_a_result_and_the_next_one_works(
    host: int, tmp_path: Path
) -> None:
    begun = threading.Event()

    def shoot() -> None:
        begun.wait(30)
        os.kill(children_of(host)[0], signal.SIGSEGV)

    threading.Thread(target=shoot).start()
    with pytest.raises(MempalaceError, match="was ended by SIGSEGV"):
        run_child(building(tmp_path), slowly(blocks(), begun))
    build(tmp_path / "next")
    assert is_warm()


def test_a_child_that_writes_too_much_is_ended_and_the_next_one_works(
    host: int, tmp_path: Path
) -> None:
    with pytest.raises(MempalaceError, match="rebuild"):
        run_child(building(tmp_path, largest_file=50_000), blocks())
    build(tmp_path / "next")


def test_a_child_that_takes_too_long_is_ended_and_the_next_one_starts_anew(
    host: int, tmp_path: Path
) -> None:
    task = replace(building(tmp_path), seconds=2.0)
    with pytest.raises(MempalaceError, match=r"too long|SIGKILL"):
        run_child(task, (piece for piece in slowly(blocks(20_000), threading.Event())))
    wait_until(lambda: children_of(host) == [])
    assert not is_warm()
    build(tmp_path / "next")


def test_without_its_host_a_child_starts_anew(host: int, tmp_path: Path) -> None:
    os.kill(host, signal.SIGKILL)
    build(tmp_path / "next")


def test_nothing_is_left_when_the_command_is_killed() -> None:
    command = subprocess.Popen(
        [sys.executable, "-c", ASLEEP], stdout=subprocess.PIPE, start_new_session=True
    )
    assert command.stdout is not None
    assert command.stdout.readline() == b"started\n"
    host = children_of(command.pid)[0]
    forked = children_of(host)
    assert len(forked) == 1
    command.kill()
    command.wait()
    for process in (host, *forked):
        wait_until(lambda process=process: not Path(f"/proc/{process}").exists())


def test_the_palace_stays_held_until_the_last_child_of_a_killed_repair_is_gone(
    tmp_path: Path,
) -> None:
    """A killed repair's child made the scratch folder again that the next one had just removed."""
    lock = tmp_path / "lock"
    ours = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    fcntl.flock(ours, fcntl.LOCK_EX)
    with lock.open("rb+") as another:
        with warm_children(variables(tmp_path), ours):
            os.close(ours)  # as the kernel does for a process that is killed
            with pytest.raises(BlockingIOError):
                fcntl.flock(another, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(another, fcntl.LOCK_EX | fcntl.LOCK_NB)
