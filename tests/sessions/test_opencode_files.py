"""Opening opencode's files: damage, missing rights, leftovers, and a writer at work."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mempalace_toolkit.errors import ExitCode, StoreUnreadableError
from mempalace_toolkit.sessions.opencode import open_store
from tests.sessions.opencode_writing import add_session, execute, make_database, tree


def ids(*paths: Path) -> list[str]:
    with open_store(paths) as store:
        return [ref.id for ref in store.find_sessions()]


def texts(path: Path) -> list[str]:
    with open_store([path]) as store:
        sessions = [store.read_session(ref) for ref in store.find_sessions()]
    return [turn.text for session in sessions for turn in session.turns]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = make_database(tmp_path / "opencode.db")
    for number in range(40):
        add_session(path, f"ses_{number:02}", "Which port?", "Port 5433. " * 200, at=1000 + number)
    return path


@pytest.fixture
def wal_database(tmp_path: Path) -> Iterator[tuple[Path, sqlite3.Connection]]:
    """A database whose only session is still in the -wal, and the writer that holds it open."""
    folder = tmp_path / "live"
    folder.mkdir()
    path = make_database(folder / "opencode.db", wal=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("select 1 from session").fetchall()
        add_session(path, "ses_wal", "Only in the wal?", "Yes.")
        yield path, writer


def overwrite(path: Path, start: int, stop: int) -> None:
    content = bytearray(path.read_bytes())
    content[start:stop] = b"\xff" * (min(stop, len(content)) - start)
    path.write_bytes(content)


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "not a database": lambda path: path.write_bytes(b"PK\x03\x04 something else entirely" * 99),
    "cut in the middle": lambda path: os.truncate(path, path.stat().st_size // 2),
    "cut in its header": lambda path: os.truncate(path, 60),
    "its first page overwritten": lambda path: overwrite(path, 100, 4096),
    "its tables overwritten": lambda path: overwrite(path, 4096, 1 << 30),
    "a folder in its place": replace_by_folder,
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_database_is_an_error_that_names_it(database: Path, damage: str) -> None:
    DAMAGE[damage](database)
    with pytest.raises(StoreUnreadableError) as caught:
        texts(database)
    assert str(database) in caught.value.message
    assert caught.value.hint
    assert caught.value.exit_code is ExitCode.STORE
    assert not caught.value.retryable


@pytest.mark.parametrize("damage", [name for name in DAMAGE if name != "gone"])
def test_a_damaged_database_hides_no_other(database: Path, damage: str) -> None:
    other = make_database(database.with_name("opencode-local.db"))
    add_session(other, "ses_other", "Still here?", "Yes.")
    DAMAGE[damage](database)
    with open_store([database, other]) as store:
        assert [ref.id for ref in store.find_sessions()][-1] == "ses_other"
        for ref in store.find_sessions():
            if ref.id == "ses_other":
                assert [turn.text for turn in store.read_session(ref).turns] == [
                    "Still here?",
                    "Yes.",
                ]
        if damage != "cut in the middle":
            assert str(database) in store.failures[0].message
            assert store.findings[0].kind == "store_unreadable"


def test_damage_inside_one_session_leaves_the_others_readable(database: Path) -> None:
    with closing(sqlite3.connect(database)) as db:
        size = db.execute("pragma page_size").fetchone()[0]
    page = database.read_bytes().index(b"Port 5433. Port", 30 * 4096) // size
    overwrite(database, page * size, (page + 1) * size)
    read, failed = 0, 0
    with open_store([database]) as store:
        for ref in store.find_sessions():
            try:
                read += len(store.read_session(ref).turns) == 2
            except StoreUnreadableError:
                failed += 1
    assert failed
    assert read > 10


@pytest.mark.parametrize("content", [b"", None])
def test_a_database_without_tables_is_an_empty_store(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "opencode.db"
    if content is None:
        with closing(sqlite3.connect(path)) as db:
            db.executescript("create table migration (id text); drop table migration; vacuum")
    else:
        path.write_bytes(content)
    assert ids(path) == []


def test_an_interrupted_write_is_an_error_that_says_so(database: Path) -> None:
    copies = database.parent / "copies"
    copies.mkdir()
    with closing(sqlite3.connect(database, isolation_level=None)) as writer:
        writer.execute("pragma cache_size=1")
        writer.execute("begin immediate")
        writer.execute("update part set data = data || ' '")
        for file in database.parent.glob("opencode.db*"):
            shutil.copy(file, copies)
    before = tree(copies)
    with pytest.raises(StoreUnreadableError) as caught:
        ids(copies / "opencode.db")
    assert "interrupted" in caught.value.message
    assert "start opencode" in caught.value.hint
    assert tree(copies) == before


def test_a_writer_with_the_whole_file_locked_is_a_retryable_error(database: Path) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as writer:
        writer.execute("begin exclusive")
        with pytest.raises(StoreUnreadableError) as caught:
            ids(database)
    assert caught.value.retryable
    assert ids(database)


READER = """
import sys
from pathlib import Path
from mempalace_toolkit.sessions.opencode import open_store
with open_store([Path(sys.argv[1])]) as store:
    for ref in store.find_sessions():
        print(*(turn.text for turn in store.read_session(ref).turns), sep="\\n")
