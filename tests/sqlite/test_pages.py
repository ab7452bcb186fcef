"""The reader of SQLite's pages against SQLite itself: rows of any length, on pages of any size."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from mempalace_toolkit.sqlite.pages import PageFile
from mempalace_toolkit.sqlite.walk import Walk

Rows = list[tuple[int, str, bytes | None]]


def written(path: Path, page_size: int) -> Rows:
    """A table and an index whose rows run over onto other pages, and what is in them."""
    dice = random.Random(page_size)
    lengths = [0, 1, 60, *(dice.randrange(6 * page_size) for _ in range(100))]
    rows: Rows = [
        (number + 1, "".join(dice.choices("aö鷺🪶 ", k=size)), dice.randbytes(size // 3) or None)
        for number, size in enumerate(lengths)
    ]
    about_a_page = range(page_size - 60, page_size - 25)  # where a row begins to run over
    about_a_fourth = range(page_size // 4 - 40, page_size // 4 - 10)  # where an entry does
    for number, size in enumerate([*about_a_page, *about_a_fourth], len(rows) + 1):
        rows.append((number, "x" * size, None))
    with sqlite3.connect(path) as database:
        database.execute(f"pragma page_size = {page_size}")
        database.execute("create table held (id integer primary key, said text, kept blob)")
        database.execute("create index by_words on held (said)")
        database.executemany("insert into held values (?, ?, ?)", rows)
    database.close()
    return rows


def roots(path: Path) -> dict[str, int]:
    with sqlite3.connect(path) as database:
        found = dict(database.execute("select name, rootpage from sqlite_master"))
    database.close()
    return found


@pytest.mark.parametrize("page_size", [512, 1024, 4096, 65536])
def test_rows_that_run_over_onto_other_pages_are_read_whole(tmp_path: Path, page_size: int) -> None:
    path = tmp_path / "pages.sqlite3"
    rows = written(path, page_size)
    file, walk = PageFile(path), Walk()
    read = [(rowid, row[1], row[2]) for rowid, row in file.rows(roots(path)["held"], walk)]
    assert read == rows
    assert walk.gaps == []
    entries = list(file.entries(roots(path)["by_words"], walk))
    assert sorted((str(text), rowid) for text, rowid in entries) == sorted(
        (said, number) for number, said, _ in rows
    )
    assert walk.gaps == []
    file.close()


def test_a_row_whose_continuation_points_nowhere_is_a_gap_and_the_others_are_read(
    tmp_path: Path,
) -> None:
    path = tmp_path / "pages.sqlite3"
    with sqlite3.connect(path) as database:
        database.execute("pragma page_size = 1024")
        database.execute("create table held (id integer primary key, said text)")
        database.executemany(
            "insert into held values (?, ?)",
            [(n, "x" * (5000 if n == 50 else 40)) for n in range(100)],
        )
    database.close()
    content = bytearray(path.read_bytes())
    runs_on = [
        at
        for at in range(0, len(content), 1024)
        if content[at + 4 : at + 1024] == b"x" * 1020 and any(content[at : at + 4])
    ]
    content[runs_on[1] : runs_on[1] + 4] = (10**6).to_bytes(4, "big")
    path.write_bytes(content)
    file, walk = PageFile(path), Walk()
    assert [rowid for rowid, _ in file.rows(roots(path)["held"], walk)] == [
        n for n in range(100) if n != 50
    ]
    assert len(walk.gaps) == 1
    assert walk.gaps[0][0] < 50 <= walk.gaps[0][1]
    file.close()
