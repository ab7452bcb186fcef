"""Lines that were not written as pi writes them: whatever whole record is there is read."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from mempalace_toolkit.errors import StoreUnreadableError
from mempalace_toolkit.intake.selection import Selection
from mempalace_toolkit.sessions.pi import open_store
from mempalace_toolkit.sessions.pi.heads import folder_named
from mempalace_toolkit.transcripts.wing import mapped_wing, project_wing
from tests.sessions.pi_writing import (
    START_MS,
    chain,
    header,
    kinds,
    lines,
    read_all,
    read_one,
    said,
    write,
)

HEAD = lines(header())
ROWS = [json.dumps(row).encode() for row in chain("a", "b", "c", "d")]
TIGHT = [json.dumps(row, separators=(",", ":")).encode() for row in chain("a", "b", "c", "d")]
RESULT = said("toolResult", "x " * 50, "e1", "e0", 1)
TOOL = json.dumps(RESULT, separators=(",", ":")).encode()

LINES = {
    "two records on a line": (ROWS[0], ROWS[1] + ROWS[2], ROWS[3]),
    "four records on a line": (b"".join(ROWS),),
    "with spaces between": (b"  ".join(ROWS),),
    "written without spaces": (b"".join(TIGHT),),
    "the header and a record on a line": (),
    "a record after a torn piece": (ROWS[0], ROWS[1][:70] + ROWS[1], *ROWS[2:]),
    "a torn piece after a record": (ROWS[0], ROWS[1] + ROWS[2][:70], *ROWS[2:]),
    "a torn piece within a text": (*ROWS[:3], ROWS[3][:-30] + ROWS[3]),
    "a torn piece of a tool's result": (ROWS[0], TOOL[:-20] + TIGHT[1], *ROWS[2:]),
}


@pytest.mark.parametrize("rows", LINES.values(), ids=LINES.keys())
def test_every_whole_record_of_a_line_is_read(tmp_path: Path, rows: tuple[bytes, ...]) -> None:
    content = HEAD + lines(*rows) if rows else HEAD[:-1] + lines(*ROWS)
    session = read_one(write(tmp_path, content))
    assert [turn.text for turn in session.turns] == ["a", "b", "c", "d"]
    assert set(kinds(session)) <= {"mended_row", "malformed_row"}


def test_a_torn_piece_that_is_lost_is_a_finding(tmp_path: Path) -> None:
    session = read_one(write(tmp_path, HEAD + lines(ROWS[0], ROWS[1][:70], *ROWS[2:])))
    assert [turn.text for turn in session.turns] == ["a", "c", "d"]
    assert kinds(session) == ["malformed_row", "broken_chain"]


def test_blocks_of_a_torn_piece_are_no_records(tmp_path: Path) -> None:
    call = [{"type": "toolCall", "id": "e9", "name": "x"}, {"type": "text", "text": "lost"}]
    torn = json.dumps(said("assistant", call, "e1", "e0", 1)).encode()[:-60]
    session = read_one(write(tmp_path, HEAD + lines(ROWS[0], torn, ROWS[1])))
    assert [turn.text for turn in session.turns] == ["a", "b"]


@pytest.mark.parametrize("before", [b"oops\n", b"\n\n", b'{"a":1}\n', b"\x00\xff\n" * 9, b"{\n"])
def test_lines_before_the_header_are_passed(tmp_path: Path, before: bytes) -> None:
    session = read_one(write(tmp_path, before + HEAD + lines(*ROWS)))
    assert [turn.text for turn in session.turns] == ["a", "b", "c", "d"]
    assert session.ref.directory == "/home/dev/lab/queue"


def test_without_a_header_the_names_of_file_and_folder_stand_in(tmp_path: Path) -> None:
    write(tmp_path, lines(*ROWS), "2026-03-01T10-00-00-000Z_s7.jsonl")
    session = read_one(tmp_path)
    assert (session.ref.id, session.ref.directory) == ("s7", "/home/dev/lab/queue")
    assert session.ref.created == START_MS
    assert len(session.turns) == 4


def test_without_a_header_the_folder_is_that_of_the_sessions_beside_it(tmp_path: Path) -> None:
    write(tmp_path, lines(header(cwd="/home/dev-lab/queue"), *ROWS))
    write(tmp_path, lines(*ROWS), "2026-03-01T10-00-00-000Z_s7.jsonl")
    assert read_all(tmp_path)["s7"].ref.directory == "/home/dev-lab/queue"


FOLDERS = {
    "--home-u-shop--": "/home/u/shop",
    "--C--Users-me-proj--": "C:\\Users\\me\\proj",
    "flat": "",
    "----": "",
}


@pytest.mark.parametrize(("name", "folder"), FOLDERS.items())
def test_the_folder_that_a_folder_is_named_after(name: str, folder: str) -> None:
    assert folder_named(name) == folder


def test_a_windows_folder_gives_the_wing_of_its_last_part(tmp_path: Path) -> None:
    cwd = "C:\\Users\\me\\My Proj"
    path = tmp_path / "--C--Users-me-My Proj--" / "x_s1.jsonl"
    path.parent.mkdir()
    path.write_bytes(lines(header(cwd=cwd), *ROWS))
    session = read_one(tmp_path)
    assert session.ref.directory == cwd
    assert project_wing(session.ref.directory) == "my_proj"
    assert mapped_wing(cwd, {"C:\\Users\\me": "mine"}) == "mine"
    assert mapped_wing(cwd, {"C:\\Users\\m": "other"}) is None


def test_last_activity_is_the_last_messages_and_not_the_files(tmp_path: Path) -> None:
    name = {"type": "session_info", "id": "x", "parentId": "e3", "name": "n"}
    late = {**name, "timestamp": "2026-09-09T00:00:00Z"}
    long = "y" * 100_000
    stores: list[list[bytes | dict[str, Any]]] = [
        [*ROWS],
        [*ROWS, late],
        [*ROWS[:3], said("assistant", long, "e3", "e2", 3)],
    ]
    for number, rows in enumerate(stores):
        folder = tmp_path / str(number)
        with open_store([write(folder, HEAD + lines(*rows))]) as store:
            [ref] = store.find_sessions()
            assert ref.updated == START_MS + 3000
            assert store.read_session(ref).ref.updated == ref.updated
            assert not Selection(since_ms=START_MS + 3001).covers(ref)


@pytest.mark.parametrize("length", [20_000, 2_000_000])
def test_last_activity_is_found_before_a_long_line(tmp_path: Path, length: int) -> None:
    custom = {"type": "custom", "id": "x", "parentId": "e3", "data": "y" * length}
    rows = [*TIGHT, TIGHT[3].replace(b'"d"', b'"' + b"d" * length + b'"'), custom]
    with open_store([write(tmp_path, HEAD + lines(*rows))]) as store:
        [ref] = store.find_sessions()
        assert ref.updated == (START_MS + 3000 if length < 10**6 else ref.updated)


def test_a_pipe_or_socket_among_the_files_is_named_and_not_waited_for(tmp_path: Path) -> None:
    folder = write(tmp_path, HEAD + lines(*ROWS)).parent
    os.mkfifo(folder / "pipe.jsonl")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "s.jsonl"))
        with open_store([tmp_path]) as store:
            assert len(list(store.find_sessions())) == 1
            assert [f.kind for f in store.findings] == ["not_a_file", "not_a_file"]


def test_a_file_that_became_a_pipe_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + lines(*ROWS))
    with open_store([path]) as store:
        [ref] = store.find_sessions()
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(StoreUnreadableError, match="not a regular file"):
            store.read_session(ref)


def test_of_a_very_long_line_pictures_and_thinking_never_become_text(tmp_path: Path) -> None:
    blocks = [
        {"type": "text", "text": 'see \\"data\\":"'},
        {"type": "image", "data": "A" * 5_000_000, "mimeType": "image/png"},
        {"type": "thinking", "thinking": 'x"\\' * 99},
        {"type": "text", "text": "end"},
    ]
    session = read_one(write(tmp_path, HEAD + lines(said("user", blocks, "e0", None))))
    assert [turn.text for turn in session.turns] == ['see \\"data\\":"\nend']
    assert session.findings == ()
