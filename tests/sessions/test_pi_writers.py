"""Branches that two processes wrote at once are both said; one that was left is undone."""

from __future__ import annotations

import json
import random
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mempalace_toolkit.sessions.model import Session
from tests.sessions.pi_writing import START_MS, header, lines, read_one, said, write

LEFT = "on a branch that was left"


def entry(kind: str, id: str, parent: str | None, second: int, **more: Any) -> dict[str, Any]:
    line = {**said("user", "", id, parent, second), "type": kind, **more}
    del line["message"]
    return line


def tree(written: str) -> list[dict[str, Any]]:
    """Entries from `id<parent` pairs: capitals ask, small letters answer, others are metadata."""
    entries = []
    for second, pair in enumerate(written.split()):
        id, _, parent = pair.partition("<")
        if id[0].isalpha():
            role = "user" if id[0].isupper() else "assistant"
            entries.append(said(role, id, id, parent or None, second))
        else:
            kinds = {"!": "session_info", "?": "model_change", "#": "compaction", "%": "label"}
            kinds |= {"&": "branch_summary", "$": "usage", "=": "custom", "+": "custom_message"}
            kind = kinds[id[0]]
            more = {"name": "name"} if id[0] == "!" else {}
            if id[0] == "&":
                more = {"fromId": id[1:], "summary": "s"}
            entries.append(entry(kind, id, parent or None, second, **more))
    return entries


def read(folder: Path, entries: list[dict[str, Any]]) -> Session:
    return read_one(write(folder, lines(header(), *entries)))


TREES = {
    "one writer": ("A a<A B<a b<B", "A a B b", ""),
    "a writer who went back": ("A a<A B<a b<B C<a c<C", "A a C c", "B b"),
    "one who went back twice": ("A a<A B<a b<B C<a c<C D<a d<D", "A a D d", "B b C c"),
    "one who asked the first question anew": ("A a<A B b<B", "B b", "A a"),
    "one who went back and chose another model": ("A a<A B<a b<B ?<a C<? c<C", "A a C c", "B b"),
    "one who went back with a summary": ("A a<A B<a b<B &b<a C<&b c<C", "A a C c", "B b"),
    "a summary alone leaves a branch": ("A a<A B<a b<B &b<a", "A a", "B b"),
    "going back without typing": ("A a<A B<a b<B", "A a B b", ""),
    "two writers in turn": ("A a<A B<a b<B C<a c<C D<b d<D E<c e<E", "A a B b C c D d E e", ""),
    "two writers at once": ("A a<A B<a C<a b<B c<C", "A a B C b c", ""),
    "a writer between two turns of another": (
        "A a<A B<a b<B C<a c<C D<b d<D",
        "A a B b C c D d",
        "",
    ),
    "three writers": ("A a<A B<a C<a D<a b<B c<C d<D", "A a B C D b c d", ""),
    "two writers from the root": ("A B a<A b<B", "A B a b", ""),
    "one of two writers went back": ("A a<A B<a C<a b<B c<C D<a d<D E<b", "A a B C b c D d E", ""),
    "a rename by a stale client": ("A a<A B<a b<B C<b c<C !<a", "A a B b C c", ""),
    "a rename on the leaf": ("A a<A B<a b<B !<b C<! c<C", "A a B b C c", ""),
    "a label, a name, another model on an old entry": (
        "A a<A B<a b<B !<a %<! ?<% =<? $<=",
        "A a B b",
        "",
    ),
    "a stale client that renamed and went on": ("A a<A B<a b<B !<a C<! c<C", "A a B b C c", ""),
    "a stale client that kept its cache warm and went on": (
        "A a<A B<a b<B $<a C<$ c<C",
        "A a B b C c",
        "",
    ),
    "a compaction by a stale client": ("A a<A B<a b<B #<a", "A a B b", ""),
    "a hidden message by a stale client": ("A a<A B<a b<B +<a", "A a B b", ""),
    "a rename of the left branch after it was left": (
        "A a<A B<a b<B C<a c<C !<b",
        "A a B b C c",
        "",
    ),
}


