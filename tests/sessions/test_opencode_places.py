"""What lies beside a store, what is no store at all, and copies that must not be left."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mempalace_toolkit.errors import StoreUnreadableError
from mempalace_toolkit.sessions.opencode import locate, open_store
from mempalace_toolkit.sessions.opencode.copies import is_database
from tests.sessions.opencode_writing import add_session, execute, make_database, opened

OWN = [
    "opencode.db",
    "opencode-local.db",
    "opencode-feature-x.1.db",
    "opencode-fix-old-copy-2.db",
    "opencode-oc-damaged-page.db",
]
COPIES = [
    "opencode.db.old",
    "opencode.db.bak",
    "opencode.db.2026-11-01",
    "opencode.db~",
    "opencode (conflicted copy).db",
    "opencode (Anna's conflicted copy 2026-11-01).db",
    "opencode.sync-conflict-20261101-101112-ABCDEFG.db",
    "opencode-recovered.db",
    "opencode-backup-2026-11-01.db",
    "opencode-20261101.db",
    "opencode copy.db",
    "opencode.old.db",
]


@pytest.mark.parametrize("name", OWN)
def test_a_database_of_opencode_is_read(name: str) -> None:
    assert is_database(name)


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_beside_the_database_is_a_finding_and_is_not_read(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "opencode"
    folder.mkdir()
    path = make_database(folder / "opencode.db")
    add_session(path, "ses_1", "Deleted later", "!")
    shutil.copyfile(path, folder / name)
    execute(path, "delete from session")
    add_session(path, "ses_2", "There", "!")
    for paths in ([folder], locate(tmp_path, None)):
        with open_store(paths) as store:
            assert [ref.id for ref in store.find_sessions()] == ["ses_2"]
            (finding,) = (one for one in store.findings if one.kind == "copy_not_read")
            assert finding.path == str(folder / name)
            assert "--store" in finding.message
            assert not store.failures
    with open_store([folder / name]) as store:
        assert [ref.id for ref in store.find_sessions()] == ["ses_1"]


def test_a_copy_of_the_storage_folder_is_a_finding(tmp_path: Path) -> None:
    make_database(tmp_path / "opencode.db")
    (tmp_path / "storage.bak" / "session" / "p").mkdir(parents=True)
    with open_store([tmp_path]) as store:
        assert [one.kind for one in store.findings] == ["copy_not_read"]


def test_other_files_beside_the_database_are_no_findings(tmp_path: Path) -> None:
    make_database(tmp_path / "opencode.db")
    for name in ("opencode.db-wal.old", "opencode.db.lock", "opencode.db.sha256", "auth.json"):
        (tmp_path / name).write_text("text")
    with open_store([tmp_path]) as store:
        assert store.findings == ()


def test_a_session_that_went_on_in_two_databases_names_both(tmp_path: Path) -> None:
    older, newer = (make_database(tmp_path / name) for name in ("opencode.db", "opencode-b.db"))
    add_session(older, "ses_1", "Both?", "Both.")
    add_session(newer, "ses_1", "Both?", "Both.", "New?", "New.")
    with opened(older) as db:
        row = ("msg_only_here", "ses_1", 1, 1, '{"role":"user"}')
        db.execute("insert into message values (?, ?, ?, ?, ?)", row)
    with open_store([older, newer]) as store:
        (ref,) = store.find_sessions()
        assert len(store.read_session(ref).turns) == 4
        (finding,) = store.findings
    assert finding.kind == "duplicate_session"
    assert f"those of {newer}" in finding.message
    assert f"--store {older}" in finding.message


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    os.chdir(path.parent)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)


@pytest.mark.parametrize("make", [make_pipe, make_socket])
def test_a_pipe_or_a_socket_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: object
) -> None:
    assert callable(make)
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "opencode.db")
    for path in (tmp_path / "opencode.db", tmp_path, Path("/dev/null")):
        with pytest.raises(StoreUnreadableError) as caught:
            open_store([path])
        assert "pipe" in caught.value.message
        assert caught.value.hint


def test_a_pipe_in_a_storage_folder_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "storage/session/p").mkdir(parents=True)
    os.mkfifo(tmp_path / "storage/session/p/ses_1.json")
    with open_store([tmp_path]) as store:
        assert list(store.find_sessions()) == []
        assert [one.kind for one in store.findings] == ["malformed_row"]


READ_AND_DIE = """
import os, sys
from pathlib import Path
from mempalace_toolkit.sessions.opencode import open_store
store = open_store([Path(sys.argv[1])])
for ref in store.find_sessions():
    print(len(store.read_session(ref).turns), flush=True)
os.kill(os.getpid(), 9)
"""


def test_a_killed_reader_leaves_no_copy_of_the_talk(tmp_path: Path) -> None:
    path = make_database(tmp_path / "live.db", wal=True)
    store = tmp_path / "left.db"
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with opened(path) as writer:
        writer.execute("select count(*) from session").fetchone()
        add_session(path, "ses_1", "In the wal?", "Yes.")
        for suffix in ("", "-wal"):  # as a crash leaves them: without a -shm
            shutil.copyfile(f"{path}{suffix}", f"{store}{suffix}")
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = temporary / f"mempalace-toolkit-copy-{dead.pid}-abc"
    left.mkdir()
    alive = temporary / f"mempalace-toolkit-copy-{os.getpid()}-abc"
    alive.mkdir()
    command = [sys.executable, "-c", READ_AND_DIE, str(store)]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout == "2\n"
    assert list(temporary.iterdir()) == [alive]


def test_times_in_seconds_are_times(tmp_path: Path) -> None:
    path = make_database(tmp_path / "opencode.db")
    add_session(path, "ses_1", "Asked", "Answered", at=1_790_000_000)
    execute(path, "update message set data = replace(data, '1790000001', '1790000001.25')")
    with open_store([path]) as store:
        (ref,) = store.find_sessions()
        assert (ref.created, ref.updated) == (1_790_000_000_000, 1_790_000_002_000)
        times = [turn.time for turn in store.read_session(ref).turns]
    assert times == [1_790_000_000_000, 1_790_000_001_250]


def test_one_database_under_two_names_is_read_once(tmp_path: Path) -> None:
    path = make_database(tmp_path / "opencode.db")
    add_session(path, "ses_1", "Said once", "!")
    (tmp_path / "opencode-dev.db").hardlink_to(path)
    with open_store([tmp_path]) as store:
        assert [ref.id for ref in store.find_sessions()] == ["ses_1"]
        assert not store.findings
