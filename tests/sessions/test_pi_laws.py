"""Laws of the pi reader, tried on many inputs."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mempalace_toolkit.errors import ToolkitError
from mempalace_toolkit.sessions.model import Session
from mempalace_toolkit.sessions.pi import open_store
from tests.sessions.pi_writing import (
    FIXTURES,
    START_MS,
    chain,
    header,
    lines,
    read_one,
    said,
    snapshot,
    talk_of,
    write,
)

UNTIMED = settings(deadline=None)  # the machine may be busy

RECORDED = sorted(FIXTURES.glob("*/*/sessions/*/*.jsonl"))
NAMES = ["/".join(path.parts[-5:-3]) + "/" + path.stem[-6:] for path in RECORDED]

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
ids = st.sampled_from(["e0", "e1", "n0", "n1", ""])
blocks = st.lists(
    st.fixed_dictionaries({"type": st.sampled_from(["text", "image"]), "text": scalars})
)
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "toolResult"]), "content": scalars | blocks},
    optional={"timestamp": scalars},
)
entries = st.fixed_dictionaries(
    {"type": st.sampled_from(["message", "context_edit", "session_info", "session"])},
    optional={
        "id": ids | scalars,
        "parentId": ids | scalars,
        "timestamp": scalars,
        "message": messages | scalars,
        "targetId": ids,
        "replacement": scalars,
        "name": scalars,
    },
)
rows = st.lists(entries.map(lambda entry: json.dumps(entry).encode()) | st.binary(), max_size=12)


def read_bytes(content: bytes) -> Session | None:
    """The session in a file of these bytes, None where there is none; the file stays as it is."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        write(root, content)
        before = snapshot(root)
        try:
            with open_store([root]) as store:
                store.signature()
                sessions = [store.read_session(ref) for ref in store.find_sessions()]
                assert isinstance(store.failures + store.findings, tuple)
        except ToolkitError:
            return None
        finally:
            assert snapshot(root) == before
    return sessions[0] if sessions else None


@UNTIMED
@given(st.binary(max_size=300))
def test_any_bytes_raise_only_toolkit_errors(content: bytes) -> None:
    read_bytes(content)


@UNTIMED
@given(rows)
def test_any_lines_after_a_header_are_a_session(values: list[bytes]) -> None:
    session = read_bytes(lines(header(), *values))
    assert session is not None
    for turn in session.turns:
        assert turn.text.strip()
        turn.text.encode()


@UNTIMED
@given(st.data())
def test_a_damaged_recorded_file_is_still_read(data: st.DataObject) -> None:
    content = bytearray(RECORDED[0].read_bytes())
    head = content.index(b"\n") + 1
    for _ in range(data.draw(st.integers(1, 20))):
        content[data.draw(st.integers(head, len(content) - 1))] = data.draw(st.integers(0, 255))
    session = read_bytes(bytes(content))
    assert session is not None
    assert session.ref.id == "342cd864-0f49-4758-9d04-b00aeb943364"


@pytest.mark.parametrize("path", RECORDED, ids=NAMES)
def test_a_file_that_grows_line_by_line_only_gains_turns_on_its_branch(
    path: Path, tmp_path: Path
) -> None:
    whole = path.read_bytes()
    target = write(tmp_path, whole, path.name)
    before = read_one(target)
    ends_in_a_line = whole.endswith(b"\n")
    rows = [json.loads(row) for row in whole.split(b"\n")[1:-1]]
    leaf = rows[-1].get("id")
    more = [said("user", "grown 1", "g1", leaf, 1), said("assistant", "grown 2", "g2", "g1", 2)]
    grown = before
    with target.open("ab") as stream:
        stream.write(b"" if ends_in_a_line else b"\n")
        for entry in more:
            stream.write(lines(entry))
            stream.flush()
            grown = read_one(target)
            assert grown.turns[: len(before.turns)] == before.turns
    assert talk_of(grown)[len(before.turns) :] == [("user", "grown 1"), ("assistant", "grown 2")]


@pytest.mark.parametrize("path", RECORDED, ids=NAMES)
def test_a_cut_anywhere_gives_the_turns_of_the_complete_lines(path: Path, tmp_path: Path) -> None:
    whole = path.read_bytes()
    ends = [position + 1 for position, byte in enumerate(whole) if byte == 10]
    for end in ends[len(ends) // 2 :]:
        at_a_line = read_one(write(tmp_path, whole[:end], path.name)).turns
        cut = whole[: min(end + 97, len(whole))]
        if b"\n" not in cut[end:]:
            assert read_one(write(tmp_path, cut, path.name)).turns == at_a_line


@UNTIMED
@given(st.lists(st.sampled_from([0, 0, 0, 1, 2, 5, 40]), min_size=1, max_size=30))
def test_one_writer_who_goes_back_says_the_way_from_the_last_entry(back: list[int]) -> None:
    """The writer stands on the last entry, and each time goes `back` some entries of its way."""
    way: list[int] = []
    talk = chain(*(f"t{number}" for number in range(len(back))))
    for number, steps in enumerate(back):
        way = way[: max(len(way) - steps, 0)]
        talk[number]["parentId"] = f"e{way[-1]}" if way else None
        way.append(number)
    session = read_bytes(lines(header(), *talk))
    assert session is not None
    assert [turn.text for turn in session.turns] == [f"t{number}" for number in way]
    left = {turn.time for turn in session.turns} ^ {START_MS + 1000 * n for n in range(len(back))}
    assert {time for _, time in session.withdrawn} == left
    assert set(session.withdrawn.values()) <= {"on a branch that was left"}
