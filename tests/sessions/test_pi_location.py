"""Where pi sessions are looked for, and which files in a place are read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mempalace_toolkit.errors import StoreUnreadableError
from mempalace_toolkit.sessions.pi import locate, open_store, searched
from tests.sessions.pi_writing import FIXTURES, chain, header, lines, read_all, snapshot, write

NOBODY = 65534


def session(id: str) -> bytes:
    return lines(header(id), *chain("a", "b"))


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's right to read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """`path` without any permission; every folder above it can be passed through."""
    private = [folder for folder in path.parents if not folder.stat().st_mode & stat.S_IXOTH]
    modes = {folder: folder.stat().st_mode for folder in [path, *private]}
    path.chmod(0)
    for folder in private:
        folder.chmod(modes[folder] | 0o055)
    try:
        with as_nobody():
            yield
    finally:
        for folder, mode in modes.items():
            folder.chmod(mode)


def test_the_default_folder_is_searched_whatever_the_variables_say(tmp_path: Path) -> None:
    default = tmp_path / ".pi/agent/sessions"
    agent, flat = tmp_path / "agent", tmp_path / "flat"
    assert searched(tmp_path, None, None) == (default,)
    assert searched(tmp_path, "", "") == (default,)
    assert searched(tmp_path, str(agent), None) == (agent / "sessions", default)
    assert searched(tmp_path, None, str(flat)) == (flat, default)
    assert searched(tmp_path, str(agent), str(flat)) == (flat, agent / "sessions", default)
    assert searched(tmp_path, "~/.pi/agent", "~") == (tmp_path, default)


SETTINGS = {
    "a folder": ('{"sessionDir": "/data/pi"}', "/data/pi"),
    "a folder in home": ('{"sessionDir": "~/pi"}', "HOME/pi"),
    "one that depends on the project": ('{"sessionDir": ".pi/sessions"}', None),
    "no text": ('{"sessionDir": 5}', None),
    "none": ('{"theme": "dark"}', None),
    "no object": ("[]", None),
    "no JSON": ("{oops", None),
}


@pytest.mark.parametrize(("content", "place"), SETTINGS.values(), ids=SETTINGS.keys())
@pytest.mark.parametrize("agent", [".pi/agent", "other"])
def test_the_folder_in_pis_settings_is_searched_too(
    tmp_path: Path, content: str, place: str | None, agent: str
) -> None:
    (tmp_path / agent).mkdir(parents=True)
    (tmp_path / agent / "settings.json").write_text(content)
    found = searched(tmp_path, str(tmp_path / "other"), None)
    expected = [Path(place.replace("HOME", str(tmp_path)))] if place else []
    usual = [tmp_path / "other/sessions", tmp_path / ".pi/agent/sessions"]
    assert list(found) == expected + usual


def test_only_folders_that_exist_are_located(tmp_path: Path) -> None:
    home = FIXTURES / "0.87.1/dirs/home"
    agent, flat = home / "alt", home / "alt2"
    default = home / ".pi/agent/sessions"
    assert locate(home, str(agent), str(flat)) == (flat, agent / "sessions", default)
    assert locate(home, str(tmp_path / "no"), str(tmp_path / "no")) == (default,)
    assert locate(tmp_path, None, None) == ()
    (tmp_path / "file").write_text("x")
    assert locate(tmp_path, str(tmp_path / "file"), None) == ()


def test_a_place_that_cannot_be_looked_into_is_located_and_fails(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert locate(tmp_path, None, str(loop)) == (loop,)
    with pytest.raises(StoreUnreadableError, match="loop"):
        open_store([loop])


@pytest.mark.parametrize("inside", ["", "sessions", "sessions/--home-dev-lab-queue--"])
def test_an_agent_folder_a_sessions_folder_and_a_flat_one_are_places(
    tmp_path: Path, inside: str
) -> None:
    write(tmp_path / "sessions", session("s1"))
    assert set(read_all(tmp_path / inside)) == {"s1"}


def test_one_file_is_a_place_whatever_its_name(tmp_path: Path) -> None:
    write(tmp_path, session("s1"))
    path = write(tmp_path, session("s2"), "exported.txt")
    assert set(read_all(path)) == {"s2"}


def test_an_agent_folders_other_subfolders_are_not_read(tmp_path: Path) -> None:
    write(tmp_path / "sessions", session("s1"))
    (tmp_path / "extensions").mkdir()
    (tmp_path / "extensions" / "data.jsonl").write_bytes(b'{"mine":1}\n')
    with open_store([tmp_path]) as store:
        assert len(list(store.find_sessions())) == 1
        assert store.findings == ()


@pytest.mark.parametrize("folders", [[], ["--home-dev--"], ["sessions"], [".hidden"]])
def test_a_folder_without_sessions_yet_is_an_empty_store(
    tmp_path: Path, folders: list[str]
) -> None:
    for folder in folders:
        (tmp_path / folder).mkdir()
    assert read_all(tmp_path) == {}


@pytest.mark.parametrize("name", ["photos/a.png", "notes.txt"])
def test_a_folder_of_other_things_is_no_store(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(StoreUnreadableError, match="no pi sessions"):
        open_store([tmp_path])


def test_what_is_neither_file_nor_folder_is_no_store(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(StoreUnreadableError, match="neither"):
        open_store([tmp_path / "pipe.jsonl"])
    write(tmp_path, session("s1"))
    assert set(read_all(tmp_path)) == {"s1"}


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_a_name_that_no_file_can_have_is_no_store(name: str) -> None:
    with pytest.raises(StoreUnreadableError):
        open_store([Path(name)])


def test_one_bad_place_does_not_hide_the_good_ones(tmp_path: Path) -> None:
    write(tmp_path / "good", session("s1"))
    write(tmp_path / "new", lines(header(version=4)))
    with open_store([tmp_path / "gone", tmp_path / "good", tmp_path / "new"]) as store:
        assert [ref.id for ref in store.find_sessions()] == ["s1"]
        assert store.places == (tmp_path / "good",)
        assert [failure.kind for failure in store.failures] == [
            "store_unreadable",
            "unknown_schema",
        ]


def test_no_places_are_no_sessions() -> None:
    assert read_all() == {}


@pytest.mark.parametrize(
    "name", ["--a b--", '--it\'s "q"--', "--100%s--", "--a\nb--", "--ünï 🐘--"]
)
def test_odd_folder_names_are_read(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    path = folder / "x_s1.jsonl"
    path.write_bytes(session("s1"))
    (folder / "bad.jsonl").write_bytes(b"bad\n")
    with open_store([tmp_path]) as store:
        [ref] = store.find_sessions()
        assert ref.source == str(path)
        assert len(store.read_session(ref).turns) == 2
        [finding] = store.findings
        assert finding.path.isprintable()


def test_a_folder_name_that_is_not_utf8_is_read(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"--\xff\xfe--")
    folder.mkdir()
    (folder / "x_s1.jsonl").write_bytes(session("s1"))
    with open_store([tmp_path]) as store:
        [ref] = store.find_sessions()
        assert len(store.read_session(ref).turns) == 2
        assert store.signature()


def test_the_directory_is_the_headers_and_not_the_folders(tmp_path: Path) -> None:
    odd = '/home/dev/it\'s "50 %"\nnew line'
    write(tmp_path, lines(header(cwd=odd), *chain("a", "b")))
    assert read_all(tmp_path)["s1"].ref.directory == odd


def test_a_linked_file_is_read_once_under_its_own_name(tmp_path: Path) -> None:
    real = write(tmp_path / "sessions", session("s1"))
    (real.parent / "a-link.jsonl").symlink_to(real)
    (real.parent / "hard.jsonl").hardlink_to(real)
    (tmp_path / "sessions" / "--linked--").symlink_to(real.parent)
    with open_store([tmp_path, tmp_path / "sessions", real]) as store:
        [ref] = store.find_sessions()
        assert ref.source in {str(real), str(real.parent / "hard.jsonl")}
        assert store.findings == ()


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    real = write(tmp_path, session("s1"))
    (real.parent / "up").symlink_to(tmp_path)
    (tmp_path / "--up--").symlink_to(tmp_path)
    assert set(read_all(tmp_path)) == {"s1"}


@pytest.mark.parametrize("target", ["nowhere.jsonl", "self.jsonl"])
def test_a_link_that_leads_nowhere_is_a_failure(tmp_path: Path, target: str) -> None:
    real = write(tmp_path, session("s1"))
    (real.parent / "self.jsonl").symlink_to(target)
    with open_store([tmp_path]) as store:
        assert [ref.id for ref in store.find_sessions()] == ["s1"]
        [failure] = store.failures
        assert "self.jsonl" in failure.message


def test_a_locked_file_is_a_failure_and_the_others_are_read(tmp_path: Path) -> None:
    write(tmp_path, session("s1"))
    path = write(tmp_path, session("s2"), "0_s2.jsonl")
    with locked(path), open_store([tmp_path]) as store:
        assert [ref.id for ref in store.find_sessions()] == ["s1"]
        [failure] = store.failures
        assert str(path) in failure.message


def test_a_locked_folder_is_a_failure_and_the_others_are_read(tmp_path: Path) -> None:
    write(tmp_path, session("s1"))
    folder = write(tmp_path / "x", session("s2")).parent.rename(tmp_path / "--locked--")
    (tmp_path / "x").rmdir()
    with locked(folder), open_store([tmp_path]) as store:
        assert [ref.id for ref in store.find_sessions()] == ["s1"]
        [failure] = store.failures
        assert str(folder) in failure.message


def test_a_locked_place_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "in", session("s1"))
    with locked(tmp_path / "in"), pytest.raises(StoreUnreadableError, match="ermission"):
        open_store([tmp_path / "in"])


def test_the_signature_changes_with_any_file_and_with_nothing_else(tmp_path: Path) -> None:
    path = write(tmp_path, session("s1"))
    with open_store([tmp_path]) as store:
        first = store.signature()
        assert store.signature() == first
        (path.parent / "notes.txt").write_text("x")
        assert store.signature() == first
        with path.open("ab") as stream:
            stream.write(b"{}\n")
        grown = store.signature()
        second = write(tmp_path, session("s2"), "x_s2.jsonl")
        more = store.signature()
        second.rename(second.with_name("y_s2.jsonl"))
        assert len({first, grown, more, store.signature()}) == 4


def test_sessions_come_oldest_first_and_with_what_the_header_says(tmp_path: Path) -> None:
    for day, id in ((3, "a"), (1, "b"), (2, "c")):
        stamp = f"2026-03-0{day}T10:00:00.000Z"
        write(tmp_path, lines(header(id, timestamp=stamp)), f"x_{id}.jsonl")
    before = snapshot(tmp_path)
    with open_store([tmp_path]) as store:
        refs = list(store.find_sessions())
        assert [ref.id for ref in refs] == ["b", "c", "a"]
        assert refs[0].created == 1772359200000
        assert {(ref.agent, ref.title, ref.directory, ref.parent) for ref in refs} == {
            ("pi", "", "/home/dev/lab/queue", None)
        }
        assert refs[0].updated == refs[0].created  # nothing was said yet
    assert snapshot(tmp_path) == before
