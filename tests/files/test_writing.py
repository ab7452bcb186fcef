"""A file is written whole or not at all; a lock is waited for, and its holder named."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mempalace_toolkit.files.locking import try_lock, wait_while_blocked
from mempalace_toolkit.files.private import write_whole


@pytest.mark.parametrize(("mode", "kept"), [(None, 0o640), (0o600, 0o600)])
def test_an_old_file_keeps_its_permissions_unless_others_are_named(
    tmp_path: Path, mode: int | None, kept: int
) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    file.chmod(0o640)
    write_whole(file, "new", mode)
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("new", kept)
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("durable", [True, False])
def test_a_new_file_is_its_owners_alone_and_gets_the_time_that_is_asked_for(
    tmp_path: Path, durable: bool
) -> None:
    file = tmp_path / "file"
    status = write_whole(file, b"new", mtime_ns=10**18, durable=durable)
    assert status.st_mtime_ns == file.stat().st_mtime_ns == 10**18
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_write_that_does_not_fit_leaves_the_old_file_and_nothing_beside(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        with pytest.raises(OSError, match="too large"):
            write_whole(file, b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_what_killed_writes_left_goes_with_the_next_one(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    left = tmp_path / f".file.{ended.pid}.writing"
    other, alive = tmp_path / ".other.1.writing", tmp_path / f".file.{os.getppid()}.writing"
    for one in (left, other, alive):
        one.write_text("half")
    write_whole(tmp_path / "file", "whole")
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "file", other, alive])


_HOLDER = """
import fcntl, sys
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_lock_is_free_again_when_its_holder_ends(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdin and holder.stdout and holder.stdout.readline()
    descriptor = os.open(file, os.O_RDWR)

    def blocked() -> str | None:
        return None if try_lock(descriptor) else "a holder"

    waits: list[int] = []
    assert wait_while_blocked(time.monotonic(), blocked, lambda: waits.append(1)) == "a holder"
    assert waits == []
    later = time.monotonic() + 60
    assert wait_while_blocked(later, blocked, holder.stdin.close) is None
    assert not try_lock(os.open(file, os.O_RDWR), shared=True)
    holder.wait(60)
    holder.stdout.close()
    os.close(descriptor)
