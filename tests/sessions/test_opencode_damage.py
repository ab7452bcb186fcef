"""Damaged pages of a database: what can be read is taken, and all that cannot is told."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from mempalace_toolkit.errors import StoreUnreadableError
from mempalace_toolkit.sessions.opencode import open_store
from tests.sessions.opencode_writing import START, add_session, execute, make_database

CASE = Path(__file__).parents[1] / "fixtures" / "cases" / "oc-damaged-page" / "opencode"
COUNT = 100


def taken(path: Path) -> tuple[set[str], set[str], bool]:
    """The sessions that were read, those that are told to be unreadable, and if more may be."""
    with open_store([path]) as store:
        read, unread = set(), set()
        for ref in store.find_sessions():
            try:
                if store.read_session(ref).turns:
                    read.add(ref.id)
            except StoreUnreadableError as error:
                assert "damaged" in error.message
                unread.add(ref.id)
        unread |= {one.session for one in store.findings if one.kind == "store_unreadable"}
        return read, unread - {""}, bool(store.failures)


def test_ten_of_twelve_sessions_are_read_past_a_damaged_page(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(CASE, tmp_path / "opencode"))
    read, unread, more = taken(folder)
    assert len(read) == 10
    assert unread == {"ses_k05", "ses_k06"}
    assert not more


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="the remedy needs sqlite3")
def test_the_remedy_for_a_damaged_page_works(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(CASE, tmp_path / "opencode"))
    with open_store([folder]) as store:
        ref = next(ref for ref in store.find_sessions() if ref.id == "ses_k05")
        with pytest.raises(StoreUnreadableError) as caught:
            store.read_session(ref)
    command = caught.value.hint.split("read: ")[1].split("; then")[0]
    subprocess.run(["bash", "-c", command], check=True, capture_output=True, timeout=60)
    mended = caught.value.hint.rsplit("--store ", 1)[1]
    read, unread, _ = taken(Path(mended))
    assert len(read) == 12
    assert not unread


def pages_of(path: Path, name: str) -> list[int]:
    """Pages below the root of a table or an index; the root where there is no other."""
    with closing(sqlite3.connect(path)) as db:
        root = db.execute("select rootpage from sqlite_master where name = ?", (name,)).fetchone()
        size = db.execute("pragma page_size").fetchone()[0]
    data = path.read_bytes()
    page = data[(root[0] - 1) * size : root[0] * size]
    if page[0] not in (2, 5):
        return [root[0]]
    cells = int.from_bytes(page[3:5], "big")
    starts = [int.from_bytes(page[12 + 2 * n : 14 + 2 * n], "big") for n in range(cells)]
    return [int.from_bytes(page[start : start + 4], "big") for start in starts]


@pytest.mark.parametrize(
    "tree", ["session", "sqlite_autoindex_session_1", "message", "message_session", "part"]
)
def test_damage_in_any_tree_loses_nothing_silently(tmp_path: Path, tree: str) -> None:
    path = make_database(tmp_path / "opencode.db")
    everything = {f"ses_{number:03}" for number in range(COUNT)}
    for number, name in enumerate(sorted(everything)):
        add_session(
            path, name, "Asked " * 40, "Answered " * 40, title="t" * 90, at=START + number * 1000
        )
    pages = pages_of(path, tree)
    data = bytearray(path.read_bytes())
    page = pages[len(pages) // 2]
    data[(page - 1) * 4096 : page * 4096] = b"\xa5" * 4096
    path.write_bytes(data)
    read, unread, more = taken(path)
    assert len(read) > COUNT // 3
    assert more or read | unread == everything
    assert not read & unread


@pytest.mark.parametrize("is_named", [False, True])
def test_copies_of_a_session_in_a_damaged_page_are_read(tmp_path: Path, is_named: bool) -> None:
    path = make_database(tmp_path / "opencode.db")
    execute(path, "alter table session add column fork_session_id text")
    add_session(path, "ses_original", "Asked " * 700, "Answered")
    add_session(path, "ses_between", *["Said between. " * 20] * 20, at=START + 9000)
    original = "ses_original" if is_named else None
    forks = {f"ses_fork{number}" for number in range(9)}
    for name in sorted(forks):
        add_session(path, name, "Asked " * 700, "Answered", "More " * 700, fork_session_id=original)
    data = bytearray(path.read_bytes())
    page = pages_of(path, "part")[0]
    data[(page - 1) * 4096 : page * 4096] = b"\xa5" * 4096
    path.write_bytes(data)
    read, unread, _ = taken(path)
    assert "ses_original" in unread
    assert read - {"ses_between"} == forks