@pytest.mark.parametrize(("written", "talk", "left"), TREES.values(), ids=TREES.keys())
def test_what_is_said_and_what_was_left(tmp_path: Path, written: str, talk: str, left: str) -> None:
    entries = tree(written)
    session = read(tmp_path, entries)
    assert sorted(turn.text for turn in session.turns) == sorted(talk.split())
    times = {row["id"]: START_MS + second * 1000 for second, row in enumerate(entries)}
    roles = {row["id"]: row["message"]["role"] for row in entries if "message" in row}
    assert session.withdrawn == {(roles[id], times[id]): LEFT for id in left.split()}
    assert session.findings == ()


def test_branches_of_two_writers_stand_in_the_order_of_the_file(tmp_path: Path) -> None:
    session = read(tmp_path, tree("A a<A B<a b<B C<a c<C D<b d<D"))
    assert [turn.text for turn in session.turns] == list("AaBbCcDd")


def test_an_entry_of_an_unknown_kind_does_not_move_the_leaf(tmp_path: Path) -> None:
    rows = [*tree("A a<A B<a b<B"), entry("telemetry", "x", "a", 9)]
    assert [turn.text for turn in read(tmp_path, rows).turns] == list("AaBb")


def test_a_lost_line_withdraws_nothing(tmp_path: Path) -> None:
    rows = tree("A a<A B<a b<B C<a c<C D<c d<D")
    del rows[5]
    session = read(tmp_path, rows)
    assert session.withdrawn == {}
    assert [finding.kind for finding in session.findings] == ["broken_chain"]


def test_a_line_that_stands_there_again_at_the_end_moves_nothing(tmp_path: Path) -> None:
    rows = tree("A a<A B<a b<B C<b c<C")
    session = read(tmp_path, [*rows, rows[1]])
    assert [turn.text for turn in session.turns] == list("AaBbCc")
    assert session.withdrawn == {}


def test_an_answer_taken_back_is_named_with_its_reason(tmp_path: Path) -> None:
    edit = entry("context_edit", "x", "a", 2, targetId="a", replacement=None)
    session = read(tmp_path, [*tree("A a<A"), edit, said("assistant", "again", "b", "x", 3)])
    assert session.withdrawn == {("assistant", START_MS + 1000): "taken back by pi"}


edits = st.lists(
    st.tuples(
        st.sampled_from(["cut", "drop", "tear", "repeat", "rename", "older"]), st.floats(0, 1)
    ),
    min_size=1,
    max_size=4,
)


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 2**32), edits)
def test_no_edit_of_a_file_withdraws_what_is_absent_or_was_not_left(
    seed: int, changes: list[tuple[str, float]]
) -> None:
    """A chain of one writer, edited in every way but by going back, withdraws nothing at all."""
    chance = random.Random(seed)
    rows = [json.dumps(row).encode() for row in tree(_chain(chance.randint(2, 12)))]
    for kind, share in changes:
        at = int(share * (len(rows) - 1)) if rows else 0
        if kind in ("cut", "older"):
            rows = rows[: at + 1]
        elif kind == "drop":
            rows = rows[:at] + rows[at + 1 :]
        elif kind == "tear":
            rows = [
                *rows[:at],
                *(row[: len(row) // 2] for row in rows[at : at + 1]),
                *rows[at + 1 :],
            ]
        elif kind == "repeat":
            rows += rows[at : at + 1]
        elif kind == "rename" and rows:
            name = entry("session_info", f"i{len(rows)}", "a0", len(rows), name="named")
            rows.append(json.dumps(name).encode())
    with TemporaryDirectory() as folder:
        session = read_one(write(Path(folder), lines(header(), *rows)))
    assert session.withdrawn == {}


def _chain(exchanges: int) -> str:
    pairs, parent = [], ""
    for number in range(exchanges):
        pairs += [f"Q{number}<{parent}", f"a{number}<Q{number}"]
        parent = f"a{number}"
    return " ".join(pairs)
