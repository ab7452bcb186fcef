"""Whatever stands in a pi file: what can be read is read, and what cannot is said."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mempalace_toolkit.errors import StoreUnreadableError, UnknownSchemaError
from mempalace_toolkit.sessions.pi import lines as pi_lines
from mempalace_toolkit.sessions.pi import open_store
from tests.sessions.pi_writing import (
    FIXTURES,
    chain,
    header,
    kinds,
    lines,
    read_all,
    read_one,
    said,
    talk_of,
    write,
)

HEAD = lines(header())
AB = chain("a", "b")
TALK = lines(*AB)
NEXT = lines(said("user", "c", "n0", "e1", 5))

BYTES = {
    "as pi writes it": (HEAD + TALK, "a b", []),
    "a last line without its end": (HEAD + TALK + NEXT[:-1], "a b", []),
    "a last line cut in the middle": (HEAD + TALK + NEXT[:40], "a b", []),
    "only a header": (HEAD, "", []),
    "line ends of Windows": ((HEAD + TALK).replace(b"\n", b"\r\n"), "a b", []),
    "a byte order mark": (b"\xef\xbb\xbf" + HEAD + TALK, "a b", []),
    "empty lines": (b"\n\r\n" + HEAD + b"\n\n" + TALK + b"  \n", "a b", []),
    "a line that is no JSON": (HEAD + TALK + b"{oops\n" + NEXT, "a b c", ["malformed_row"]),
    "values that are no objects": (
        HEAD + TALK + b'7\nnull\n"x"\n[]\ntrue\n' + NEXT,
        "a b c",
        ["malformed_row"],
    ),
    "binary garbage between lines": (
        HEAD + TALK + bytes(range(11, 256)) + b"\n" + NEXT,
        "a b c",
        ["malformed_row"],
    ),
    "NULs that a crash left": (HEAD + TALK + b"\0" * 4096 + NEXT, "a b c", ["mended_row"]),
    "a line of NULs": (HEAD + TALK + b"\0" * 64 + b"\n" + NEXT, "a b c", ["malformed_row"]),
    "a second header": (HEAD + TALK + HEAD + NEXT, "a b c", ["malformed_row"]),
    "a nest too deep to parse": (
        HEAD + TALK + b"[" * 100_000 + b"]" * 100_000 + b"\n" + NEXT,
        "a b c",
        ["malformed_row"],
    ),
    "a number too long to parse": (
        HEAD + TALK + b'{"id":' + b"9" * 5000 + b"}\n" + NEXT,
        "a b c",
        ["malformed_row"],
    ),
}


@pytest.mark.parametrize(("content", "talk", "found"), BYTES.values(), ids=BYTES.keys())
def test_the_bytes_of_a_file(tmp_path: Path, content: bytes, talk: str, found: list[str]) -> None:
    session = read_one(write(tmp_path, content))
    assert [turn.text for turn in session.turns] == talk.split()
    assert kinds(session) == found


TEXTS = {
    "separators that are no line ends": ("a\u2028b\u2029c\x85d", "a\u2028b\u2029c\x85d", False),
    "an escaped NUL": (r"a\u0000b", "a\0b", False),
    "right to left, emoji": ("مرحبا 👩‍👩‍👧", "مرحبا 👩‍👩‍👧", False),
    "a surrogate pair": (r"\ud83d\ude80", "🚀", False),
    "a surrogate alone": (r"x \ud83d y \ude80", "x \ufffd y \ufffd", True),
    "a raw control character": ("a\tb\x01\0", "a\tb\x01\0", True),
}


@pytest.mark.parametrize(("written", "text", "mended"), TEXTS.values(), ids=TEXTS.keys())
def test_text_is_taken_verbatim(tmp_path: Path, written: str, text: str, mended: bool) -> None:
    line = json.dumps(said("user", "HERE", "e0", None)).replace("HERE", written).encode()
    session = read_one(write(tmp_path, lines(header(), line)))
    assert talk_of(session) == [("user", text)]
    assert kinds(session) == (["mended_row"] if mended else [])


def test_invalid_utf8_becomes_replacement_characters(tmp_path: Path) -> None:
    line = json.dumps(said("user", "a HERE b", "e0", None)).encode().replace(b"HERE", b"\xff\xc3")
    session = read_one(write(tmp_path, lines(header(), line)))
    assert talk_of(session) == [("user", "a \ufffd\ufffd b")]
    assert kinds(session) == ["mended_row"]


def test_findings_count_and_name_the_line_and_never_quote_it(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + b"SECRET\nSECRET\n" + TALK)
    [finding] = read_one(path).findings
    assert finding.message.startswith("2 lines skipped")
    assert "line 2" in finding.message
    assert "SECRET" not in finding.message
    assert (finding.path, finding.session) == (str(path), "s1")


def test_a_line_without_end_is_not_held_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pi_lines, "MAX_LINE", 2048)
    long = b'{"type":"message","x":"' + b"y" * 9000 + b'"}\n'
    session = read_one(write(tmp_path, HEAD + TALK + long + NEXT + b"z" * 9000))
    assert [turn.text for turn in session.turns] == ["a", "b", "c"]
    assert kinds(session) == ["malformed_row"]


def test_a_turn_of_fifty_megabytes_is_read(tmp_path: Path) -> None:
    text = "0123456789" * 5_000_000
    session = read_one(write(tmp_path, lines(header(), said("user", text, "e0", None))))
    assert session.turns[0].text == text


HEADERS = {
    "an empty file": (b"", "unfinished_file"),
    "a header cut short": (HEAD[:30], "unfinished_file"),
    "a header without its line end": (HEAD[:-1], "unfinished_file"),
    "another kind of lines": (b'{"kind":"log"}\n' + TALK, "unknown_file"),
    "no JSON": (b"\x00\xff" * 50 + b"\n", "unknown_file"),
    "a very long line": (b"x" * 100_000, "unknown_file"),
}


@pytest.mark.parametrize(("content", "kind"), HEADERS.values(), ids=HEADERS.keys())
def test_a_file_that_is_no_session_is_a_finding(tmp_path: Path, content: bytes, kind: str) -> None:
    write(tmp_path, HEAD + TALK)
    path = write(tmp_path, content, "other.jsonl")
    with open_store([tmp_path]) as store:
        assert [ref.id for ref in store.find_sessions()] == ["s1"]
        assert [(found.kind, found.path) for found in store.findings] == [(kind, str(path))]
        assert store.failures == ()


@pytest.mark.parametrize("version", [4, 99, 0, -1, "3", 2.0, True, []])
def test_an_unknown_version_beside_known_ones_is_a_failure(tmp_path: Path, version: object) -> None:
    write(tmp_path, HEAD + TALK)
    path = write(tmp_path, lines({**header("new"), "version": version}), "new.jsonl")
    with open_store([tmp_path]) as store:
        assert [ref.id for ref in store.find_sessions()] == ["s1"]
        [failure] = store.failures
    assert isinstance(failure, UnknownSchemaError)
    assert str(path) in failure.message
    assert "version" in failure.message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lines(header(version=4), *AB), ["version 4", "1 to 3"]),
        (b"not pi\n", ["not a pi session"]),
        (b"\x1f\x8b\x08" + b"\xff\n" * 99, ["not a pi session"]),
    ],
)
def test_a_folder_without_any_known_session_is_an_error_that_names_the_file(
    tmp_path: Path, content: bytes, words: list[str]
) -> None:
    path = write(tmp_path, content)
    for place in (tmp_path, path):
        with pytest.raises(UnknownSchemaError) as caught:
            open_store([place])
        assert all(word in caught.value.message for word in [str(path), *words])
        assert caught.value.hint


def test_a_session_that_is_just_beginning_is_no_error(tmp_path: Path) -> None:
    write(tmp_path, HEAD[:20])
    assert read_all(tmp_path) == {}


def test_a_header_without_id_or_time_takes_them_from_the_file(tmp_path: Path) -> None:
    bare = {"type": "session", "version": 3}
    path = write(tmp_path, lines(bare, *AB), "2026_abc.jsonl")
    os.utime(path, ns=(5_000_000_000, 5_000_000_000))
    session = read_one(tmp_path)
    assert (session.ref.id, session.ref.created, session.ref.directory) == ("abc", 5000, "")


def test_a_file_that_vanishes_is_an_error_and_the_rest_can_be_read(tmp_path: Path) -> None:
    gone = write(tmp_path, HEAD + TALK, "gone.jsonl")
    write(tmp_path, lines(header("s2"), *AB), "stays.jsonl")
    with open_store([tmp_path]) as store:
        refs = list(store.find_sessions())
        gone.unlink()
        with pytest.raises(StoreUnreadableError, match=r"gone\.jsonl"):
            store.read_session(refs[0])
        assert len(store.read_session(refs[1]).turns) == 2


def test_a_file_that_turns_into_a_folder_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + TALK)
    with open_store([tmp_path]) as store:
        [ref] = store.find_sessions()
        path.unlink()
        path.mkdir()
        with pytest.raises(StoreUnreadableError, match="Is a directory"):
            store.read_session(ref)


@pytest.mark.parametrize("content", [b"", b"garbage\n", lines(header(version=9), *AB)])
def test_a_file_that_is_no_session_any_more_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path, HEAD + TALK)
    with open_store([tmp_path]) as store:
        [ref] = store.find_sessions()
        path.write_bytes(content)
        with pytest.raises(UnknownSchemaError, match="any more"):
            store.read_session(ref)


def test_a_store_is_read_again_after_it_was_closed() -> None:
    store = open_store([FIXTURES / "1.5.2/basic"])
    [ref] = store.find_sessions()
    store.close()
    assert len(store.read_session(ref).turns) == 5


def test_an_error_names_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(StoreUnreadableError) as caught:
        open_store([tmp_path / "nowhere"])
    assert "nowhere" in caught.value.message
    assert caught.value.hint
