"""Rows of acknowledged writes: keys, order, states, limits, and any operations at all."""

from __future__ import annotations

import dataclasses
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mempalace_toolkit.errors import JournalFullError, OtherArgumentsError, UsageError
from mempalace_toolkit.gateway.journal.rows import Rows, Waiting
from mempalace_toolkit.gateway.journal.values import AskedWrite, Limits, State
from tests.gateway.journal.journal_support import NOON, asked, contents, opened, put


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "gateway" / "journal"


def test_rows_are_done_in_the_order_of_their_acknowledgement(folder: Path) -> None:
    with opened(folder) as journal:
        rows = journal.rows
        for number in (3, 1, 2):
            put(rows, asked(number), -number)
        assert contents(rows) == ["3", "1", "2"]
        assert [rows.place(row.sequence) for row in rows.queued()] == [0, 1, 2]
        with rows.writing():
            first = rows.next()
            assert first is not None
            rows.done(first.sequence, {"success": True})
        assert contents(rows) == ["1", "2"]


def test_what_was_acknowledged_is_there_when_the_journal_is_opened_again(folder: Path) -> None:
    texts = ["plain", "ünïcode 漢字", "half \ud800 pair", "nul \0 inside", "x" * 20_000]
    with opened(folder) as journal:
        rows = [put(journal.rows, asked(2, None, text)).row for text in texts]
    with opened(folder) as journal:
        assert journal.salvaged is None
        assert journal.rows.queued() == rows


def test_the_same_key_gives_the_first_row_and_its_answer(folder: Path) -> None:
    with opened(folder) as journal:
        rows = journal.rows
        first = put(rows, asked(1, "key"))
        again = put(rows, asked(1, "key"), 60)
        assert (first.repeated, again.repeated, again.row) == (False, True, first.row)
        with rows.writing():
            rows.done(first.row.sequence, {"drawer_id": "d"})
        answered = put(rows, asked(1, "key"), 120)
        assert answered.repeated
        assert (answered.row.state, answered.row.result) == (State.DONE, {"drawer_id": "d"})
        assert rows.waiting == Waiting(0, 0)


@pytest.mark.parametrize("finished", [False, True])
def test_the_same_key_with_other_arguments_is_refused(folder: Path, finished: bool) -> None:
    with opened(folder) as journal:
        rows = journal.rows
        first = put(rows, asked(1, "key")).row
        if finished:
            with rows.writing():
                rows.done(first.sequence, None)
        for other in (asked(2, "key"), dataclasses.replace(asked(1, "key"), tool="other")):
            with pytest.raises(OtherArgumentsError, match="other arguments"):
                put(rows, other)
        assert rows.row(first.sequence + 1) is None


def test_the_order_of_arguments_does_not_make_another_write(folder: Path) -> None:
    with opened(folder) as journal:
        put(journal.rows, AskedWrite("t", {"a": 1, "b": 2}, "key"))
        assert put(journal.rows, AskedWrite("t", {"b": 2, "a": 1}, "key")).repeated


def test_writes_without_a_key_are_different_writes(folder: Path) -> None:
    with opened(folder) as journal:
        assert not put(journal.rows, asked(1)).repeated
        assert not put(journal.rows, asked(1)).repeated
        assert contents(journal.rows) == ["1", "1"]


def test_no_two_rows_have_the_same_time(folder: Path) -> None:
    with opened(folder) as journal:
        clocks = [put(journal.rows, asked(number)).row.clock for number in range(3)]
        assert clocks == [NOON + timedelta(microseconds=number) for number in range(3)]


def test_attempts_count_what_began_and_what_found_the_palace_held_does_not(folder: Path) -> None:
    with opened(folder) as journal:
        rows = journal.rows
        number = put(rows, asked(1)).row.sequence
        with rows.writing():
            assert rows.begin(number) == 1
            rows.give_back(number)
            assert [rows.begin(number), rows.begin(number)] == [1, 2]
    with opened(folder) as journal:
        assert [row.attempts for row in journal.rows.queued()] == [2]


def test_a_refused_row_keeps_its_arguments_and_one_that_is_done_forgets_them(folder: Path) -> None:
    with opened(folder) as journal:
        rows = journal.rows
        for number in range(3):
            put(rows, asked(number))
        with rows.writing():
            rows.done(1, "filed")
            rows.fail(2, {"error": "no"})
            rows.set_aside(3, "crashed three times")
        found = [rows.row(number) for number in (1, 2, 3)]
        assert [(row.state, row.arguments is None) for row in found if row] == [
            (State.DONE, True), (State.FAILED, False), (State.SET_ASIDE, False),
        ]  # fmt: skip
        assert rows.next() is None
        for step in (rows.begin, rows.give_back):
            with pytest.raises(LookupError), rows.writing():
                step(1)
        with pytest.raises(LookupError), rows.writing():
            rows.fail(1, "twice")
    assert b"0 said" not in b"".join(path.read_bytes() for path in folder.iterdir())


def test_the_talk_of_a_row_that_is_done_is_not_left_in_the_file(folder: Path) -> None:
    with opened(folder) as journal:
        put(journal.rows, asked(1, None, "x" * 20_000 + "private"))
        with journal.rows.writing():
            journal.rows.done(1, None)
    assert b"private" not in b"".join(path.read_bytes() for path in folder.iterdir())


def test_every_commit_is_flushed_to_the_disk(folder: Path) -> None:
    with opened(folder) as journal:
        pragmas = ("journal_mode", "synchronous")
        values = [journal.rows._db.execute(f"pragma {name}").fetchone()[0] for name in pragmas]
        assert values == ["wal", 2]


