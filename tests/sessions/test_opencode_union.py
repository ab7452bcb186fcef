"""Several places, several schemas: which sessions count, which copy wins, what has changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mempalace_toolkit.errors import StoreUnreadableError, UnknownSchemaError
from mempalace_toolkit.sessions.model import Session
from mempalace_toolkit.sessions.opencode import locate, open_store, searched
from tests.sessions.opencode_writing import (
    RECORDED,
    START,
    add_message,
    add_session,
    execute,
    make_database,
    opened,
    tree,
)

STORAGE = RECORDED / "1.1.65" / "basic" / "storage"
V2_TABLES = """
create table session_v2 (id text, parent_id text, fork_session_id text, directory text,
  title text, revert text, time_created integer, time_updated integer, time_archived integer);
create table session_message (id text, session_id text, type text, seq integer,
  time_created integer, time_updated integer, data text);
"""


def read_all(*paths: Path) -> dict[str, Session]:
    with open_store(paths) as store:
        return {ref.id: store.read_session(ref) for ref in store.find_sessions()}


def texts(session: Session) -> list[str]:
    return [turn.text for turn in session.turns]


def add_row(path: Path, session: str, seq: int, kind: str, text: str, at: int = 0) -> None:
    at = at or START + seq
    data: dict[str, object] = {"time": {"created": at}}
    if kind == "assistant":
        data["content"] = [{"type": "reasoning", "text": "hm"}, {"type": "text", "text": text}]
    else:
        data["text"] = text
    row = (f"msg_{session}_{seq:06}", session, kind, seq, at, at, json.dumps(data))
    execute(path, "insert into session_message values (?, ?, ?, ?, ?, ?, ?)", *row)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "opencode").mkdir()
    return tmp_path


def test_stores_are_located_by_name_and_leftovers_are_none(home: Path) -> None:
    folder = home / "opencode"
    for name in ("opencode.db", "opencode-local.db", "own.db"):
        make_database(folder / name)
    for name in ("opencode.db-wal", "opencode.db-shm", "opencode.db-journal", "opencode.db.bak"):
        (folder / name).write_bytes(b"")
    (folder / "storage").mkdir()
    default = [folder / name for name in ("opencode-local.db", "opencode.db", "storage")]
    absolute = make_database(home / "elsewhere.db")
    assert list(locate(home, None)) == default
    assert list(locate(home, "")) == default
    assert list(locate(home, ":memory:")) == default
    assert list(locate(home, "missing.db")) == default
    assert list(locate(home, "own.db")) == [folder / "own.db", *default]
    assert list(locate(home, str(absolute))) == [absolute, *default]
    assert sorted(locate(home, "opencode.db")) == sorted(default)


def test_the_places_looked_at_are_named_though_nothing_is_there(tmp_path: Path) -> None:
    assert locate(tmp_path, "own.db") == ()
    names = [str(path.relative_to(tmp_path)) for path in searched(tmp_path, "own.db")]
    assert names == ["opencode/own.db", "opencode/opencode*.db", "opencode/storage"]


@pytest.mark.parametrize("name", ["missing", "empty", "text.jsonl"])
def test_a_path_that_is_no_store_is_an_error_that_says_what_was_expected(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.jsonl").write_text('{"type":"session"}\n' * 9)
    with pytest.raises(StoreUnreadableError) as caught:
        open_store([tmp_path / name])
    assert str(tmp_path / name) in caught.value.message
    assert "opencode" in caught.value.hint


def test_an_empty_new_database_beside_an_old_storage_folder_hides_nothing(home: Path) -> None:
    folder = home / "opencode"
    make_database(folder / "opencode.db")
    shutil.copytree(STORAGE, folder / "storage")
    assert len(read_all(folder)) == 2
    assert read_all(folder) == read_all(*locate(home, None))


def test_a_session_deleted_after_the_import_stays_deleted(home: Path) -> None:
    folder = home / "opencode"
    shutil.copytree(STORAGE, folder / "storage")
    path = make_database(folder / "opencode.db")
    kept, deleted = sorted(file.stem for file in STORAGE.glob("session/*/*.json"))
    add_session(path, kept, "From the database")
    with open_store([folder]) as store:
        assert [ref.id for ref in store.find_sessions()] == [kept]
        assert [finding.kind for finding in store.findings] == ["storage_imported"]
    assert texts(read_all(folder)[kept]) == ["From the database"]
    assert deleted not in read_all(folder)


def test_a_storage_folder_waits_for_the_unreadable_database_beside_it(home: Path) -> None:
    folder = home / "opencode"
    shutil.copytree(STORAGE, folder / "storage")
    (folder / "opencode.db").write_bytes(b"damaged" * 1000)
    with pytest.raises(StoreUnreadableError):
        open_store([folder])
    other = make_database(folder / "opencode-local.db")
    add_session(other, "ses_other", "Here")
    with open_store([folder]) as store:
        assert [ref.id for ref in store.find_sessions()] == ["ses_other"]
        kinds = [finding.kind for finding in store.findings]
        assert kinds == ["store_unreadable", "storage_withheld"]
        assert len(store.failures) == 1


def test_of_two_copies_of_a_session_the_one_updated_last_is_read(tmp_path: Path) -> None:
    older, newer = (make_database(tmp_path / name) for name in ("opencode.db", "opencode-b.db"))
    add_session(older, "ses_1", "Old?", "Old.")
    add_session(newer, "ses_1", "Old?", "Old.", "New?", "New.")
    for paths in ((older, newer), (newer, older)):
        with open_store(paths) as store:
            (ref,) = store.find_sessions()
            assert texts(store.read_session(ref)) == ["Old?", "Old.", "New?", "New."]
            assert [finding.kind for finding in store.findings] == ["duplicate_session"]


def test_sessions_come_oldest_first_whatever_place_they_are_in(tmp_path: Path) -> None:
    one, two = (make_database(tmp_path / name) for name in ("opencode.db", "opencode-b.db"))
    for number, path in enumerate((two, one, two, one)):
        add_session(path, f"ses_{number}", "?", at=START + number)
    assert list(read_all(one, two)) == ["ses_0", "ses_1", "ses_2", "ses_3"]


UNKNOWN = {
    "no session table": "drop table session",
    "session has no column directory": "alter table session drop column directory",
    "message has no column data": "alter table message drop column data",
    "there is no part": "drop table part",
    "table session_v3 is unknown": "create table session_v3 as select 1 as id",
}


@pytest.mark.parametrize("reason", UNKNOWN)
def test_an_unknown_schema_is_an_error_that_names_file_and_tables(
    tmp_path: Path, reason: str
) -> None:
    path = make_database(tmp_path / "opencode.db")
    add_session(path, "ses_1", "?", "!")
    execute(path, UNKNOWN[reason])
    with pytest.raises(UnknownSchemaError) as caught:
        open_store([path])
    assert reason in caught.value.message
    assert str(path) in caught.value.message
    assert "message" in caught.value.message.split("tables:")[1]


def test_optional_columns_and_later_tables_may_come_and_go(tmp_path: Path) -> None:
    path = make_database(tmp_path / "opencode.db")
    add_session(path, "ses_1", "?", "!")
    for column in ("parent_id", "revert", "time_archived"):
        execute(path, f"alter table session drop column {column}")
    execute(path, "create table something_new (id text, secret text)")
    assert texts(read_all(path)["ses_1"]) == ["?", "!"]


def test_secrets_and_deleted_talk_are_in_tables_that_are_never_read(tmp_path: Path) -> None:
    path = make_database(tmp_path / "opencode.db")
    add_session(path, "ses_1", "?", "!")
    for table in ("event", "session_input", "credential", "account", "control_account"):
        execute(path, f"create view {table} as select no_such_function() as id")
    assert texts(read_all(path)["ses_1"]) == ["?", "!"]


def test_a_fork_counts_its_leading_copies_and_names_the_original(tmp_path: Path) -> None:
    path = make_database(tmp_path / "opencode.db")
    add_session(path, "ses_a", "One?", "One.", "Two?", "Two.")
    add_session(path, "ses_b", "One?", "One.", "Other?", time_updated=START + 9)
    execute(path, "update session set time_created = ? where id = 'ses_b'", START + 5)
    add_session(path, "ses_c", "Unlike?", "Unlike.")
    read = read_all(path)
    assert (read["ses_a"].copied, read["ses_a"].copied_from) == (0, None)
    assert (read["ses_b"].copied, read["ses_b"].copied_from) == (2, "ses_a")
    assert (read["ses_c"].copied, read["ses_c"].copied_from) == (0, None)
    assert texts(read["ses_b"]) == ["One?", "One.", "Other?"]


def test_a_fork_whose_original_was_deleted_has_no_copies_any_more(tmp_path: Path) -> None:
    path = make_database(tmp_path / "opencode.db")
    add_session(path, "ses_a", "One?", "One.")
    add_session(path, "ses_b", "One?", "One.", "More?")
    before = read_all(path)["ses_b"]
    execute(path, "delete from session where id = 'ses_a'")
    after = read_all(path)["ses_b"]
    assert (before.copied, after.copied) == (2, 0)
    assert before.ref.change_key != after.ref.change_key


def test_a_fork_that_2x_names_counts_copies_with_new_times(tmp_path: Path) -> None:
    path = tmp_path / "opencode.db"
    with opened(path) as db:
        db.executescript(V2_TABLES)
        row = "insert into session_v2 values (?, null, ?, '/', null, null, ?, ?, null)"
        db.execute(row, ("ses_a", None, 1, 1))
        db.execute(row, ("ses_b", "ses_a", 2, 2))
    for seq, (kind, text) in enumerate([("user", "One?"), ("assistant", "One."), ("user", "Two?")]):
        add_row(path, "ses_a", seq, kind, text)
        add_row(path, "ses_b", seq, kind, text.replace("Two", "Other"), at=START + 100 + seq)
    fork, original = read_all(path)["ses_b"], read_all(path)["ses_a"]
    assert (fork.copied, fork.copied_from) == (2, "ses_a")
    assert fork.turns[:2] == original.turns[:2]
    assert texts(fork) == ["One?", "One.", "Other?"]


def test_rows_of_the_v2_interface_repeat_nothing_and_add_the_rest(tmp_path: Path) -> None:
    path = make_database(tmp_path / "opencode.db")
    add_session(path, "ses_1", "First?", "First.")
    with opened(path) as db:
        db.executescript(V2_TABLES.split(";")[1])
    add_row(path, "ses_1", 0, "user", "First?")
    add_row(path, "ses_1", 1, "assistant", "First.")
    add_row(path, "ses_1", 2, "synthetic", "Never said")
    add_row(path, "ses_1", 3, "user", "Second?")
    add_row(path, "ses_1", 4, "assistant", "Second.")
    assert texts(read_all(path)["ses_1"]) == ["First?", "First.", "Second?", "Second."]
    revert = json.dumps({"messageID": "msg_ses_1_000003"})
    execute(path, "update session set revert = ?", revert)
    assert texts(read_all(path)["ses_1"]) == ["First?", "First."]


GROWING: dict[str, Callable[[Path], object]] = {
    "a new message": lambda path: add_message(path, "ses_1", 9, "user", "More?", at=START + 9),
    "a touched session": lambda path: execute(path, "update session set time_updated = 1"),
    "a revert": lambda path: execute(path, 'update session set revert = \'{"messageID":"m"}\''),
    "a new title": lambda path: execute(path, "update session set title = 'Else'"),
    "an archived session": lambda path: execute(path, "update session set time_archived = 9"),
    "a finished answer": lambda path: execute(
        path, "update part set time_updated = 7, data = '{}' where id = 'prt_ses_1_000001'"
    ),
    "an edited message": lambda path: execute(
        path, "update message set time_updated = ? where id = 'msg_ses_1_000000'", START + 99
    ),
    "a deleted part": lambda path: execute(path, "delete from part where id like '%000000'"),
}


@pytest.mark.parametrize("change", GROWING)
@pytest.mark.parametrize("wal", [True, False])
def test_a_change_in_a_session_changes_its_key_and_the_signature(
    tmp_path: Path, change: str, wal: bool
) -> None:
    path = make_database(tmp_path / "opencode.db", wal=wal)
    add_session(path, "ses_1", "One?", "One.")
    with open_store([path]) as store:
        (before,) = store.find_sessions()
        signature = store.signature()
    with open_store([path]) as store:
        assert list(store.find_sessions()) == [before]
        assert store.signature() == signature
    GROWING[change](path)
    with open_store([path]) as store:
        (after,) = store.find_sessions()
        assert store.signature() != signature
    assert after.change_key != before.change_key


STORAGE_CHANGES = {
    "a longer session file": "session/*/*.json",
    "a longer message file": "message/*/*.json",
}


@pytest.mark.parametrize("change", STORAGE_CHANGES)
def test_a_change_in_a_storage_folder_changes_the_key_and_the_signature(
    tmp_path: Path, change: str
) -> None:
    folder = Path(shutil.copytree(STORAGE, tmp_path / "storage"))
    with open_store([folder]) as store:
        before = {ref.id: ref.change_key for ref in store.find_sessions()}
        signature = store.signature()
        assert store.signature() == signature
    file = sorted(folder.glob(STORAGE_CHANGES[change]))[0]
    file.write_text(file.read_text() + "\n")
    with open_store([folder]) as store:
        after = {ref.id: ref.change_key for ref in store.find_sessions()}
        assert store.signature() != signature
    assert sum(before[session] != after[session] for session in before) == 1


def test_one_session_read_twice_or_without_listing_first_is_the_same(tmp_path: Path) -> None:
    path = make_database(tmp_path / "opencode.db")
    add_session(path, "ses_1", "One?", "One.")
    with open_store([path]) as store:
        (ref,) = store.find_sessions()
        read = store.read_session(ref)
        assert store.read_session(ref) == read
    with open_store([path]) as store:
        assert store.read_session(ref) == read
    assert list(tree(tmp_path)) == ["opencode.db"]


def test_a_session_that_is_gone_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = make_database(tmp_path / "opencode.db")
    add_session(path, "ses_1", "One?")
    with open_store([path]) as store:
        (ref,) = store.find_sessions()
    execute(path, "delete from session")
    with open_store([path]) as store, pytest.raises(StoreUnreadableError, match="ses_1"):
        store.read_session(ref)


def test_rows_are_ordered_by_seq_and_by_time_only_where_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "opencode.db"
    with opened(path) as db:
        db.executescript(V2_TABLES)
        db.execute("insert into session_v2 values ('ses_1', null, null, '/', '', null, 1, 1, null)")
    add_row(path, "ses_1", 0, "user", "First by seq", at=START + 9)
    add_row(path, "ses_1", 1, "assistant", "Second by seq", at=START)
    assert texts(read_all(path)["ses_1"]) == ["First by seq", "Second by seq"]
    execute(path, "alter table session_message drop column seq")
    assert texts(read_all(path)["ses_1"]) == ["Second by seq", "First by seq"]


def test_an_undone_prompt_in_the_original_changes_its_forks_key(tmp_path: Path) -> None:
    path = make_database(tmp_path / "opencode.db")
    add_session(path, "ses_a", "One?", "One.", "Two?")
    add_session(path, "ses_b", "One?", "One.", "Two?", "Two.")
    before = read_all(path)["ses_b"]
    revert = json.dumps({"messageID": "msg_ses_a_000002"})
    execute(path, "update session set revert = ? where id = 'ses_a'", revert)
    after = read_all(path)["ses_b"]
    assert (before.copied, after.copied) == (3, 2)
    assert before.ref.change_key != after.ref.change_key


def test_a_storage_folders_messages_are_ordered_by_time_and_parts_by_id(tmp_path: Path) -> None:
    files = {
        "session/p/ses_1.json": {"id": "ses_1", "time": {"created": 1, "updated": 2}},
        "message/ses_1/msg_a.json": {"id": "msg_a", "role": "assistant", "time": {"created": 8}},
        "message/ses_1/msg_b.json": {"id": "msg_b", "role": "user", "time": {"created": 7}},
        "part/msg_a/1.json": {"id": "prt_2", "type": "text", "text": "second"},
        "part/msg_a/2.json": {"id": "prt_1", "type": "text", "text": "first"},
        "part/msg_b/1.json": {"id": "prt_3", "type": "text", "text": "asked"},
        "part/msg_gone/1.json": {"id": "prt_4", "type": "text", "text": "undone"},
    }
    for name, value in files.items():
        file = tmp_path / "storage" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(value))
    assert texts(read_all(tmp_path)["ses_1"]) == ["asked", "first\nsecond"]
