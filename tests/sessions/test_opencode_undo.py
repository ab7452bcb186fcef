"""An undo: what it hides, what it marks as withdrawn, and that nothing else marks anything."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mempalace_toolkit.sessions.model import Session
from mempalace_toolkit.sessions.opencode import open_store
from mempalace_toolkit.sessions.opencode.ids import order_from, time_near
from tests.sessions.opencode_writing import (
    RECORDED,
    START,
    add_session,
    execute,
    make_database,
    opened,
)

WRAP = 1_786_706_395_136  # 14 August 2026, 11:19:55.136 UTC
EVENTS = """
create table event (id text, aggregate_id text, seq integer, type text, data text);
create unique index event_aggregate_type_seq_idx on event (aggregate_id, type, seq);
"""


def read_one(*paths: Path) -> Session:
    with open_store(paths) as store:
        (ref,) = store.find_sessions()
        return store.read_session(ref)


def texts(session: Session) -> list[str]:
    return [turn.text for turn in session.turns]


def identifier(prefix: str, at: int, counter: int = 1) -> str:
    return f"{prefix}_{(at << 12 | counter) % (1 << 48):012x}AbCdEfGhIjKlMn"


def add_said(path: Path, session: str, at: int, role: str, *parts: str) -> str:
    """A message whose id and part ids carry its time, as opencode makes them."""
    message = identifier("msg", at)
    with opened(path) as db:
        data = json.dumps({"role": role, "time": {"created": at}})
        db.execute("insert into message values (?, ?, ?, ?, ?)", (message, session, at, at, data))
        for number, text in enumerate(parts):
            part = json.dumps({"type": "text", "text": text}, separators=(",", ":"))
            row = (identifier("prt", at + number), message, session, at, at, part)
            db.execute("insert into part values (?, ?, ?, ?, ?, ?)", row)
    return message


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = make_database(tmp_path / "opencode.db")
    add_session(path, "ses_1")
    return path


def undo(path: Path, message: str, part: str | None = None) -> None:
    mark = {"messageID": message} | ({"partID": part} if part else {})
    execute(path, "update session set revert = ?", json.dumps(mark))


@given(st.integers(0, (1 << 42) - 1), st.integers(-(1 << 34), 1 << 34))
def test_an_id_gives_its_time_back_to_who_knows_it_within_a_year(at: int, off: int) -> None:
    assert time_near(identifier("msg", at), at + off) == at


def test_an_id_of_another_form_has_no_time() -> None:
    assert time_near("msg_ses_1_000001", START) is None


def test_ids_are_in_order_across_the_wrap() -> None:
    ids = [identifier("prt", WRAP + off) for off in (-5, -1, 0, 3)]
    assert sorted(ids) != ids
    for reference in ids:
        assert sorted(ids, key=order_from(reference)) == ids


@pytest.mark.parametrize("undone", range(4))
def test_an_undo_hides_from_its_message_on_on_either_side_of_the_wrap(
    database: Path, undone: int
) -> None:
    times = [WRAP - 200, WRAP - 100, WRAP + 100, WRAP + 200]
    ids = [
        add_said(database, "ses_1", at, ("user", "assistant")[number % 2], f"{number}")
        for number, at in enumerate(times)
    ]
    undo(database, ids[undone])
    session = read_one(database)
    assert texts(session) == [str(number) for number in range(undone)]
    assert [time for _, time in session.withdrawn] == times[undone:]


@pytest.mark.parametrize("undone", range(4))
def test_an_undo_whose_message_is_gone_hides_by_the_time_in_its_id(
    database: Path, undone: int
) -> None:
    times = [WRAP - 200, WRAP - 100, WRAP + 100, WRAP + 200]
    ids = [add_said(database, "ses_1", at, "user", str(at)) for at in times]
    undo(database, ids[undone])
    execute(database, "delete from message where id = ?", ids[undone])
    execute(database, "delete from part where message_id = ?", ids[undone])
    session = read_one(database)
    assert [turn.time for turn in session.turns] == times[:undone]
    assert session.findings == () or undone == 3


def test_an_undo_that_names_nothing_known_hides_nothing_and_is_told(database: Path) -> None:
    add_said(database, "ses_1", START, "user", "Said")
    undo(database, "msg_unlike_any")
    session = read_one(database)
    assert texts(session) == ["Said"]
    assert session.withdrawn == {}
    assert [finding.kind for finding in session.findings] == ["revert_target_gone"]


def test_parts_and_an_undo_within_a_message_follow_the_wrap(database: Path) -> None:
    at = WRAP - 2
    message = add_said(database, "ses_1", at, "assistant", "one", "two", "three", "four")
    assert texts(read_one(database)) == ["one\ntwo\nthree\nfour"]
    undo(database, message, identifier("prt", at + 2))
    session = read_one(database)
    assert texts(session) == ["one\ntwo"]
    assert session.withdrawn == {("assistant", at): "undone by a revert"}


def test_an_undo_in_a_storage_folder_follows_the_wrap(tmp_path: Path) -> None:
    folder = tmp_path / "storage"
    ids = {at: identifier("msg", WRAP + at) for at in (-20, -10, 10, 20)}
    value: dict[str, object] = {"id": "ses_1", "time": {"created": 1, "updated": 2}}
    files = {"session/p/ses_1.json": value | {"revert": {"messageID": ids[10]}}}
    for at, message in ids.items():
        head: dict[str, object] = {"id": message, "role": "user", "time": {"created": WRAP + at}}
        files[f"message/ses_1/{message}.json"] = head
        files[f"part/{message}/p.json"] = {"id": "p", "type": "text", "text": str(at)}
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    session = read_one(folder)
    assert texts(session) == ["-20", "-10"]
    assert list(session.withdrawn) == [("user", WRAP + 10), ("user", WRAP + 20)]


@pytest.mark.parametrize("case", ["1.17.11/revert", "1.18.33/revert"])
def test_a_recorded_undo_marks_the_messages_that_it_took_away(tmp_path: Path, case: str) -> None:
    folder = Path(shutil.copytree(RECORDED / case, tmp_path / "store"))
    with open_store([folder]) as store:
        read = [store.read_session(ref) for ref in store.find_sessions()]
    marked = {session.ref.title: session.withdrawn for session in read}
    told = {title: len(marks) for title, marks in marked.items()}
    assert {title: told[title] for title in ("Revert B", "Revert C")} == {
        "Revert B": 5,
        "Revert C": 0,
    }
    assert all(told[title] for title in ("Revert A", "Revert D", "Revert E"))
    reasons = set(marked["Revert B"].values())
    assert reasons == {"undone and removed by opencode, as its own record says"}
    for session in read:
        assert not {(turn.role, turn.time) for turn in session.turns} & set(session.withdrawn)


def test_an_undo_that_2x_committed_marks_the_rows_after_its_target(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(RECORDED / "1.18.33" / "v2api", tmp_path / "store"))
    session_id = "ses_e045a6231ffer1Yb4NtVPZmXmW"
    with open_store([folder]) as store:
        session = {ref.id: store.read_session(ref) for ref in store.find_sessions()}[session_id]
    assert set(session.withdrawn) == {
        ("assistant", 1795223299081),
        ("user", 1795223299997),
        ("assistant", 1795223300370),
    }


def add_removal(path: Path, *messages: str) -> None:
    with opened(path) as db:
        for number, message in enumerate(messages):
            row = (f"evt_{number}", "ses_1", number, "message.removed.1")
            data = json.dumps({"sessionID": "ses_1", "messageID": message})
            db.execute("insert into event values (?, ?, ?, ?, ?)", (*row, data))


def test_a_removal_on_record_marks_only_what_is_gone(database: Path) -> None:
    with opened(database) as db:
        db.executescript(EVENTS)
    kept = add_said(database, "ses_1", START, "user", "Kept")
    gone = identifier("msg", START + 50)
    said = {"info": {"id": gone, "role": "user", "time": {"created": START + 50}}}
    row = ("evt_said", "ses_1", 99, "message.updated.1", json.dumps(said))
    execute(database, "insert into event values (?, ?, ?, ?, ?)", *row)
    assert read_one(database).withdrawn == {}
    add_removal(database, kept, gone)
    assert list(read_one(database).withdrawn) == [("user", START + 50)]


def test_a_record_without_an_index_is_never_walked(database: Path) -> None:
    with opened(database) as db:
        db.executescript(EVENTS.split(";")[0])
    gone = identifier("msg", START)
    said = {"info": {"id": gone, "role": "user", "time": {"created": START}}}
    row = ("evt_said", "ses_1", 99, "message.updated.1", json.dumps(said))
    execute(database, "insert into event values (?, ?, ?, ?, ?)", *row)
    add_removal(database, gone)
    assert read_one(database).withdrawn == {}


def test_a_record_with_unreadable_data_marks_nothing(database: Path) -> None:
    with opened(database) as db:
        db.executescript(EVENTS)
    add_removal(database, "msg_gone")
    execute(database, "update event set data = '{damaged'")
    assert read_one(database).withdrawn == {}


EDITS = (
    "delete from message where rowid = :row",
    "delete from message where rowid >= :row",
    "delete from part where rowid = :row",
    "delete from part",
    "delete from message",
    "delete from session_message where rowid >= :row",
    "delete from session_message",
    "update message set time_created = time_created + :shift",
    "update message set time_created = time_created / 1000",
    "update session_message set time_created = time_created - :shift",
    "update session set time_updated = :shift",
    "update part set time_updated = 1, data = '{}' where rowid = :row",
    "update message set data = '{' where rowid = :row",
    "delete from event where rowid >= :row",
    "delete from event",
    "delete from session where rowid = :row",
)
UNDONE_NOWHERE = ["1.18.33/basic", "1.18.33/multi", "1.17.11/text", "1.14.41/evsys", "2.0.26/mixed"]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(UNDONE_NOWHERE),
    st.lists(
        st.tuples(st.sampled_from(EDITS), st.integers(1, 20), st.integers(-(10**10), 10**10)),
        max_size=4,
    ),
)
def test_no_edit_but_an_undo_withdraws_a_message(
    case: str, edits: list[tuple[str, int, int]]
) -> None:
    with TemporaryDirectory() as name:
        path = Path(name, "opencode.db")
        shutil.copyfile(RECORDED / case / "opencode.db", path)
        with closing(sqlite3.connect(path)) as db:
            for edit, row, shift in edits:
                try:
                    db.execute(edit, {"row": row, "shift": shift})
                except sqlite3.OperationalError:
                    continue  # no such table in this version
            db.commit()
        with open_store([path]) as store:
            for ref in store.find_sessions():
                assert store.read_session(ref).withdrawn == {}
