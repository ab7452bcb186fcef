"""Rows and files that cannot be taken as they stand cost only themselves, and one finding."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mempalace_toolkit.errors import ToolkitError
from mempalace_toolkit.sessions.model import Session
from mempalace_toolkit.sessions.opencode import open_store
from tests.sessions.opencode_writing import (
    RECORDED,
    add_message,
    add_session,
    execute,
    make_database,
    opened,
)

STORAGE_CASE = RECORDED / "1.1.65" / "fork"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = make_database(tmp_path / "opencode.db")
    add_session(path, "ses_1", "Which port?", "Port 5433.", "And on staging?", "The same.")
    add_session(path, "ses_2", "Another talk", "Yes.")
    return path


def read(path: Path, session: str = "ses_1") -> Session:
    with open_store([path]) as store:
        found = {ref.id: store.read_session(ref) for ref in store.find_sessions()}
    if session == "ses_1" and "ses_2" in found:
        assert [turn.text for turn in found["ses_2"].turns] == ["Another talk", "Yes."]
    return found[session]


def texts(session: Session) -> list[str]:
    return [turn.text for turn in session.turns]


def kinds(session: Session) -> list[str]:
    return [finding.kind for finding in session.findings]


BAD_PARTS = [
    b"",
    b"garbage",
    b"{",
    b'{"type":"te',
    b'{"type":"text","text":"cut',
    b'{"id":"prt_1","ty',
    b"[1, 2]",
    b'"text"',
    b"null",
    b"\xff\xfe\x00",
    b'{"type":"text","text":' + b"[" * 100_000,
    None,
    17,
]


@pytest.mark.parametrize("data", BAD_PARTS, ids=lambda data: repr(data)[:24])
@pytest.mark.parametrize("as_text", [True, False])
def test_a_malformed_part_costs_only_itself(database: Path, data: object, as_text: bool) -> None:
    value = "cast(? as text)" if as_text and isinstance(data, bytes) else "?"
    execute(database, f"update part set data = {value} where id = 'prt_ses_1_000001'", data)
    session = read(database)
    assert texts(session) == ["Which port?", "And on staging?", "The same."]
    assert kinds(session) == ["malformed_part"]
    assert session.findings[0].session == "ses_1"


@pytest.mark.parametrize("data", BAD_PARTS, ids=lambda data: repr(data)[:24])
def test_a_malformed_message_costs_only_itself(database: Path, data: object) -> None:
    execute(database, "update message set data = ? where id = 'msg_ses_1_000001'", data)
    session = read(database)
    assert texts(session) == ["Which port?", "And on staging?", "The same."]
    assert kinds(session) == ["malformed_message"]


VISIBLE = [
    '{"type":"text","text":"Seen."}',
    '{"type": "text", "text": "Seen."}',
    '{"text":"Seen.","type":"text"}',
    ' {\n"id" : "prt_1",\t"type" :\n"text", "text" : "Seen."}',
    '{"type":"text","text":"Seen.","synthetic":false,"time":{"start":1}}',
    '{"metadata":{"type":"tool"},"type":"text","text":"Seen."}',
]
HIDDEN = [
    '{"type":"text","text":"Hidden.","synthetic":true}',
    '{"type":"text","text":"Hidden.","ignored":true}',
    '{"type":"text","text":" \\n\\t "}',
    '{"type":"text","text":""}',
    '{"type":"text","text":7}',
    '{"type":"text"}',
    '{"type":"reasoning","text":"Hidden."}',
    '{"text":"Hidden.","type":"reasoning"}',
    '{"type":"tool","state":{"output":"Hidden. \\"type\\":\\"text\\""}}',
    '{"state":{"content":[{"type":"text","text":"Hidden."}]},"type":"tool"}',
    '{"snapshot":"4f","type":"step-start"}',
]


@pytest.mark.parametrize("data", VISIBLE)
def test_a_text_part_is_seen_in_any_order_of_keys_and_spacing(database: Path, data: str) -> None:
    execute(database, "update part set data = ? where id = 'prt_ses_1_000001'", data)
    session = read(database)
    assert texts(session) == ["Which port?", "Seen.", "And on staging?", "The same."]
    assert session.findings == ()


@pytest.mark.parametrize("data", HIDDEN)
def test_what_nobody_saw_being_said_is_no_turn(database: Path, data: str) -> None:
    execute(database, "update part set data = ? where id = 'prt_ses_1_000001'", data)
    session = read(database)
    assert texts(session) == ["Which port?", "And on staging?", "The same."]
    assert session.findings == ()


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "summary": True},
        {"role": "assistant", "mode": "compaction"},
        {"role": "system"},
        {"role": None},
        {},
    ],
)
def test_a_message_that_is_no_talk_is_no_turn(database: Path, message: dict[str, object]) -> None:
    data = json.dumps(message)
    execute(database, "update message set data = ? where id = 'msg_ses_1_000001'", data)
    assert texts(read(database)) == ["Which port?", "And on staging?", "The same."]


def test_the_parts_of_one_message_are_joined_in_the_order_of_their_ids(database: Path) -> None:
    row = "insert into part values (?, 'msg_ses_1_000001', 'ses_1', 1, 1, ?)"
    execute(database, row, "prt_z", '{"type":"text","text":" last \\n"}')
    execute(database, row, "prt_a", '{"type":"text","text":"first"}')
    assert texts(read(database))[1] == "first\nPort 5433.\n last \n"


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (b"caf\xe9", "caf\ufffd"),
        (b"\\ud83d!", "\ufffd!"),
        (b"\\ud83d\\ude80 \\udc00", "\U0001f680 \ufffd"),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
    ],
)
def test_text_that_is_no_unicode_is_repaired_and_reported(
    database: Path, stored: bytes, expected: str
) -> None:
    data = b'{"type":"text","text":"' + stored + b'"}'
    query = "update part set data = cast(? as text) where id = 'prt_ses_1_000001'"
    execute(database, query, data)
    session = read(database)
    assert texts(session)[1] == expected
    assert session.turns[1].text.encode("utf-8")
    assert kinds(session) == ["repaired_text"]


@pytest.mark.parametrize(
    "text", ["a\0b", "\x1b[31mred\x07", "שלום \u202e", "🚀👩‍👩‍👧", "a\u2028b\r\n"]
)
def test_control_characters_and_every_script_stay_as_they_are(database: Path, text: str) -> None:
    for ascii_only in (True, False):
        data = json.dumps({"type": "text", "text": text}, ensure_ascii=ascii_only)
        execute(database, "update part set data = ? where id = 'prt_ses_1_000001'", data)
        session = read(database)
        assert texts(session)[1] == text
        assert session.findings == ()


def test_invalid_text_in_a_sessions_row_is_repaired(database: Path) -> None:
    execute(
        database,
        "update session set title = cast(? as text), directory = cast(? as text)",
        b"caf\xe9",
        b"/home/\xff",
    )
    ref = read(database).ref
    assert (ref.title, ref.directory) == ("caf\ufffd", "/home/\ufffd")


@pytest.mark.parametrize("column", ["title", "directory", "time_created", "time_updated"])
@pytest.mark.parametrize("value", [None, b"\x00\xff", "text", 1e300, -5])
def test_a_session_row_with_odd_values_is_still_read(
    database: Path, column: str, value: object
) -> None:
    execute(database, f"update session set {column} = ? where id = 'ses_1'", value)
    assert len(read(database).turns) == 4


def test_a_session_without_an_id_is_one_finding(database: Path) -> None:
    execute(database, "insert into session (id, title) values (null, 'no id')")
    with open_store([database]) as store:
        assert [ref.id for ref in store.find_sessions()] == ["ses_1", "ses_2"]
        assert [finding.kind for finding in store.findings] == ["malformed_row"]


def test_orphan_rows_are_not_read_and_are_reported(database: Path) -> None:
    add_message(database, "ses_deleted", 0, "user", "Deleted talk")
    execute(database, "delete from message where id = 'msg_ses_1_000001'")
    with open_store([database]) as store:
        sessions = [store.read_session(ref) for ref in store.find_sessions()]
        assert [finding.kind for finding in store.findings] == ["orphan_message"]
    assert texts(sessions[0]) == ["Which port?", "And on staging?", "The same."]
    assert kinds(sessions[0]) == ["orphan_part"]


@pytest.mark.parametrize(
    ("revert", "visible", "found"),
    [
        ({"messageID": "msg_ses_1_000002"}, 2, []),
        ({"messageID": "msg_ses_1_000000"}, 0, []),
        ({"messageID": "msg_ses_1_000001", "partID": "prt_ses_1_000001"}, 1, []),
        ({"messageID": "msg_ses_1_000001", "partID": "prt_zzz"}, 2, []),
        (None, 4, []),
        ({}, 4, ["malformed_revert"]),
        ({"messageID": 7}, 4, ["malformed_revert"]),
        ([], 4, ["malformed_revert"]),
    ],
)
def test_a_revert_hides_what_was_undone(
    database: Path, revert: object, visible: int, found: list[str]
) -> None:
    execute(database, "update session set revert = ? where id = 'ses_1'", json.dumps(revert))
    session = read(database)
    assert len(session.turns) == visible
    assert kinds(session) == found


def test_messages_are_ordered_by_time_then_id(database: Path) -> None:
    execute(database, "update message set time_created = 5 where id = 'msg_ses_1_000003'")
    execute(database, "update message set time_created = 5 where id = 'msg_ses_1_000002'")
    assert texts(read(database)) == ["And on staging?", "The same.", "Which port?", "Port 5433."]


def test_a_part_of_50_megabytes_is_read_whole(database: Path) -> None:
    text = "0123456789" * 5_000_000
    add_message(database, "ses_1", 9, "user", text)
    assert max(texts(read(database)), key=len) == text


def test_a_session_of_100000_messages_is_read_whole(tmp_path: Path) -> None:
    path = make_database(tmp_path / "opencode.db")
    add_session(path, "ses_1", *(f"line {number}" for number in range(100_000)))
    session = read(path)
    assert len(session.turns) == 100_000
    assert session.turns[-1].text == "line 99999"
    assert len({turn.key for turn in session.turns}) == 100_000


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("part/*/*.json", "malformed_part"),
        ("message/ses_e0462f9e7ffebHqQtu0yX82bNR/*.json", "malformed_message"),
    ],
)
@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", None])
def test_a_malformed_file_of_a_storage_folder_costs_only_itself(
    tmp_path: Path, pattern: str, found: str, content: bytes | None
) -> None:
    folder = Path(shutil.copytree(STORAGE_CASE / "storage", tmp_path / "storage"))
    session = "ses_e0462f9e7ffebHqQtu0yX82bNR"
    file = next(
        file
        for file in sorted(folder.glob(pattern))
        if session in file.read_text()
        and '"user"' in file.read_text() + '"user"'
        and ('"type": "text"' in file.read_text() or "message" in pattern)
    )
    if content is None:
        file.unlink()
        file.symlink_to("nowhere")
    else:
        file.write_bytes(content)
    read_again = read(folder, session)
    assert len(read_again.turns) in (5, 6)
    assert kinds(read_again) == [found]


def test_a_malformed_session_file_is_one_finding_and_the_others_are_read(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(STORAGE_CASE / "storage", tmp_path / "storage"))
    file = next(folder.glob("session/*/*.json"))
    file.write_bytes(b'{"id": "ses')
    with open_store([folder]) as store:
        assert len(list(store.find_sessions())) == 2
        assert [(finding.kind, finding.session) for finding in store.findings] == [
            ("malformed_row", file.stem)
        ]


JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
SHAPED = st.fixed_dictionaries(
    {},
    optional={
        key: JSON_LIKE | st.sampled_from(["text", "user", "assistant", "msg_1", True])
        for key in ("type", "text", "role", "time", "summary", "content", "messageID", "partID")
    },
)
ANY_DATA = st.binary(max_size=60) | SHAPED.map(lambda value: json.dumps(value).encode())


@settings(max_examples=60, deadline=None)
@given(st.lists(ANY_DATA, min_size=6, max_size=6), st.booleans())
def test_any_bytes_in_the_data_columns_raise_only_expected_errors(
    data: list[bytes], as_text: bool
) -> None:
    value = "cast(? as text)" if as_text else "?"
    with tempfile.TemporaryDirectory() as folder:
        path = make_database(Path(folder, "opencode.db"))
        with opened(path) as db:
            db.execute(
                "create table session_message"
                " (id, session_id, type, seq, time_created, time_updated, data)"
            )
            for at in range(2):
                db.execute(
                    f"insert into message values (?, 'ses_1', ?, 0, {value})",
                    (f"msg_{at}", at, data[at]),
                )
                db.execute(
                    f"insert into part values (?, 'msg_0', 'ses_1', 0, 0, {value})",
                    (f"prt_{at}", data[2 + at]),
                )
                db.execute(
                    f"insert into session_message values (?, 'ses_1', ?, 1, 1, 1, {value})",
                    (f"msg_{at}", ("user", "assistant")[at], data[4 + at]),
                )
            db.execute(
                f"insert into session values ('ses_1', null, '/', 't', {value}, 1, 1, null)",
                (data[5],),
            )
        try:
            with open_store([path]) as store:
                sessions = [store.read_session(ref) for ref in store.find_sessions()]
        except ToolkitError:
            return
        for turn in sessions[0].turns:
            assert turn.text.encode("utf-8")
            assert turn.text.strip()
