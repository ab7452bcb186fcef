"""A `storage/` folder that was imported into a database: what of it is still to be read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mempalace_toolkit.sessions.opencode import open_store
from tests.sessions.opencode_writing import RECORDED, execute, opened, tree

IMPORTED = RECORDED / "1.2.1" / "migrated"
OLDER, NEWER = "ses_e0459ab9bffej61Erv5YHXE4Vt", "ses_e0459acc1ffejgxsf7bdlEoJjp"
PROJECT = "4eafb8144677cc99183d122b572b7d34539d198d"
IMPORT = 1795223346066


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(IMPORTED, tmp_path / "opencode"))


def said(folder: Path, text: str = "") -> dict[str, list[str]]:
    with open_store([folder]) as store:
        assert not store.failures
        found = {ref.id: store.read_session(ref) for ref in store.find_sessions()}
    return {
        session: [turn.text for turn in one.turns if text in turn.text]
        for session, one in found.items()
    }


def key_of(folder: Path, session: str) -> str:
    with open_store([folder]) as store:
        return {ref.id: ref.change_key for ref in store.find_sessions()}[session]


def add_message(folder: Path, session: str, name: str, at: int, text: str) -> None:
    head = {"id": name, "sessionID": session, "role": "user", "time": {"created": at}}
    part = {"id": f"prt_{name}", "messageID": name, "type": "text", "text": text}
    for path, value in ((f"message/{session}", head), (f"part/{name}", part)):
        file = folder / "storage" / path / f"{value['id']}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(value))


def add_session(folder: Path, session: str, project: str, at: int) -> None:
    value = {"id": session, "title": "t", "time": {"created": at, "updated": at}}
    file = folder / "storage" / "session" / project / f"{session}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value))
    add_message(folder, session, f"msg_{session}", at + 1, f"Said in {session}")


def test_a_session_that_went_on_in_the_folder_is_read_from_both(folder: Path) -> None:
    before, key = said(folder), key_of(folder, NEWER)
    add_message(folder, NEWER, "msg_later", IMPORT + 10_000, "Said later")
    state = tree(folder)
    after = said(folder)
    assert after == {**before, NEWER: [*before[NEWER], "Said later"]}
    assert key_of(folder, NEWER) != key
    assert tree(folder) == state


def test_a_message_that_was_undone_after_the_import_does_not_come_back(folder: Path) -> None:
    before = said(folder)
    undone = "msg_1fba6542b001jtMslgfYYMxqyx"
    execute(folder / "opencode.db", "delete from message where id = ?", undone)
    execute(folder / "opencode.db", "delete from part where message_id = ?", undone)
    after = said(folder)
    assert len(after[NEWER]) == len(before[NEWER]) - 1
    assert after[OLDER] == before[OLDER]


def test_a_session_that_was_deleted_after_the_import_does_not_come_back(folder: Path) -> None:
    for table, column in (("part", "session_id"), ("message", "session_id"), ("session", "id")):
        execute(folder / "opencode.db", f"delete from {table} where {column} = ?", OLDER)
    assert list(said(folder)) == [NEWER]


def test_a_session_that_was_begun_in_the_folder_after_the_import_is_read(folder: Path) -> None:
    add_session(folder, "ses_earlier", PROJECT, IMPORT - 1)
    add_session(folder, "ses_later", PROJECT, IMPORT + 1)
    found = said(folder, "Said in")
    assert found["ses_later"] == ["Said in ses_later"]
    assert "ses_earlier" not in found  # it was there to be imported, and has been deleted since


def test_a_project_that_the_import_left_out_is_read(folder: Path) -> None:
    add_session(folder, "ses_other", "another", IMPORT - 1)
    assert said(folder)["ses_other"] == ["Said in ses_other"]
    with open_store([folder]) as store:
        assert len(list(store.find_sessions())) == 3
        assert store.findings == ()


def test_a_session_whose_rows_the_import_left_out_is_read(folder: Path) -> None:
    before = said(folder)
    with opened(folder / "opencode.db") as db:
        db.execute("delete from part where session_id = ?", (OLDER,))
        db.execute("delete from message where session_id = ?", (OLDER,))
    assert said(folder) == before


def test_the_signature_sees_a_message_that_came_into_the_folder(folder: Path) -> None:
    with open_store([folder]) as store:
        before = store.signature()
    add_message(folder, NEWER, "msg_later", IMPORT + 10_000, "Said later")
    with open_store([folder]) as store:
        assert store.signature() != before
