"""A session's turns are counted as reading finds them, or not at all."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mempalace_toolkit.errors import StoreUnreadableError
from mempalace_toolkit.sessions.model import TurnCount
from mempalace_toolkit.sessions.opencode import open_store
from tests.sessions.opencode_writing import (
    RECORDED,
    START,
    add_session,
    execute,
    make_database,
    opened,
)

CASES = sorted((RECORDED.parent / "cases").glob("oc*/opencode"))
STORES = [path.parent for path in sorted(RECORDED.rglob("manifest.json"))] + CASES

# What may stand in the column `data`: JSON as opencode writes it, as others may, and no JSON.
TEXTS = st.sampled_from(["hello", "", " \n", '"type":"text"', "ä 🐘", "a,b", "\u0000", "x" * 5000])
PARTS = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, TEXTS),
    st.builds(lambda text: {"text": text, "type": "text"}, TEXTS),
    st.builds(lambda text: {"type": "text", "synthetic": True, "text": text}, TEXTS),
    st.builds(lambda text: {"type": "text", "text": text, "ignored": True}, TEXTS),
    st.builds(lambda text: {"type": "reasoning", "text": text}, TEXTS),
    st.builds(lambda text: {"type": "tool", "tool": "bash", "state": {"output": text}}, TEXTS),
    st.builds(lambda overflow: {"type": "compaction", "overflow": overflow}, st.booleans()),
    st.builds(
        lambda text: {
            "type": "tool",
            "tool": "question",
            "state": {
                "status": "completed",
                "input": {"questions": [{"question": "Which?"}]},
                "metadata": {"answers": [[text]]},
                "time": {"end": START + 7},
            },
        },
        TEXTS,
    ),
    st.just({"snapshot": "0" * 40, "type": "step-start"}),
    st.just(["text"]),
    st.just({"type": "text", "text": 5}),
)
MESSAGES = st.sampled_from(
    [
        {"role": "user", "time": {"created": START}},
        {"role": "user", "summary": {"diffs": []}},
        {"parentID": "msg_1", "role": "assistant", "mode": "build"},
        {"role": "assistant", "summary": True},
        {"role": "assistant", "mode": "compaction"},
        {"role": "system"},
        {},
        [],
    ]
)


def written(value: object, how: str) -> object:
    """A value as it may lie in the column, whole or damaged."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=how == "escaped")
    data = text.encode()
    ways: dict[str, object] = {
        "spaced": json.dumps(value),
        "cut": text[: len(text) // 2],
        "null": None,
        "blob": data,
        "zeros": text + "\0\0",
        "two": f"{text},{text}",
        "surrogate": text.replace("e", "\\ud800"),
    }
    return ways.get(how, text)


HOW = st.sampled_from(["plain"] * 12 + ["escaped", "spaced", "cut", "null", "blob", "zeros"])
ODD = st.sampled_from(["plain"] * 6 + ["two", "surrogate", "cut"])
Rows = list[tuple[object, str, list[tuple[object, str]]]]
SESSION = st.lists(
    st.tuples(MESSAGES, HOW, st.lists(st.tuples(PARTS, HOW | ODD), max_size=4)), max_size=5
)


def compared(path: Path) -> Counter[str]:
    """How many sessions are counted and how many are not; what is counted is as it is read."""
    met: Counter[str] = Counter()
    with open_store([path]) as store:
        for ref in list(store.find_sessions()):
            count = store.count_turns(ref)
            met["counted" if count else "left"] += 1
            if count is None:
                continue
            session = store.read_session(ref)
            roles = Counter(turn.role for turn in session.turns)
            assert count == TurnCount(roles["user"], roles["assistant"])
            assert (session.ref, session.copied, session.findings) == (ref, 0, ())
    return met


@pytest.mark.parametrize("case", STORES, ids=lambda path: path.relative_to(RECORDED.parent))
def test_a_recorded_store_is_counted_as_it_is_read(case: Path, tmp_path: Path) -> None:
    if case.name == "unknown":
        pytest.skip("cannot be read")
    compared(Path(shutil.copytree(case, tmp_path / "store")))


@settings(max_examples=150, deadline=None)
@given(sessions=st.lists(SESSION, min_size=1, max_size=3))
def test_any_rows_are_counted_as_they_are_read(sessions: list[Rows]) -> None:
    with TemporaryDirectory() as folder:
        path = make_database(Path(folder) / "opencode.db")
        for number, messages in enumerate(sessions):
            add_session(path, f"ses_{number}")
            with opened(path) as db:
                for position, (value, how, parts) in enumerate(messages):
                    insert_rows(db, f"ses_{number}", position, written(value, how), parts)
        compared(path)


def insert_rows(
    db: sqlite3.Connection, session: str, number: int, data: object, parts: list[tuple[object, str]]
) -> None:
    """A message's row and the rows of its parts."""
    at = START + 1000 * int(session[-1]) + number
    message = f"msg_{session}_{number}"
    db.execute("insert into message values (?, ?, ?, ?, ?)", (message, session, at, at, data))
    for position, (value, how) in enumerate(parts):
        row = (f"prt_{number}_{position}_{session}", message, session, at, at, written(value, how))
        db.execute("insert into part values (?, ?, ?, ?, ?, ?)", row)


def test_an_ordinary_session_is_counted(tmp_path: Path) -> None:
    path = make_database(tmp_path / "opencode.db")
    add_session(path, "a", "one", "two", "three")
    assert compared(path) == {"counted": 1}


def change(statement: str) -> Callable[[Path], None]:
    return lambda path: execute(path, statement)


@pytest.mark.parametrize(
    "spoil",
    [
        change("update part set data = substr(data, 1, 20)"),
        change("update part set data = cast(x'7b2274797065223a2274657874222c2274657874223a22ff227d'"
               " as text)"),
        change("update part set data = null"),
        change("update part set message_id = 'msg_gone'"),
        change("update message set data = '{'"),
        change("update session set revert = '{\"messageID\":\"msg_a_000001\"}'"),
        change("update part set data = '{\"type\":\"compaction\",\"overflow\":true}'"),
        change("create table session_message (id, session_id, type, time_created, time_updated,"
               " data)"),
    ],
)  # fmt: skip
def test_what_is_not_ordinary_is_read(spoil: Callable[[Path], None], tmp_path: Path) -> None:
    path = make_database(tmp_path / "opencode.db")
    add_session(path, "a", "one", "two", "three")
    spoil(path)
    row = "insert into session_message values ('x', 'a', 'user', 1, 1, '{\"text\":\"x\"}')"
    with opened(path) as db:
        if db.execute("select 1 from sqlite_master where name = 'session_message'").fetchone():
            db.execute(row)
    assert compared(path) == {"left": 1}


def test_a_session_that_begins_like_another_is_read(tmp_path: Path) -> None:
    path = make_database(tmp_path / "opencode.db")
    add_session(path, "a", "one", "two")
    add_session(path, "b", "one", "two", "more")
    assert compared(path) == {"counted": 1, "left": 1}


def test_a_session_on_a_damaged_page_is_left_to_reading(tmp_path: Path) -> None:
    case = next(case for case in CASES if "damaged" in case.parent.name)
    with open_store([Path(shutil.copytree(case, tmp_path / "store"))]) as store:
        for ref in list(store.find_sessions()):
            try:
                store.read_session(ref)
            except StoreUnreadableError:
                assert store.count_turns(ref) is None
            else:
                assert store.count_turns(ref)