def test_finished_rows_are_forgotten_by_age_and_queued_ones_never(folder: Path) -> None:
    with opened(folder) as journal:
        rows = journal.rows
        for number in range(3):
            put(rows, asked(number, f"{number}"), number)
        with rows.writing():
            rows.done(1, None)
            rows.done(2, None)
            assert rows.forget(NOON + timedelta(seconds=1)) == 1
        assert rows.row(1) is None
        assert rows.row(2) is not None
        with pytest.raises(ValueError, match="queued"):
            rows.forget(NOON, State.QUEUED)
        assert put(rows, asked(0, "0")).row.sequence == 4


@pytest.mark.parametrize("limits", [Limits(rows=2), Limits(bytes=100)])
def test_more_than_may_wait_is_refused_until_there_is_room(folder: Path, limits: Limits) -> None:
    with opened(folder, limits) as journal:
        put(journal.rows, asked(1))
        with pytest.raises(JournalFullError, match="wait for the palace"):
            for number in range(2, 4):
                put(journal.rows, asked(number))
    with opened(folder, limits) as journal:
        rows = journal.rows
        with pytest.raises(JournalFullError):
            for number in range(4, 6):
                put(rows, asked(number))
        before = rows.waiting
        with rows.writing():
            first = rows.next()
            assert first
            rows.done(first.sequence, None)
        assert rows.waiting.rows == before.rows - 1
        assert not put(rows, asked(6)).repeated


def deep(levels: int) -> dict[str, object]:
    value: dict[str, object] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "write",
    [
        lambda: AskedWrite("t", {"a": float("nan")}),
        lambda: AskedWrite("t", {"a": {1}}),
        lambda: AskedWrite("t", deep(100_000)),
        lambda: AskedWrite("t", {"a": 10**5000}),
        lambda: AskedWrite("t", {}, "half \ud800"),
        lambda: AskedWrite("t", {}, 7),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_kept_is_refused_and_leaves_nothing(folder: Path, write: object) -> None:
    with opened(folder) as journal:
        with pytest.raises(UsageError):
            put(journal.rows, write())  # type: ignore[operator]
        assert journal.rows.waiting == Waiting(0, 0)
        assert journal.rows.queued() == []


def test_a_block_that_raises_leaves_the_old_state(folder: Path) -> None:
    with opened(folder) as journal:
        rows = journal.rows
        with pytest.raises(KeyboardInterrupt), rows.writing():
            rows.put(asked(1), NOON)
            raise KeyboardInterrupt
        assert rows.waiting == Waiting(0, 0)
        assert rows.queued() == []


@dataclasses.dataclass
class Model:
    """The plain model: a list of rows, by number."""

    rows: list[dict[str, object]] = dataclasses.field(default_factory=list)

    def queued(self) -> list[int]:
        return [n for n, row in enumerate(self.rows, 1) if row["state"] == "queued"]

    def put(self, number: int, key: str | None) -> str:
        known = next((row for row in self.rows if key and row["key"] == key), None)
        if known:
            return "again" if known["number"] == number else "other"
        if len(self.queued()) >= 4:
            return "full"
        self.rows.append({"key": key, "number": number, "state": "queued", "attempts": 0})
        return "new"


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 3), st.sampled_from([None, "a", "b", "c"])),
        st.tuples(
            st.sampled_from(["done", "fail", "set_aside", "begin", "give_back"]), st.integers(1, 8)
        ),
        st.tuples(st.just("reopen")),
    ),
    max_size=25,
)


def put_outcome(rows: Rows, number: int, key: str | None) -> str:
    try:
        return "again" if put(rows, asked(number, key)).repeated else "new"
    except OtherArgumentsError:
        return "other"
    except JournalFullError:
        return "full"


def change(rows: Rows, model: Model, name: str, number: int) -> None:
    step = getattr(rows, name)
    arguments = (number,) if name in ("begin", "give_back") else (number, name)
    if number not in model.queued():
        with pytest.raises(LookupError), rows.writing():
            step(*arguments)
        return
    with rows.writing():
        step(*arguments)
    row = model.rows[number - 1]
    if name in ("begin", "give_back"):
        row["attempts"] = max(0, int(str(row["attempts"])) + (1 if name == "begin" else -1))
    else:
        row["state"] = {"fail": "failed"}.get(name, name)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(OPERATIONS)
def test_any_operations_do_what_a_plain_list_does(operations: list[tuple[object, ...]]) -> None:
    model = Model()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "journal"
        rest = list(operations)
        while True:
            with opened(folder, Limits(rows=4)) as journal:
                assert journal.salvaged is None
                while rest and rest[0] != ("reopen",):
                    operation = rest.pop(0)
                    if operation[0] == "put":
                        _, number, key = operation
                        expected = model.put(number, key)  # type: ignore[arg-type]
                        assert put_outcome(journal.rows, number, key) == expected  # type: ignore[arg-type]
                    else:
                        change(journal.rows, model, *operation)  # type: ignore[arg-type]
                found = [journal.rows.row(n) for n in range(1, len(model.rows) + 2)]
                assert [
                    {"key": row.key, "state": row.state.value, "attempts": row.attempts}
                    for row in found
                    if row
                ] == [{n: row[n] for n in ("key", "state", "attempts")} for row in model.rows]
                assert [row.sequence for row in journal.rows.queued()] == model.queued()
                assert journal.rows.waiting.rows == len(model.queued())
            if not rest:
                return
            rest.pop(0)