"""


def test_what_is_only_in_the_wal_is_read_beside_its_writer(
    wal_database: tuple[Path, sqlite3.Connection],
) -> None:
    path, _ = wal_database
    before = tree(path.parent)
    command = [sys.executable, "-c", READER, str(path)]  # connections of one process share -shm
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert run.stdout.split("\n") == ["Only in the wal?", "Yes.", ""]
    assert tree(path.parent) == before


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (("", "-wal", "-shm"), ["Only in the wal?", "Yes."]),
        (("", "-wal"), ["Only in the wal?", "Yes."]),
        (("", "-shm"), []),
        (("",), []),
    ],
)
def test_files_left_by_a_killed_writer_are_read_and_not_touched(
    wal_database: tuple[Path, sqlite3.Connection],
    tmp_path: Path,
    left: tuple[str, ...],
    expected: list[str],
) -> None:
    path, _ = wal_database
    folder = tmp_path / "left"
    folder.mkdir()
    for suffix in left:
        shutil.copy(f"{path}{suffix}", folder)
    before = tree(folder)
    assert texts(folder / "opencode.db") == expected
    assert tree(folder) == before


def test_a_checkpointed_database_is_read_without_new_files_beside_it(
    wal_database: tuple[Path, sqlite3.Connection],
) -> None:
    path, writer = wal_database
    writer.execute("pragma wal_checkpoint(truncate)")
    with_empty_wal = tree(path.parent)
    assert texts(path) == ["Only in the wal?", "Yes."]
    assert tree(path.parent) == with_empty_wal
    writer.close()
    alone = tree(path.parent)
    assert list(alone) == ["opencode.db"]
    assert texts(path) == ["Only in the wal?", "Yes."]
    assert tree(path.parent) == alone


def test_a_torn_wal_gives_an_older_state(
    wal_database: tuple[Path, sqlite3.Connection], tmp_path: Path
) -> None:
    path, _ = wal_database
    folder = tmp_path / "torn"
    folder.mkdir()
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", folder)
    wal = folder / "opencode.db-wal"
    for share in (0.75, 0.5, 0.2, 0.0):
        os.truncate(wal, int(wal.stat().st_size * share))
        assert len(texts(folder / "opencode.db")) <= 2


def test_a_writer_that_starts_while_an_idle_database_is_open_does_no_harm(tmp_path: Path) -> None:
    path = make_database(tmp_path / "opencode.db", wal=True)
    for number in range(30):
        add_session(path, f"ses_{number:02}", "Before?", "Yes, before. " * 300)
    with open_store([path]) as store:
        refs = list(store.find_sessions())
        with closing(sqlite3.connect(path)) as writer, writer:
            writer.execute("delete from session where id < 'ses_15'")
            writer.execute("delete from message where session_id < 'ses_15'")
            writer.execute("delete from part where session_id < 'ses_15'")
        execute(path, "vacuum")
        with closing(sqlite3.connect(path)) as writer:
            writer.execute("pragma wal_checkpoint(truncate)")
        read = {ref.id: len(store.read_session(ref).turns) for ref in refs}
    assert {session for session, turns in read.items() if turns == 2} == {
        f"ses_{number:02}" for number in range(15, 30)
    }


WRITER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("pragma wal_autocheckpoint=20")
db.execute("pragma synchronous=off")
print("ready", flush=True)
for number in range(10**9):
    at, message = 5000 + number, f"msg_{number:09}"
    db.execute("begin immediate")
    db.execute("insert into message values (?, 'ses_live', ?, ?, ?)",
        (message, at, at, '{"role":"user","time":{"created":%d}}' % at))
    db.execute("insert into part values (?, ?, 'ses_live', ?, ?, ?)",
        (message, message, at, at, '{"type":"text","text":"word %d %s"}' % (number, "x" * 900)))
    db.execute("commit")
"""


def test_a_store_is_read_while_another_process_writes_it_without_pause(tmp_path: Path) -> None:
    path = make_database(tmp_path / "opencode.db", wal=True)
    add_session(path, "ses_live", at=1)
    command = [sys.executable, "-c", WRITER, str(path)]
    counts: list[int] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        try:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
            while len(counts) < 20 or counts[-1] == counts[0]:
                with open_store([path]) as store:
                    (ref,) = store.find_sessions()
                    turns = store.read_session(ref).turns
                assert [turn.text.split()[1] for turn in turns] == [
                    str(number) for number in range(len(turns))
                ]
                counts.append(len(turns))
                assert writer.poll() is None
        finally:
            writer.kill()
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]


def test_one_opened_store_shows_one_moment(wal_database: tuple[Path, sqlite3.Connection]) -> None:
    path, _ = wal_database
    with open_store([path]) as store:
        before = [ref.id for ref in store.find_sessions()]
        add_session(path, "ses_later", "New?", "Yes.")
        assert [ref.id for ref in store.find_sessions()] == before
    assert len(ids(path)) == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_database_without_read_permission_is_an_error(database: Path) -> None:
    database.chmod(0)
    with pytest.raises(StoreUnreadableError, match="cannot be read"):
        ids(database)


@pytest.mark.parametrize("name", ["a b", "100%", "what?", "#1", "it's", 'quo"te', "new\nline", "Ü"])
def test_any_folder_name_can_hold_a_store(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    path = make_database(folder / "opencode.db", wal=True)
    add_session(path, "ses_1", "Here?", "Yes.")
    assert texts(folder) == ["Here?", "Yes."]


def test_a_linked_database_is_read_with_the_wal_of_its_target(
    wal_database: tuple[Path, sqlite3.Connection], tmp_path: Path
) -> None:
    path, _ = wal_database
    link = tmp_path / "opencode.db"
    link.symlink_to(path)
    assert texts(link) == ["Only in the wal?", "Yes."]
    assert ids(link, path) == ["ses_wal"]
